//! F and D: binary32 and binary64 (volume I, chapters 21 and 22).

use super::encoding::opcode::{LOAD_FP, MADD, MSUB, NMADD, NMSUB, OP_FP, STORE_FP};
use super::encoding::{Encoding, Pattern, f3, f7, f7_rm, f12, f12_rm, line};
use super::format::Format::{F, FInt, FIntRm, FLoad, FRm, FStore, Fma, FromInt, FromIntRm};
use crate::OpCode;

/// Fused multiply-add: the format is in bits 26:25.
const fn fma(opcode: u32, fmt: u32) -> Pattern {
    (0x0600_007f, opcode | fmt << 25)
}

const S: u32 = 0;
const D: u32 = 1;

/// `funct7` of an OP-FP instruction: five bits of function, two of format.
const fn of(funct5: u32, fmt: u32) -> u32 {
    funct5 << 2 | fmt
}

pub(super) const LIST: &[Encoding] = &[
    line("flw", f3(LOAD_FP, 2), FLoad, OpCode::LoadF32),
    line("fld", f3(LOAD_FP, 3), FLoad, OpCode::LoadF64),
    line("fsw", f3(STORE_FP, 2), FStore, OpCode::StoreF32),
    line("fsd", f3(STORE_FP, 3), FStore, OpCode::StoreF64),
    line("fmadd.s", fma(MADD, S), Fma, OpCode::FMAddS),
    line("fmsub.s", fma(MSUB, S), Fma, OpCode::FMSubS),
    line("fnmsub.s", fma(NMSUB, S), Fma, OpCode::FNMSubS),
    line("fnmadd.s", fma(NMADD, S), Fma, OpCode::FNMAddS),
    line("fadd.s", f7_rm(OP_FP, of(0x00, S)), FRm, OpCode::FAddS),
    line("fsub.s", f7_rm(OP_FP, of(0x01, S)), FRm, OpCode::FSubS),
    line("fmul.s", f7_rm(OP_FP, of(0x02, S)), FRm, OpCode::FMulS),
    line("fdiv.s", f7_rm(OP_FP, of(0x03, S)), FRm, OpCode::FDivS),
    line("fsqrt.s", f12_rm(OP_FP, of(0x0b, S), 0), FRm, OpCode::FSqrtS),
    line("fsgnj.s", f7(OP_FP, 0, of(0x04, S)), F, OpCode::FSgnjS),
    line("fsgnjn.s", f7(OP_FP, 1, of(0x04, S)), F, OpCode::FSgnjnS),
    line("fsgnjx.s", f7(OP_FP, 2, of(0x04, S)), F, OpCode::FSgnjxS),
    line("fmin.s", f7(OP_FP, 0, of(0x05, S)), F, OpCode::FMinS),
    line("fmax.s", f7(OP_FP, 1, of(0x05, S)), F, OpCode::FMaxS),
    line("feq.s", f7(OP_FP, 2, of(0x14, S)), FInt, OpCode::FEqS),
    line("flt.s", f7(OP_FP, 1, of(0x14, S)), FInt, OpCode::FLtS),
    line("fle.s", f7(OP_FP, 0, of(0x14, S)), FInt, OpCode::FLeS),
    line("fclass.s", f12(OP_FP, 1, of(0x1c, S) << 5), FInt, OpCode::FClassS),
    line("fcvt.w.s", f12_rm(OP_FP, of(0x18, S), 0), FIntRm, OpCode::FCvtWS),
    line("fcvt.wu.s", f12_rm(OP_FP, of(0x18, S), 1), FIntRm, OpCode::FCvtWuS),
    line("fcvt.l.s", f12_rm(OP_FP, of(0x18, S), 2), FIntRm, OpCode::FCvtLS),
    line("fcvt.lu.s", f12_rm(OP_FP, of(0x18, S), 3), FIntRm, OpCode::FCvtLuS),
    line("fcvt.s.w", f12_rm(OP_FP, of(0x1a, S), 0), FromIntRm, OpCode::FCvtSW),
    line("fcvt.s.wu", f12_rm(OP_FP, of(0x1a, S), 1), FromIntRm, OpCode::FCvtSWu),
    line("fcvt.s.l", f12_rm(OP_FP, of(0x1a, S), 2), FromIntRm, OpCode::FCvtSL),
    line("fcvt.s.lu", f12_rm(OP_FP, of(0x1a, S), 3), FromIntRm, OpCode::FCvtSLu),
    line("fmv.x.w", f12(OP_FP, 0, of(0x1c, S) << 5), FInt, OpCode::FMvXW),
    line("fmv.w.x", f12(OP_FP, 0, of(0x1e, S) << 5), FromInt, OpCode::FMvWX),
    line("fmadd.d", fma(MADD, D), Fma, OpCode::FMAddD),
    line("fmsub.d", fma(MSUB, D), Fma, OpCode::FMSubD),
    line("fnmsub.d", fma(NMSUB, D), Fma, OpCode::FNMSubD),
    line("fnmadd.d", fma(NMADD, D), Fma, OpCode::FNMAddD),
    line("fadd.d", f7_rm(OP_FP, of(0x00, D)), FRm, OpCode::FAddD),
    line("fsub.d", f7_rm(OP_FP, of(0x01, D)), FRm, OpCode::FSubD),
    line("fmul.d", f7_rm(OP_FP, of(0x02, D)), FRm, OpCode::FMulD),
    line("fdiv.d", f7_rm(OP_FP, of(0x03, D)), FRm, OpCode::FDivD),
    line("fsqrt.d", f12_rm(OP_FP, of(0x0b, D), 0), FRm, OpCode::FSqrtD),
    line("fsgnj.d", f7(OP_FP, 0, of(0x04, D)), F, OpCode::FSgnjD),
    line("fsgnjn.d", f7(OP_FP, 1, of(0x04, D)), F, OpCode::FSgnjnD),
    line("fsgnjx.d", f7(OP_FP, 2, of(0x04, D)), F, OpCode::FSgnjxD),
    line("fmin.d", f7(OP_FP, 0, of(0x05, D)), F, OpCode::FMinD),
    line("fmax.d", f7(OP_FP, 1, of(0x05, D)), F, OpCode::FMaxD),
    line("feq.d", f7(OP_FP, 2, of(0x14, D)), FInt, OpCode::FEqD),
    line("flt.d", f7(OP_FP, 1, of(0x14, D)), FInt, OpCode::FLtD),
    line("fle.d", f7(OP_FP, 0, of(0x14, D)), FInt, OpCode::FLeD),
    line("fclass.d", f12(OP_FP, 1, of(0x1c, D) << 5), FInt, OpCode::FClassD),
    line("fcvt.w.d", f12_rm(OP_FP, of(0x18, D), 0), FIntRm, OpCode::FCvtWD),
    line("fcvt.wu.d", f12_rm(OP_FP, of(0x18, D), 1), FIntRm, OpCode::FCvtWuD),
    line("fcvt.l.d", f12_rm(OP_FP, of(0x18, D), 2), FIntRm, OpCode::FCvtLD),
    line("fcvt.lu.d", f12_rm(OP_FP, of(0x18, D), 3), FIntRm, OpCode::FCvtLuD),
    line("fcvt.d.w", f12_rm(OP_FP, of(0x1a, D), 0), FromIntRm, OpCode::FCvtDW),
    line("fcvt.d.wu", f12_rm(OP_FP, of(0x1a, D), 1), FromIntRm, OpCode::FCvtDWu),
    line("fcvt.d.l", f12_rm(OP_FP, of(0x1a, D), 2), FromIntRm, OpCode::FCvtDL),
    line("fcvt.d.lu", f12_rm(OP_FP, of(0x1a, D), 3), FromIntRm, OpCode::FCvtDLu),
    line("fmv.x.d", f12(OP_FP, 0, of(0x1c, D) << 5), FInt, OpCode::FMvXD),
    line("fmv.d.x", f12(OP_FP, 0, of(0x1e, D) << 5), FromInt, OpCode::FMvDX),
    line("fcvt.s.d", f12_rm(OP_FP, of(0x08, S), 1), FRm, OpCode::FCvtSD),
    line("fcvt.d.s", f12_rm(OP_FP, of(0x08, D), 0), FRm, OpCode::FCvtDS),
];
