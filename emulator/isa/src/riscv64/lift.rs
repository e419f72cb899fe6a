//! From instruction bits to an op.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::encoding::Encoding;
use super::{rv_a, rv_c, rv_fd, rv_i, rv_m, rv_system, rv_zb};
use crate::{Op, OpCode};

const LISTS: [&[Encoding]; 7] =
    [rv_i::LIST, rv_m::LIST, rv_a::LIST, rv_fd::LIST, rv_zb::LIST, rv_system::LIST, rv_c::LIST];

/// Every instruction this guest has.
pub fn all_encodings() -> impl Iterator<Item = &'static Encoding> {
    LISTS.into_iter().flatten()
}

/// Length in bytes of the instruction that starts with these 16 bits (volume I, section 1.5).
#[must_use]
pub const fn length(first_half: u16) -> u16 {
    if first_half & 3 == 3 { 4 } else { 2 }
}

/// Which of the lists to look in: by major opcode or quadrant, and funct3.
const fn bucket(instruction: u32) -> usize {
    if instruction & 3 == 3 {
        ((instruction >> 2 & 0x1f) << 3 | instruction >> 12 & 7) as usize
    } else {
        (0x100 | (instruction & 3) << 3 | instruction >> 13 & 7) as usize
    }
}

/// The encodings by the [`bucket`] of what they match, the one with more fixed bits first.
static BUCKETS: LazyLock<[Vec<&'static Encoding>; 0x118]> = LazyLock::new(|| {
    let mut buckets = [const { Vec::new() }; 0x118];
    for encoding in all_encodings() {
        let instructions = (0..8).map(|funct3| encoding.bits | funct3 << 12 & !encoding.mask);
        // The bits that are funct3 in a long instruction do not choose among short ones.
        let found: BTreeSet<_> = instructions.map(bucket).collect();
        found.into_iter().for_each(|bucket| buckets[bucket].push(encoding));
    }
    for bucket in &mut buckets {
        bucket.sort_by_key(|encoding| std::cmp::Reverse(encoding.mask.count_ones()));
    }
    buckets
});

/// Lifts the instruction at byte `pc` of its page. The upper half of a 16-bit instruction is
/// ignored. What is no instruction becomes [`OpCode::Illegal`].
#[must_use]
pub fn lift(instruction: u32, pc: u16) -> Op {
    let instruction = if instruction & 3 == 3 { instruction } else { instruction & 0xffff };
    match BUCKETS[bucket(instruction)].iter().find(|encoding| encoding.matches(instruction)) {
        Some(encoding) => encoding.format.apply(encoding.code, instruction, pc),
        None => {
            Op { code: OpCode::Illegal, rd: 0, rs1: 0, rs2: 0, rs3: 0, pc, imm: instruction as i32 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SINK;

    /// Encodings that are a special case of another one, which the lifter tries first.
    const SPECIAL_CASES: &[(&str, &str)] = &[
        ("c.addi16sp", "c.lui"),
        ("c.jr", "c.mv"),
        ("c.ebreak", "c.jalr"),
        ("c.ebreak", "c.add"),
        ("c.jalr", "c.add"),
    ];

    #[test]
    fn no_two_encodings_overlap_but_the_listed_special_cases() {
        let mut found = Vec::new();
        let all: Vec<_> = all_encodings().collect();
        for (at, a) in all.iter().enumerate() {
            for b in &all[at + 1..] {
                if (a.bits ^ b.bits) & a.mask & b.mask != 0 {
                    continue;
                }
                let (special, general) =
                    if a.mask.count_ones() > b.mask.count_ones() { (a, b) } else { (b, a) };
                assert_eq!(special.mask & general.mask, general.mask, "{a:?} {b:?}");
                found.push((special.mnemonic, general.mnemonic));
            }
        }
        found.sort_unstable();
        let mut listed = SPECIAL_CASES.to_vec();
        listed.sort_unstable();
        assert_eq!(found, listed);
    }

    #[test]
    fn encodings_fix_no_bit_outside_their_mask() {
        for encoding in all_encodings() {
            assert_eq!(encoding.bits & !encoding.mask, 0, "{}", encoding.mnemonic);
        }
    }

    fn op(code: OpCode, rd: u8, rs1: u8, rs2: u8, imm: i32) -> Op {
        Op { code, rd, rs1, rs2, rs3: 0, pc: 0, imm }
    }

    #[test]
    fn known_words_lift_to_their_meaning() {
        // Words as GNU as 2.40 assembles them.
        let cases = [
            (0xff01_0113, op(OpCode::AddI, 2, 2, 0, -16)), // addi sp,sp,-16
            (0x0000_0013, op(OpCode::Nop, 0, 0, 0, 0)),    // nop
            (0x0005_0593, op(OpCode::Mov, 11, 10, 0, 0)),  // mv a1,a0
            (0xfff0_0513, op(OpCode::Li, 10, 0, 0, -1)),   // li a0,-1
            (0x8000_02b7, op(OpCode::Li, 5, 0, 0, i32::MIN)), // lui t0,0x80000
            (0xfe0f_9ee3, op(OpCode::Bne, 4, 31, 0, -4)),  // bnez t6,.-4
            (0xffdf_f0ef, op(OpCode::Jal, 1, 0, 4, -4)),   // jal .-4
            (0x0000_8067, op(OpCode::Jalr, SINK, 1, 4, 0)), // ret
            (0xfea5_3c23, op(OpCode::Store64, 0, 10, 10, -8)), // sd a0,-8(a0)
            (0x43f5_5513, op(OpCode::SraI, 10, 10, 0, 63)), // srai a0,a0,63
            (0x0000_1141, op(OpCode::AddI, 2, 2, 0, -16)), // c.addi sp,-16
            (0x0000_e406, op(OpCode::Store64, 0, 2, 1, 8)), // c.sdsp ra,8(sp)
            (0x0000_8082, op(OpCode::Jalr, SINK, 1, 2, 0)), // c.jr ra
            (0x0000_717d, op(OpCode::AddI, 2, 2, 0, -16)), // c.addi16sp sp,-16
            (0x0000_0800, op(OpCode::AddI, 8, 2, 0, 16)),  // c.addi4spn s0,sp,16
            (0x0000_bffd, op(OpCode::Jal, SINK, 0, 2, -2)), // c.j .-2
            (0x0000_dd7d, op(OpCode::Beq, 2, 10, 0, -2)),  // c.beqz a0,.-2
            (0x0000_6505, op(OpCode::Li, 10, 0, 0, 0x1000)), // c.lui a0,1
            (0x0000_0000, op(OpCode::Illegal, 0, 0, 0, 0)), // defined illegal
        ];
        for (word, want) in cases {
            assert_eq!(lift(word, 0), want, "{word:#010x}");
        }
    }
}
