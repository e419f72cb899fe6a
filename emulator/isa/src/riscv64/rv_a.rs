//! A: atomics (volume I, chapter 14). The `aq` and `rl` bits are free: one hart is ordered.

use super::encoding::opcode::AMO;
use super::encoding::{Encoding, Pattern, line};
use super::format::Format::{Lr, R};
use crate::OpCode;

const W: u32 = 2;
const D: u32 = 3;

const fn f5(funct3: u32, funct5: u32) -> Pattern {
    (0xf800_707f, AMO | funct3 << 12 | funct5 << 27)
}

const fn lr(funct3: u32) -> Pattern {
    (0xf9f0_707f, AMO | funct3 << 12 | 0x02 << 27)
}

pub(super) const LIST: &[Encoding] = &[
    line("lr.w", lr(W), Lr, OpCode::LrW),
    line("sc.w", f5(W, 0x03), R, OpCode::ScW),
    line("amoswap.w", f5(W, 0x01), R, OpCode::AmoSwapW),
    line("amoadd.w", f5(W, 0x00), R, OpCode::AmoAddW),
    line("amoxor.w", f5(W, 0x04), R, OpCode::AmoXorW),
    line("amoand.w", f5(W, 0x0c), R, OpCode::AmoAndW),
    line("amoor.w", f5(W, 0x08), R, OpCode::AmoOrW),
    line("amomin.w", f5(W, 0x10), R, OpCode::AmoMinW),
    line("amomax.w", f5(W, 0x14), R, OpCode::AmoMaxW),
    line("amominu.w", f5(W, 0x18), R, OpCode::AmoMinuW),
    line("amomaxu.w", f5(W, 0x1c), R, OpCode::AmoMaxuW),
    line("lr.d", lr(D), Lr, OpCode::LrD),
    line("sc.d", f5(D, 0x03), R, OpCode::ScD),
    line("amoswap.d", f5(D, 0x01), R, OpCode::AmoSwapD),
    line("amoadd.d", f5(D, 0x00), R, OpCode::AmoAddD),
    line("amoxor.d", f5(D, 0x04), R, OpCode::AmoXorD),
    line("amoand.d", f5(D, 0x0c), R, OpCode::AmoAndD),
    line("amoor.d", f5(D, 0x08), R, OpCode::AmoOrD),
    line("amomin.d", f5(D, 0x10), R, OpCode::AmoMinD),
    line("amomax.d", f5(D, 0x14), R, OpCode::AmoMaxD),
    line("amominu.d", f5(D, 0x18), R, OpCode::AmoMinuD),
    line("amomaxu.d", f5(D, 0x1c), R, OpCode::AmoMaxuD),
];
