//! What is no instruction must raise illegal instruction: all 16-bit ones, and a sample of
//! 32-bit ones a bit away from instructions.

use lithify_isa::OpCode;
use lithify_isa::riscv64::{all_encodings, length, lift};

use crate::case::{Case, EBREAK, FRAME_A, Mode, Snippet, pte, sstatus};

const C_EBREAK: u32 = 0x9002_9002;
/// Operand bits of the sampled 32-bit encodings.
const OPERANDS: u32 = 0x0125_8593;

pub(crate) fn illegal() -> Vec<u32> {
    let mut all: Vec<u32> = (0..=0xffff).filter(|half| length(*half as u16) == 2).collect();
    for encoding in all_encodings().filter(|encoding| length(encoding.bits as u16) == 4) {
        let instruction = encoding.bits | OPERANDS & !encoding.mask;
        let fixed_bits = (2..32).filter(|bit| encoding.mask >> bit & 1 != 0);
        all.extend(fixed_bits.map(|bit| instruction ^ 1 << bit));
    }
    all.sort_unstable();
    all.dedup();
    all.retain(|instruction| lift(*instruction, 0).code == OpCode::Illegal);
    all.extend(reserved_rounding_modes());
    all
}

/// Every float instruction that has a rounding mode, with the modes 5 and 6.
fn reserved_rounding_modes() -> impl Iterator<Item = u32> {
    const RM: u32 = 7 << 12;
    const OP_FP_AND_FMA: [u32; 5] = [0x43, 0x47, 0x4b, 0x4f, 0x53];
    all_encodings()
        .filter(|encoding| OP_FP_AND_FMA.contains(&(encoding.bits & 0x7f)))
        .filter(|encoding| encoding.mask & RM == 0)
        .flat_map(|encoding| {
            let operands = encoding.bits | OPERANDS & !encoding.mask & !RM;
            [operands | 5 << 12, operands | 6 << 12]
        })
}

pub(crate) fn case(instruction: u32) -> Case {
    let instructions = if length(instruction as u16) == 2 {
        [instruction | C_EBREAK << 16, C_EBREAK]
    } else {
        [instruction, EBREAK]
    };
    Case::new(format!("{instruction:#x}"), Snippet::Execute, Mode::Supervisor)
        .with(sstatus::FS)
        .code(FRAME_A, instructions)
        .map(0, FRAME_A, pte::V | pte::X | pte::A)
}
