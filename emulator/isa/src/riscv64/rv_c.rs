//! C: compressed instructions (volume I, chapter 27), each lifted as the instruction it stands for.

use super::encoding::{Encoding, Pattern, line};
use super::format::Format::Compressed;
use super::format::{add_imm, destination, field};
use crate::{Op, OpCode};

/// Operand formats of 16-bit instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CFormat {
    /// `c.addi4spn`: `rd' = sp + uimm`.
    AddSp4,
    /// `rd', uimm(rs1')`, the immediate scaled by 4 or 8.
    Load4,
    Load8,
    FLoad8,
    Store4,
    Store8,
    FStore8,
    /// `rd, imm6`.
    AddImm,
    AddImmW,
    LoadImm,
    LoadUpper,
    AddSp16,
    /// `rd', shamt`.
    Shift,
    /// `rd', imm6`.
    AndImm,
    /// `rd', rs2'`.
    Arith,
    Jump,
    Branch,
    ShiftLeft,
    LoadSp4,
    LoadSp8,
    FLoadSp8,
    StoreSp4,
    StoreSp8,
    FStoreSp8,
    JumpReg,
    Move,
    Break,
    LinkReg,
    Add,
}

/// Quadrant and funct3.
const fn q(quadrant: u32, funct3: u32) -> Pattern {
    (0xe003, quadrant | funct3 << 13)
}

/// Quadrant 1, funct3 4: bits 11:10 tell the operation.
const fn alu(funct2: u32) -> Pattern {
    (0xec03, 1 | 4 << 13 | funct2 << 10)
}

/// The same with funct2 3: bit 12 and bits 6:5 tell the operation.
const fn arith(bit12: u32, funct2: u32) -> Pattern {
    (0xfc63, 1 | 4 << 13 | bit12 << 12 | 3 << 10 | funct2 << 5)
}

/// Quadrant 2, funct3 4: bit 12, and rs2 where it is zero.
const fn jump(bit12: u32) -> Pattern {
    (0xf07f, 2 | 4 << 13 | bit12 << 12)
}

const fn mov(bit12: u32) -> Pattern {
    (0xf003, 2 | 4 << 13 | bit12 << 12)
}

pub(super) const LIST: &[Encoding] = &[
    line("c.addi4spn", q(0, 0), Compressed(CFormat::AddSp4), OpCode::AddI),
    line("c.fld", q(0, 1), Compressed(CFormat::FLoad8), OpCode::LoadF64),
    line("c.lw", q(0, 2), Compressed(CFormat::Load4), OpCode::LoadI32),
    line("c.ld", q(0, 3), Compressed(CFormat::Load8), OpCode::Load64),
    line("c.fsd", q(0, 5), Compressed(CFormat::FStore8), OpCode::StoreF64),
    line("c.sw", q(0, 6), Compressed(CFormat::Store4), OpCode::Store32),
    line("c.sd", q(0, 7), Compressed(CFormat::Store8), OpCode::Store64),
    line("c.addi", q(1, 0), Compressed(CFormat::AddImm), OpCode::AddI),
    line("c.addiw", q(1, 1), Compressed(CFormat::AddImmW), OpCode::AddIW),
    line("c.li", q(1, 2), Compressed(CFormat::LoadImm), OpCode::Li),
    line("c.lui", q(1, 3), Compressed(CFormat::LoadUpper), OpCode::Li),
    line("c.addi16sp", (0xef83, 0x6101), Compressed(CFormat::AddSp16), OpCode::AddI),
    line("c.srli", alu(0), Compressed(CFormat::Shift), OpCode::SrlI),
    line("c.srai", alu(1), Compressed(CFormat::Shift), OpCode::SraI),
    line("c.andi", alu(2), Compressed(CFormat::AndImm), OpCode::AndI),
    line("c.sub", arith(0, 0), Compressed(CFormat::Arith), OpCode::Sub),
    line("c.xor", arith(0, 1), Compressed(CFormat::Arith), OpCode::Xor),
    line("c.or", arith(0, 2), Compressed(CFormat::Arith), OpCode::Or),
    line("c.and", arith(0, 3), Compressed(CFormat::Arith), OpCode::And),
    line("c.subw", arith(1, 0), Compressed(CFormat::Arith), OpCode::SubW),
    line("c.addw", arith(1, 1), Compressed(CFormat::Arith), OpCode::AddW),
    line("c.j", q(1, 5), Compressed(CFormat::Jump), OpCode::Jal),
    line("c.beqz", q(1, 6), Compressed(CFormat::Branch), OpCode::Beq),
    line("c.bnez", q(1, 7), Compressed(CFormat::Branch), OpCode::Bne),
    line("c.slli", q(2, 0), Compressed(CFormat::ShiftLeft), OpCode::SllI),
    line("c.fldsp", q(2, 1), Compressed(CFormat::FLoadSp8), OpCode::LoadF64),
    line("c.lwsp", q(2, 2), Compressed(CFormat::LoadSp4), OpCode::LoadI32),
    line("c.ldsp", q(2, 3), Compressed(CFormat::LoadSp8), OpCode::Load64),
    line("c.jr", jump(0), Compressed(CFormat::JumpReg), OpCode::Jalr),
    line("c.mv", mov(0), Compressed(CFormat::Move), OpCode::Mov),
    line("c.ebreak", (0xffff, 0x9002), Compressed(CFormat::Break), OpCode::System),
    line("c.jalr", jump(1), Compressed(CFormat::LinkReg), OpCode::Jalr),
    line("c.add", mov(1), Compressed(CFormat::Add), OpCode::Add),
    line("c.fsdsp", q(2, 5), Compressed(CFormat::FStoreSp8), OpCode::StoreF64),
    line("c.swsp", q(2, 6), Compressed(CFormat::StoreSp4), OpCode::Store32),
    line("c.sdsp", q(2, 7), Compressed(CFormat::StoreSp8), OpCode::Store64),
];

const SP: u8 = 2;
const RA: u8 = 1;
const EBREAK: i32 = 0x0010_0073;

/// A register of the popular eight, `x8`..`x15`.
const fn popular(i: u32, at: u32) -> u8 {
    8 + field(i, at, 3) as u8
}

const fn full(i: u32, at: u32) -> u8 {
    field(i, at, 5) as u8
}

/// Bit 12 and bits 6:2, sign-extended.
const fn imm6(i: u32) -> i32 {
    ((field(i, 12, 1) << 5 | field(i, 2, 5)) as i32) << 26 >> 26
}

const fn shamt(i: u32) -> i32 {
    (field(i, 12, 1) << 5 | field(i, 2, 5)) as i32
}

const fn uimm4(i: u32) -> i32 {
    (field(i, 5, 1) << 6 | field(i, 10, 3) << 3 | field(i, 6, 1) << 2) as i32
}

const fn uimm8(i: u32) -> i32 {
    (field(i, 5, 2) << 6 | field(i, 10, 3) << 3) as i32
}

const fn load_sp4(i: u32) -> i32 {
    (field(i, 2, 2) << 6 | field(i, 12, 1) << 5 | field(i, 4, 3) << 2) as i32
}

const fn load_sp8(i: u32) -> i32 {
    (field(i, 2, 3) << 6 | field(i, 12, 1) << 5 | field(i, 5, 2) << 3) as i32
}

const fn store_sp4(i: u32) -> i32 {
    (field(i, 7, 2) << 6 | field(i, 9, 4) << 2) as i32
}

const fn store_sp8(i: u32) -> i32 {
    (field(i, 7, 3) << 6 | field(i, 10, 3) << 3) as i32
}

const fn add_sp4(i: u32) -> i32 {
    (field(i, 7, 4) << 6 | field(i, 11, 2) << 4 | field(i, 5, 1) << 3 | field(i, 6, 1) << 2) as i32
}

const fn add_sp16(i: u32) -> i32 {
    let imm = field(i, 12, 1) << 9
        | field(i, 3, 2) << 7
        | field(i, 5, 1) << 6
        | field(i, 2, 1) << 5
        | field(i, 6, 1) << 4;
    (imm as i32) << 22 >> 22
}

const fn imm_j(i: u32) -> i32 {
    let imm = field(i, 12, 1) << 11
        | field(i, 8, 1) << 10
        | field(i, 9, 2) << 8
        | field(i, 6, 1) << 7
        | field(i, 7, 1) << 6
        | field(i, 2, 1) << 5
        | field(i, 11, 1) << 4
        | field(i, 3, 3) << 1;
    (imm as i32) << 20 >> 20
}

const fn imm_b(i: u32) -> i32 {
    let imm = field(i, 12, 1) << 8
        | field(i, 5, 2) << 6
        | field(i, 2, 1) << 5
        | field(i, 10, 2) << 3
        | field(i, 3, 2) << 1;
    (imm as i32) << 23 >> 23
}

impl CFormat {
    /// Whether `i` is one of the code points the manual reserves inside this format.
    const fn reserved(self, i: u32) -> bool {
        match self {
            Self::AddSp4 => add_sp4(i) == 0,
            Self::AddSp16 | Self::LoadUpper => shamt(i) == 0,
            Self::AddImmW | Self::LoadSp4 | Self::LoadSp8 | Self::JumpReg => full(i, 7) == 0,
            _ => false,
        }
    }

    /// The op of the 16-bit instruction `i` at page offset `pc`.
    pub(super) fn apply(self, code: OpCode, i: u32, pc: u16) -> Op {
        let op = Op { code, rd: 0, rs1: 0, rs2: 0, rs3: 0, pc, imm: 0 };
        if self.reserved(i) {
            return Op { code: OpCode::Illegal, imm: i as i32, ..op };
        }
        let low = popular(i, 2);
        let high = popular(i, 7);
        let reg = full(i, 7);
        let rd = destination(reg);
        let rs2 = full(i, 2);
        match self {
            Self::AddSp4 => Op { rd: low, rs1: SP, imm: add_sp4(i), ..op },
            Self::Load4 => Op { rd: low, rs1: high, imm: uimm4(i), ..op },
            Self::Load8 | Self::FLoad8 => Op { rd: low, rs1: high, imm: uimm8(i), ..op },
            Self::Store4 => Op { rs1: high, rs2: low, imm: uimm4(i), ..op },
            Self::Store8 | Self::FStore8 => Op { rs1: high, rs2: low, imm: uimm8(i), ..op },
            Self::AddImm => add_imm(Op { rd, rs1: reg, imm: imm6(i), ..op }),
            Self::AddImmW => Op { rd, rs1: reg, imm: imm6(i), ..op },
            Self::LoadImm => Op { rd, imm: imm6(i), ..op },
            Self::LoadUpper => Op { rd, imm: imm6(i) << 12, ..op },
            Self::AddSp16 => Op { rd: SP, rs1: SP, imm: add_sp16(i), ..op },
            Self::Shift => Op { rd: high, rs1: high, imm: shamt(i), ..op },
            Self::AndImm => Op { rd: high, rs1: high, imm: imm6(i), ..op },
            Self::Arith => Op { rd: high, rs1: high, rs2: low, ..op },
            Self::Jump => Op { rd: destination(0), rs2: 2, imm: imm_j(i), ..op },
            Self::Branch => Op { rd: 2, rs1: high, imm: imm_b(i), ..op },
            Self::ShiftLeft => Op { rd, rs1: reg, imm: shamt(i), ..op },
            Self::LoadSp4 => Op { rd, rs1: SP, imm: load_sp4(i), ..op },
            Self::LoadSp8 => Op { rd, rs1: SP, imm: load_sp8(i), ..op },
            Self::FLoadSp8 => Op { rd: reg, rs1: SP, imm: load_sp8(i), ..op },
            Self::StoreSp4 => Op { rs1: SP, rs2, imm: store_sp4(i), ..op },
            Self::StoreSp8 | Self::FStoreSp8 => Op { rs1: SP, rs2, imm: store_sp8(i), ..op },
            Self::JumpReg => Op { rd: destination(0), rs1: reg, rs2: 2, ..op },
            Self::Move => Op { rd, rs1: rs2, ..op },
            Self::Break => Op { imm: EBREAK, ..op },
            Self::LinkReg => Op { rd: RA, rs1: reg, rs2: 2, ..op },
            Self::Add => Op { rd, rs1: reg, rs2, ..op },
        }
    }
}
