//! The few instructions that sequences are glued together with, and jump offsets
//! (The RISC-V Instruction Set Manual, volume I, sections 2.3, 27.2 and 35).

pub(crate) const fn addi(rd: u32, rs1: u32, imm: i32) -> u32 {
    0x13 | rd << 7 | rs1 << 15 | with_i(imm)
}

pub(crate) const fn auipc(rd: u32) -> u32 {
    0x17 | rd << 7
}

pub(crate) const fn bseti(rd: u32, rs1: u32, bit: u32) -> u32 {
    0x2800_1013 | rd << 7 | rs1 << 15 | bit << 20
}

pub(crate) const fn ld(rd: u32, rs1: u32, imm: i32) -> u32 {
    0x3003 | rd << 7 | rs1 << 15 | with_i(imm)
}

pub(crate) const fn sd(rs2: u32, rs1: u32, imm: i32) -> u32 {
    0x3023 | rs2 << 20 | rs1 << 15 | with_s(imm)
}

pub(crate) const fn jal(rd: u32, offset: i32) -> u32 {
    0x6f | rd << 7 | with_j(offset)
}

/// Bits `from .. from + width` of `value`, moved to bit `to`.
const fn bits(value: i32, from: u32, width: u32, to: u32) -> u32 {
    (value as u32 >> from & ((1 << width) - 1)) << to
}

pub(crate) const fn with_i(imm: i32) -> u32 {
    bits(imm, 0, 12, 20)
}

pub(crate) const fn with_s(imm: i32) -> u32 {
    bits(imm, 0, 5, 7) | bits(imm, 5, 7, 25)
}

pub(crate) const fn with_b(offset: i32) -> u32 {
    bits(offset, 11, 1, 7)
        | bits(offset, 1, 4, 8)
        | bits(offset, 5, 6, 25)
        | bits(offset, 12, 1, 31)
}

pub(crate) const fn with_j(offset: i32) -> u32 {
    bits(offset, 12, 8, 12)
        | bits(offset, 11, 1, 20)
        | bits(offset, 1, 10, 21)
        | bits(offset, 20, 1, 31)
}

pub(crate) const fn with_cb(offset: i32) -> u32 {
    bits(offset, 5, 1, 2)
        | bits(offset, 1, 2, 3)
        | bits(offset, 6, 2, 5)
        | bits(offset, 3, 2, 10)
        | bits(offset, 8, 1, 12)
}

pub(crate) const fn with_cj(offset: i32) -> u32 {
    bits(offset, 5, 1, 2)
        | bits(offset, 1, 3, 3)
        | bits(offset, 7, 1, 6)
        | bits(offset, 6, 1, 7)
        | bits(offset, 10, 1, 8)
        | bits(offset, 8, 2, 9)
        | bits(offset, 4, 1, 11)
        | bits(offset, 11, 1, 12)
}
