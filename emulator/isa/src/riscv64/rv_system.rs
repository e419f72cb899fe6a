//! Zicsr, Zifencei, Zicboz and the privileged instructions (volume II, chapter 3.3 and 10).
//!
//! Their meaning depends on state that only the architecture's own module holds, so all of them
//! become [`OpCode::System`] with the raw instruction.

use super::encoding::opcode::{MISC_MEM, SYSTEM};
use super::encoding::{Encoding, Pattern, exact, f3, line};
use super::format::Format::Raw;
use crate::OpCode;

const SFENCE_VMA: Pattern = (0xfe00_7fff, SYSTEM | 0x09 << 25);
const CBO_ZERO: Pattern = (0xfff0_7fff, MISC_MEM | 2 << 12 | 4 << 20);

pub(super) const LIST: &[Encoding] = &[
    line("fence.i", f3(MISC_MEM, 1), Raw, OpCode::System),
    line("cbo.zero", CBO_ZERO, Raw, OpCode::System),
    line("ecall", exact(0x0000_0073), Raw, OpCode::System),
    line("ebreak", exact(0x0010_0073), Raw, OpCode::System),
    line("sret", exact(0x1020_0073), Raw, OpCode::System),
    line("wfi", exact(0x1050_0073), Raw, OpCode::System),
    line("sfence.vma", SFENCE_VMA, Raw, OpCode::System),
    line("csrrw", f3(SYSTEM, 1), Raw, OpCode::System),
    line("csrrs", f3(SYSTEM, 2), Raw, OpCode::System),
    line("csrrc", f3(SYSTEM, 3), Raw, OpCode::System),
    line("csrrwi", f3(SYSTEM, 5), Raw, OpCode::System),
    line("csrrsi", f3(SYSTEM, 6), Raw, OpCode::System),
    line("csrrci", f3(SYSTEM, 7), Raw, OpCode::System),
];
