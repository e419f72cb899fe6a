//! M: multiplication and division (volume I, chapter 13).

use super::encoding::opcode::{OP, OP_32};
use super::encoding::{Encoding, f7, line};
use super::format::Format::R;
use crate::OpCode;

pub(super) const LIST: &[Encoding] = &[
    line("mul", f7(OP, 0, 1), R, OpCode::Mul),
    line("mulh", f7(OP, 1, 1), R, OpCode::Mulh),
    line("mulhsu", f7(OP, 2, 1), R, OpCode::Mulhsu),
    line("mulhu", f7(OP, 3, 1), R, OpCode::Mulhu),
    line("div", f7(OP, 4, 1), R, OpCode::Div),
    line("divu", f7(OP, 5, 1), R, OpCode::Divu),
    line("rem", f7(OP, 6, 1), R, OpCode::Rem),
    line("remu", f7(OP, 7, 1), R, OpCode::Remu),
    line("mulw", f7(OP_32, 0, 1), R, OpCode::MulW),
    line("divw", f7(OP_32, 4, 1), R, OpCode::DivW),
    line("divuw", f7(OP_32, 5, 1), R, OpCode::DivuW),
    line("remw", f7(OP_32, 6, 1), R, OpCode::RemW),
    line("remuw", f7(OP_32, 7, 1), R, OpCode::RemuW),
];
