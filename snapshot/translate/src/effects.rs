//! What ops read and write, as far as a translator may keep it in locals.

use lithify_isa::{Op, OpCode};

use crate::blocks::{BasicBlock, End};
use crate::flags;

/// Registers of both files, and what is known of the float unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Set {
    pub(crate) x: u32,
    pub(crate) f: u32,
    /// Float instructions may run.
    pub(crate) float: bool,
    /// The dynamic rounding mode is to nearest.
    pub(crate) nearest: bool,
    /// The host's multiply-add rounds once.
    pub(crate) fused: bool,
}

const fn bit(slot: u8) -> u32 {
    // `x0` needs no local, and the sink has no value.
    if slot == 0 || slot >= 32 { 0 } else { 1 << slot }
}

const fn float_bit(slot: u8) -> u32 {
    1 << (slot & 31)
}

impl Set {
    pub(crate) const EMPTY: Self = Self { x: 0, f: 0, float: false, nearest: false, fused: false };

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            x: self.x & other.x,
            f: self.f & other.f,
            float: self.float && other.float,
            nearest: self.nearest && other.nearest,
            fused: self.fused && other.fused,
        }
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            x: self.x | other.x,
            f: self.f | other.f,
            float: self.float || other.float,
            nearest: self.nearest || other.nearest,
            fused: self.fused || other.fused,
        }
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self {
            x: self.x & !other.x,
            f: self.f & !other.f,
            float: self.float && !other.float,
            nearest: self.nearest && !other.nearest,
            fused: self.fused && !other.fused,
        }
    }
}

/// The files that an op's operands are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// All integer.
    Integer,
    LoadFloat,
    StoreFloat,
    /// All float.
    Float {
        sources: u8,
    },
    /// Integer result, float sources.
    FromFloat {
        sources: u8,
    },
    /// Float result, integer source.
    ToFloat,
}

fn shape(code: OpCode) -> Shape {
    use OpCode as C;
    match code {
        C::LoadF32 | C::LoadF64 => Shape::LoadFloat,
        C::StoreF32 | C::StoreF64 => Shape::StoreFloat,
        _ if !is_float(code) => Shape::Integer,
        C::FSqrtS | C::FSqrtD | C::FCvtSD | C::FCvtDS => Shape::Float { sources: 1 },
        C::FMAddS | C::FMSubS | C::FNMSubS | C::FNMAddS => Shape::Float { sources: 3 },
        C::FMAddD | C::FMSubD | C::FNMSubD | C::FNMAddD => Shape::Float { sources: 3 },
        C::FEqS | C::FLtS | C::FLeS | C::FEqD | C::FLtD | C::FLeD => {
            Shape::FromFloat { sources: 2 }
        }
        C::FClassS | C::FClassD | C::FMvXW | C::FMvXD => Shape::FromFloat { sources: 1 },
        C::FCvtWS | C::FCvtWuS | C::FCvtLS | C::FCvtLuS => Shape::FromFloat { sources: 1 },
        C::FCvtWD | C::FCvtWuD | C::FCvtLD | C::FCvtLuD => Shape::FromFloat { sources: 1 },
        C::FCvtSW | C::FCvtSWu | C::FCvtSL | C::FCvtSLu | C::FMvWX => Shape::ToFloat,
        C::FCvtDW | C::FCvtDWu | C::FCvtDL | C::FCvtDLu | C::FMvDX => Shape::ToFloat,
        _ => Shape::Float { sources: 2 },
    }
}

/// Whether this computes on the float file.
pub(crate) fn is_float(code: OpCode) -> bool {
    (OpCode::FAddS..=OpCode::FMvDX).contains(&code)
}

fn reads(op: &Op) -> Set {
    let float_sources = |sources: u8| {
        [op.rs1, op.rs2, op.rs3][..usize::from(sources)]
            .iter()
            .fold(0, |set, slot| set | float_bit(*slot))
    };
    let float = Set { float: true, ..Set::EMPTY };
    match shape(op.code) {
        Shape::Integer if flags::access(op).is_some() => Set { x: bit(op.rs1), ..float },
        Shape::Integer => Set { x: bit(op.rs1) | bit(op.rs2), ..Set::EMPTY },
        Shape::LoadFloat | Shape::ToFloat => Set { x: bit(op.rs1), ..float },
        Shape::StoreFloat => Set { x: bit(op.rs1), f: float_bit(op.rs2), ..float },
        Shape::Float { sources } => {
            let (nearest, fused) = (is_rounded(op), sources == 3);
            Set { f: float_sources(sources), nearest, fused, ..float }
        }
        Shape::FromFloat { sources } => Set { f: float_sources(sources), ..float },
    }
}

/// Whether this computes and rounds as the dynamic mode says.
fn is_rounded(op: &Op) -> bool {
    use OpCode as C;
    const DYNAMIC: u8 = 7;
    let mode = match op.code {
        code if shape(code) == (Shape::Float { sources: 3 }) => op.imm as u8,
        code if (C::FAddS..=C::FSqrtS).contains(&code) => op.rs3,
        code if (C::FAddD..=C::FSqrtD).contains(&code) => op.rs3,
        _ => return false,
    };
    mode == DYNAMIC
}

fn writes(op: &Op) -> Set {
    match shape(op.code) {
        Shape::Integer | Shape::FromFloat { .. } => Set { x: bit(op.rd), ..Set::EMPTY },
        Shape::LoadFloat | Shape::Float { .. } | Shape::ToFloat => {
            Set { f: float_bit(op.rd), ..Set::EMPTY }
        }
        Shape::StoreFloat => Set::EMPTY,
    }
}

/// What a block reads before it writes it, and what it writes.
pub(crate) fn of_block(block: &BasicBlock) -> (Set, Set) {
    let (mut read, mut written) = (Set::EMPTY, Set::EMPTY);
    for op in &block.ops {
        read = read.or(reads(op).without(written));
        written = written.or(writes(op));
    }
    match block.last {
        End::Branch { op, .. } => read = read.or(reads(&op).without(written)),
        End::CallRegister { op, .. } | End::JumpRegister { op } => {
            let target = Set { x: bit(op.rs1), ..Set::EMPTY };
            read = read.or(target.without(written));
        }
        End::Jump { .. } | End::Call { .. } | End::Exit { .. } => {}
    }
    (read, written)
}
