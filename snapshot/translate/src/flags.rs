//! The one system register that compiled code reads and writes: `fflags`, around comparisons that must not
//! flag anything (volume I, section 20.2).

use lithify_isa::{Op, OpCode, SINK};

/// `csrrs rd, fflags, x0` without its destination.
const READ: u32 = 0x0010_2073;
/// `csrrw rd, fflags, rs1` without its operands.
const SWAP: u32 = 0x0010_1073;
const RD: u32 = 0x1f << 7;
const RS1: u32 = 0x1f << 15;

/// `op` with its operands, if it is one of these instructions.
pub(crate) fn access(op: &Op) -> Option<Op> {
    let word = op.imm.cast_unsigned();
    let register = |field: u32| (word & field) >> field.trailing_zeros();
    let is_access = word & !RD == READ || word & !(RD | RS1) == SWAP;
    (op.code == OpCode::System && is_access).then(|| Op {
        rd: if register(RD) == 0 { SINK } else { register(RD) as u8 },
        rs1: register(RS1) as u8,
        ..*op
    })
}

/// Whether `op`, which is such an instruction, writes the register.
pub(crate) const fn writes(op: &Op) -> bool {
    op.imm.cast_unsigned() & !RD != READ
}

#[cfg(test)]
mod tests {
    use lithify_isa::riscv64::lift;

    use super::*;

    #[test]
    fn accesses_to_the_flags_are_told_from_other_system_instructions() {
        // (instruction, destination, source, writes)
        let cases = [
            (0x0010_2773, Some((14, 0, false))),   // frflags a4
            (0x0017_1073, Some((SINK, 14, true))), // fsflags a4
            (0x0017_17f3, Some((15, 14, true))),   // fsflags a5, a4
            (0x0010_2073, Some((SINK, 0, false))), // csrr x0, fflags
            (0x0017_2773, None),                   // csrrs a4, fflags, a4
            (0x0020_2773, None),                   // frrm a4
            (0x0011_5073, None),                   // fsflagsi 2
            (0xc000_2773, None),                   // rdcycle a4
            (0x0000_0073, None),                   // ecall
        ];
        for (word, expected) in cases {
            let found = access(&lift(word, 0));
            assert_eq!(found.map(|op| (op.rd, op.rs1, writes(&op))), expected, "{word:#x}");
        }
    }
}
