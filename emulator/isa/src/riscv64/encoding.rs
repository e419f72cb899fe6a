//! One line of an instruction list.

use super::format::Format;
use crate::OpCode;

/// How an instruction is told from all others, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub struct Encoding {
    /// The manual's mnemonic.
    pub mnemonic: &'static str,
    /// Bits that are fixed.
    pub mask: u32,
    /// Their values.
    pub bits: u32,
    pub(super) format: Format,
    pub(super) code: OpCode,
}

impl Encoding {
    /// Whether `instruction` is this one.
    #[must_use]
    pub const fn matches(&self, instruction: u32) -> bool {
        instruction & self.mask == self.bits
    }
}

/// Fixed bits of one instruction: `(mask, bits)`.
pub(super) type Pattern = (u32, u32);

/// Major opcodes (volume I, table 70), bits 6:0.
pub(super) mod opcode {
    pub(in super::super) const LOAD: u32 = 0x03;
    pub(in super::super) const LOAD_FP: u32 = 0x07;
    pub(in super::super) const MISC_MEM: u32 = 0x0f;
    pub(in super::super) const OP_IMM: u32 = 0x13;
    pub(in super::super) const AUIPC: u32 = 0x17;
    pub(in super::super) const OP_IMM_32: u32 = 0x1b;
    pub(in super::super) const STORE: u32 = 0x23;
    pub(in super::super) const STORE_FP: u32 = 0x27;
    pub(in super::super) const AMO: u32 = 0x2f;
    pub(in super::super) const OP: u32 = 0x33;
    pub(in super::super) const LUI: u32 = 0x37;
    pub(in super::super) const OP_32: u32 = 0x3b;
    pub(in super::super) const MADD: u32 = 0x43;
    pub(in super::super) const MSUB: u32 = 0x47;
    pub(in super::super) const NMSUB: u32 = 0x4b;
    pub(in super::super) const NMADD: u32 = 0x4f;
    pub(in super::super) const OP_FP: u32 = 0x53;
    pub(in super::super) const BRANCH: u32 = 0x63;
    pub(in super::super) const JALR: u32 = 0x67;
    pub(in super::super) const JAL: u32 = 0x6f;
    pub(in super::super) const SYSTEM: u32 = 0x73;
}

/// Only the major opcode is fixed.
pub(super) const fn op(opcode: u32) -> Pattern {
    (0x7f, opcode)
}

/// Opcode and funct3.
pub(super) const fn f3(opcode: u32, funct3: u32) -> Pattern {
    (0x707f, opcode | funct3 << 12)
}

/// Opcode, funct3 and funct7.
pub(super) const fn f7(opcode: u32, funct3: u32, funct7: u32) -> Pattern {
    (0xfe00_707f, opcode | funct3 << 12 | funct7 << 25)
}

/// Opcode, funct3 and the six bits above a 6-bit shift amount.
pub(super) const fn f6(opcode: u32, funct3: u32, funct6: u32) -> Pattern {
    (0xfc00_707f, opcode | funct3 << 12 | funct6 << 26)
}

/// Opcode, funct3 and all twelve upper bits.
pub(super) const fn f12(opcode: u32, funct3: u32, funct12: u32) -> Pattern {
    (0xfff0_707f, opcode | funct3 << 12 | funct12 << 20)
}

/// Opcode and funct7; funct3 is a rounding mode.
pub(super) const fn f7_rm(opcode: u32, funct7: u32) -> Pattern {
    (0xfe00_007f, opcode | funct7 << 25)
}

/// Opcode, funct7 and rs2; funct3 is a rounding mode.
pub(super) const fn f12_rm(opcode: u32, funct7: u32, rs2: u32) -> Pattern {
    (0xfff0_007f, opcode | funct7 << 25 | rs2 << 20)
}

/// The whole instruction is fixed.
pub(super) const fn exact(instruction: u32) -> Pattern {
    (u32::MAX, instruction)
}

pub(super) const fn line(
    mnemonic: &'static str,
    (mask, bits): Pattern,
    format: Format,
    code: OpCode,
) -> Encoding {
    Encoding { mnemonic, mask, bits, format, code }
}
