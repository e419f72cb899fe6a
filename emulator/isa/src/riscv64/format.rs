//! Operand formats: where the fields of an instruction stand and which slots they name
//! (volume I, section 2.2).

use super::rv_c::CFormat;
use crate::{Op, OpCode, SINK};

/// Which fields an instruction has and which op fields they fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// No operands.
    None,
    /// The whole instruction goes into `imm`.
    Raw,
    R,
    I,
    /// `addi`, which is also `mv`, `li` and `nop`.
    AddImm,
    Shift5,
    Shift6,
    Unary,
    S,
    B,
    U,
    J,
    JumpReg,
    Lr,
    FLoad,
    FStore,
    /// Float destination and sources.
    F,
    /// The same with a rounding mode.
    FRm,
    Fma,
    /// Integer destination, float sources.
    FInt,
    FIntRm,
    /// Float destination, integer source.
    FromInt,
    FromIntRm,
    /// A 16-bit instruction.
    Compressed(CFormat),
}

/// Bits `at .. at + width` of `instruction`.
pub(super) const fn field(instruction: u32, at: u32, width: u32) -> u32 {
    (instruction >> at) & ((1 << width) - 1)
}

const fn register(instruction: u32, at: u32) -> u8 {
    field(instruction, at, 5) as u8
}

/// A destination in the integer file: `x0` is written to the sink.
pub(super) const fn destination(register: u8) -> u8 {
    if register == 0 { SINK } else { register }
}

const fn imm_i(instruction: u32) -> i32 {
    instruction as i32 >> 20
}

const fn imm_s(instruction: u32) -> i32 {
    (instruction as i32 >> 25) << 5 | field(instruction, 7, 5) as i32
}

const fn imm_b(instruction: u32) -> i32 {
    (instruction as i32 >> 31) << 12
        | (field(instruction, 7, 1) << 11
            | field(instruction, 25, 6) << 5
            | field(instruction, 8, 4) << 1) as i32
}

const fn imm_j(instruction: u32) -> i32 {
    (instruction as i32 >> 31) << 20
        | (field(instruction, 12, 8) << 12
            | field(instruction, 20, 1) << 11
            | field(instruction, 21, 10) << 1) as i32
}

impl Format {
    /// The op of `instruction` at page offset `pc`.
    pub(super) fn apply(self, code: OpCode, instruction: u32, pc: u16) -> Op {
        if let Self::Compressed(format) = self {
            return format.apply(code, instruction, pc);
        }
        let rd = register(instruction, 7);
        let rs1 = register(instruction, 15);
        let rs2 = register(instruction, 20);
        let rm = field(instruction, 12, 3) as u8;
        let x = destination(rd);
        let op = Op { code, rd: 0, rs1, rs2: 0, rs3: 0, pc, imm: 0 };
        match self {
            Self::None | Self::Compressed(_) => Op { rs1: 0, ..op },
            Self::Raw => Op { rs1: 0, imm: instruction as i32, ..op },
            Self::R => Op { rd: x, rs2, ..op },
            Self::I => Op { rd: x, imm: imm_i(instruction), ..op },
            Self::AddImm => add_imm(Op { rd: x, imm: imm_i(instruction), ..op }),
            Self::Shift5 => Op { rd: x, imm: field(instruction, 20, 5) as i32, ..op },
            Self::Shift6 => Op { rd: x, imm: field(instruction, 20, 6) as i32, ..op },
            Self::Unary | Self::Lr => Op { rd: x, ..op },
            Self::S | Self::FStore => Op { rs2, imm: imm_s(instruction), ..op },
            Self::B => Op { rd: 4, rs2, imm: imm_b(instruction), ..op },
            Self::U => Op { rd: x, rs1: 0, imm: (instruction & !0xfff) as i32, ..op },
            Self::J => Op { rd: x, rs1: 0, rs2: 4, imm: imm_j(instruction), ..op },
            Self::JumpReg => Op { rd: x, rs2: 4, imm: imm_i(instruction), ..op },
            Self::FLoad => Op { rd, imm: imm_i(instruction), ..op },
            Self::F => Op { rd, rs2, ..op },
            Self::FRm => Op { rd, rs2, rs3: rm, ..op },
            Self::Fma => Op { rd, rs2, rs3: register(instruction, 27), imm: i32::from(rm), ..op },
            Self::FInt => Op { rd: x, rs2, ..op },
            Self::FIntRm => Op { rd: x, rs3: rm, ..op },
            Self::FromInt => Op { rd, ..op },
            Self::FromIntRm => Op { rd, rs3: rm, ..op },
        }
    }
}

/// `addi` in its three roles.
pub(super) fn add_imm(op: Op) -> Op {
    match (op.rd, op.rs1, op.imm) {
        (SINK, _, _) => Op { code: OpCode::Nop, rd: 0, rs1: 0, imm: 0, ..op },
        (_, 0, _) => Op { code: OpCode::Li, ..op },
        (_, _, 0) => Op { code: OpCode::Mov, ..op },
        _ => Op { code: OpCode::AddI, ..op },
    }
}
