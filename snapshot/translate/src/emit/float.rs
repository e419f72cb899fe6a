//! Floating point by the host's instructions, as far as they do what the guest's would.
//!
//! A result stands if rounding is to nearest, it is exact or *inexact* is flagged already, and it is finite
//! and clearly normal: then nothing else can have been raised. NaNs, subnormal numbers, and the first
//! inexact operation are the interpreter's. Multiply-add is wasm's relaxed one, where that rounds once,
//! which functions find out before they use it.

use lithify_isa::{Op, OpCode};
use wasm_encoder::{BlockType, Ieee32, Ieee64, InstructionSink, ValType};

use super::{Emitter, field, local};
use crate::blocks::Offset;
use crate::flags;

/// Rounding modes in an instruction: to nearest, towards zero, and what `frm` says.
const NEAREST: u8 = 0;
const TOWARDS_ZERO: u8 = 1;
const DYNAMIC: u8 = 7;

/// All bits of `fflags`.
const ALL_FLAGS: i64 = 0x1f;
/// `fflags`' inexact.
const NX: i32 = 1;

/// The lowest magnitude that nothing tiny is rounded to, twice the smallest normal number.
const NORMAL_F64: f64 = 2.0 * f64::MIN_POSITIVE;

/// A power of two from which on integers of 64 bits are not looked at closely.
const LARGE: f64 = (1u64 << 62) as f64;

const BOX: i64 = 0xffff_ffff << 32;

fn f64_value(value: f64) -> Ieee64 {
    Ieee64::new(value.to_bits())
}

fn f32_value(value: f32) -> Ieee32 {
    Ieee32::new(value.to_bits())
}

/// Pushes the exponent's bits of [`local::FR`].
fn exponent_double(w: &mut InstructionSink<'_>) {
    w.local_get(local::FR).i64_reinterpret_f64().i64_const(52).i64_shr_u().i32_wrap_i64();
    w.i32_const(0x7ff).i32_and();
}

/// The same of [`local::SR`].
fn exponent_single(w: &mut InstructionSink<'_>) {
    w.local_get(local::SR).i32_reinterpret_f32().i32_const(23).i32_shr_u();
    w.i32_const(0xff).i32_and();
}

/// Pushes whether [`local::FR`] is infinite or no number.
fn is_not_finite_double(w: &mut InstructionSink<'_>) {
    exponent_double(w);
    w.i32_const(0x7ff).i32_eq();
}

/// The same of [`local::SR`].
fn is_not_finite_single(w: &mut InstructionSink<'_>) {
    exponent_single(w);
    w.i32_const(0xff).i32_eq();
}

/// Pushes whether [`local::FR`] is zero, infinite, no number, or so small that it may have been tiny before it
/// was rounded: everything but the exponents from 2 up to the largest.
fn is_not_normal_double(w: &mut InstructionSink<'_>) {
    exponent_double(w);
    w.i32_const(2).i32_sub().i32_const(0x7ff - 2).i32_ge_u();
}

/// The same of [`local::SR`].
fn is_not_normal_single(w: &mut InstructionSink<'_>) {
    exponent_single(w);
    w.i32_const(2).i32_sub().i32_const(0xff - 2).i32_ge_u();
}

/// Where an op stands, for its exits.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: Offset,
    retired: u32,
}

impl Emitter<'_> {
    pub(super) fn float(&mut self, op: &Op, retired: u32) {
        use OpCode as C;
        let place = Place { at: op.pc.into(), retired };
        self.ask_for_float(place.at, retired);
        match op.code {
            C::FAddD | C::FSubD | C::FMulD | C::FDivD | C::FSqrtD => self.compute_double(op, place),
            C::FAddS | C::FSubS | C::FMulS | C::FDivS | C::FSqrtS => self.compute_single(op, place),
            C::FSgnjD | C::FSgnjnD | C::FSgnjxD => self.sign_double(op),
            C::FSgnjS | C::FSgnjnS | C::FSgnjxS => self.sign_single(op, place),
            C::FMinD | C::FMaxD => self.pick_double(op, place),
            C::FMinS | C::FMaxS => self.pick_single(op, place),
            C::FEqD | C::FLtD | C::FLeD => self.compare_double(op, place),
            C::FEqS | C::FLtS | C::FLeS => self.compare_single(op, place),
            C::FCvtWD | C::FCvtWuD | C::FCvtLD | C::FCvtLuD => self.double_to_integer(op, place),
            C::FCvtWS | C::FCvtWuS | C::FCvtLS | C::FCvtLuS => self.single_to_integer(op, place),
            C::FCvtDW | C::FCvtDWu | C::FCvtDL | C::FCvtDLu => self.integer_to_double(op, place),
            C::FCvtSW | C::FCvtSWu | C::FCvtSL | C::FCvtSLu => self.integer_to_single(op, place),
            C::FCvtSD => self.narrow(op, place),
            C::FCvtDS => self.widen(op, place),
            C::FMvXD | C::FMvXW => {
                self.read_float(op.rs1);
                self.w().i64_reinterpret_f64();
                if op.code == C::FMvXW {
                    self.w().i64_extend32_s();
                }
                self.write(op.rd);
            }
            C::FMvDX | C::FMvWX => {
                self.read(op.rs1);
                if op.code == C::FMvWX {
                    self.w().i64_const(BOX).i64_or();
                }
                self.w().f64_reinterpret_i64();
                self.write_float(op.rd);
            }
            C::FMAddD | C::FMSubD | C::FNMSubD | C::FNMAddD => self.fuse_double(op, place),
            _ => self.fuse_single(op, place),
        }
    }

    /// An access to the flags themselves.
    pub(super) fn access_flags(&mut self, op: &Op, retired: u32) {
        let fflags = field(self.layout().fflags, 0);
        self.ask_for_float(op.pc.into(), retired);
        self.w().i32_const(0).i64_load8_u(fflags).local_set(local::A);
        if flags::writes(op) {
            self.w().i32_const(0);
            self.read(op.rs1);
            self.w().i64_const(ALL_FLAGS).i64_and().i64_store8(fflags);
        }
        self.w().local_get(local::A);
        self.write(op.rd);
    }

    /// Leaves in any case.
    fn give_up(&mut self, place: Place) {
        self.w().i32_const(1);
        self.exit_if(place.at, place.retired);
    }

    /// Leaves unless the dynamic rounding mode is to nearest.
    pub(super) fn ask_for_nearest(&mut self, at: Offset, retired: u32) {
        if !self.path.known.nearest {
            let frm = field(self.layout().frm, 0);
            self.w().i32_const(0).i32_load8_u(frm);
            self.exit_if(at, retired);
            self.path.known.nearest = true;
        }
    }

    /// Leaves if *inexact* is not flagged yet and what `inexact` pushes is not zero.
    fn ask_for_exact(&mut self, place: Place, inexact: impl FnOnce(&mut InstructionSink<'_>)) {
        let fflags = field(self.layout().fflags, 0);
        let mut w = self.w();
        w.i32_const(0).i32_load8_u(fflags).i32_const(NX).i32_and();
        w.if_(BlockType::Result(ValType::I32)).i32_const(0).else_();
        inexact(&mut w);
        w.end();
        self.exit_if(place.at, place.retired);
    }

    /// The same for an op with its own rounding mode: other ones leave always.
    fn round_to_nearest(&mut self, mode: u8, place: Place) {
        match mode {
            NEAREST => {}
            DYNAMIC => self.ask_for_nearest(place.at, place.retired),
            _ => self.give_up(place),
        }
    }

    fn operands_double(&mut self, op: &Op) {
        self.read_float(op.rs1);
        self.w().local_set(local::FA);
        self.read_float(op.rs2);
        self.w().local_set(local::FB);
    }

    fn operands_single(&mut self, op: &Op, place: Place) {
        self.read_single(op.rs1, place);
        self.w().local_set(local::SA);
        self.read_single(op.rs2, place);
        self.w().local_set(local::SB);
    }

    /// Pushes a binary32, which must be boxed.
    fn read_single(&mut self, slot: u8, place: Place) {
        self.read_float(slot);
        let mut w = self.w();
        w.i64_reinterpret_f64().local_tee(local::A).i64_const(BOX).i64_lt_u();
        self.exit_if(place.at, place.retired);
        self.w().local_get(local::A).i32_wrap_i64().f32_reinterpret_i32();
    }

    fn write_single(&mut self, slot: u8) {
        let mut w = self.w();
        w.i32_reinterpret_f32().i64_extend_i32_u().i64_const(BOX).i64_or().f64_reinterpret_i64();
        self.write_float(slot);
    }

    fn compute_double(&mut self, op: &Op, place: Place) {
        use OpCode as C;
        use local::{FA, FB, FC, FR};
        self.round_to_nearest(op.rs3, place);
        self.operands_double(op);
        let mut w = self.w();
        w.local_get(FA);
        match op.code {
            C::FAddD => w.local_get(FB).f64_add(),
            C::FSubD => w.local_get(FB).f64_sub(),
            C::FMulD => w.local_get(FB).f64_mul(),
            C::FDivD => w.local_get(FB).f64_div(),
            _ => w.f64_sqrt(),
        };
        w.local_set(FR);
        if matches!(op.code, C::FAddD | C::FSubD) {
            // A sum never underflows: below the normal range it is exact.
            is_not_finite_double(&mut w);
        } else {
            is_not_normal_double(&mut w);
            w.if_(BlockType::Result(ValType::I32));
            exact_zero(&mut w, op.code, [FR, FA, FB], |w| {
                w.f64_const(f64_value(0.0)).f64_eq();
            });
            w.i32_eqz().else_().i32_const(0).end();
        }
        self.exit_if(place.at, place.retired);
        self.ask_for_exact(place, |w| match op.code {
            C::FAddD => sum_error_double(w, FA, FB, FR),
            C::FSubD => {
                w.local_get(FB).f64_neg().local_set(FC);
                sum_error_double(w, FA, FC, FR);
            }
            C::FMulD => inexact_product(w, FA, FB),
            _ => {
                w.i32_const(1);
            }
        });
        self.w().local_get(FR);
        self.write_float(op.rd);
    }

    fn compute_single(&mut self, op: &Op, place: Place) {
        use OpCode as C;
        use local::{SA, SB, SR};
        self.round_to_nearest(op.rs3, place);
        if op.code == C::FSqrtS {
            self.read_single(op.rs1, place);
            self.w().local_set(SA);
        } else {
            self.operands_single(op, place);
        }
        let mut w = self.w();
        w.local_get(SA);
        match op.code {
            C::FAddS => w.local_get(SB).f32_add(),
            C::FSubS => w.local_get(SB).f32_sub(),
            C::FMulS => w.local_get(SB).f32_mul(),
            C::FDivS => w.local_get(SB).f32_div(),
            _ => w.f32_sqrt(),
        };
        w.local_set(SR);
        if matches!(op.code, C::FAddS | C::FSubS) {
            is_not_finite_single(&mut w);
        } else {
            is_not_normal_single(&mut w);
            w.if_(BlockType::Result(ValType::I32));
            exact_zero(&mut w, op.code, [SR, SA, SB], |w| {
                w.f32_const(f32_value(0.0)).f32_eq();
            });
            w.i32_eqz().else_().i32_const(0).end();
        }
        self.exit_if(place.at, place.retired);
        self.ask_for_exact(place, |w| match op.code {
            C::FAddS => sum_error_single(w, false),
            C::FSubS => sum_error_single(w, true),
            // Binary64 holds any product of two.
            C::FMulS => {
                w.local_get(SA).f64_promote_f32().local_get(SB).f64_promote_f32().f64_mul();
                w.local_get(SR).f64_promote_f32().f64_ne();
            }
            _ => {
                w.i32_const(1);
            }
        });
        self.w().local_get(SR);
        self.write_single(op.rd);
    }

    /// Leaves unless the host's multiply-add rounds once: (1 + 2^-30) * (1 - 2^-30) - 1 is zero otherwise.
    pub(super) fn ask_for_fused(&mut self, at: Offset, retired: u32) {
        const SMALL: f64 = 1.0 / (1u64 << 30) as f64;
        if !self.path.known.fused {
            let mut w = self.w();
            for value in [1.0 + SMALL, 1.0 - SMALL, -1.0] {
                w.f64_const(f64_value(value)).f64x2_splat();
            }
            w.f64x2_relaxed_madd().f64x2_extract_lane(0).f64_const(f64_value(0.0)).f64_eq();
            self.exit_if(at, retired);
            self.path.known.fused = true;
        }
    }

    fn fuse_double(&mut self, op: &Op, place: Place) {
        use OpCode as C;
        use local::{FA, FB, FC, FR};
        self.round_to_nearest(op.imm as u8, place);
        self.ask_for_fused(place.at, place.retired);
        self.operands_double(op);
        self.read_float(op.rs3);
        if matches!(op.code, C::FMSubD | C::FNMAddD) {
            self.w().f64_neg();
        }
        let mut w = self.w();
        w.local_set(FC).local_get(FA);
        if matches!(op.code, C::FNMSubD | C::FNMAddD) {
            w.f64_neg();
        }
        w.f64x2_splat().local_get(FB).f64x2_splat().local_get(FC).f64x2_splat();
        w.f64x2_relaxed_madd().f64x2_extract_lane(0).local_set(FR);
        is_not_normal_double(&mut w);
        // Or the product is an exact zero, and the result the other operand.
        w.if_(BlockType::Result(ValType::I32));
        for factor in [FA, FB] {
            w.local_get(factor).f64_const(f64_value(0.0)).f64_eq();
        }
        w.i32_or().local_get(FR).local_get(FC).f64_eq().i32_and().i32_eqz();
        w.else_().i32_const(0).end();
        self.exit_if(place.at, place.retired);
        let minus = matches!(op.code, C::FNMSubD | C::FNMAddD);
        self.ask_for_exact(place, |w| inexact_multiply_add(w, minus));
        self.w().local_get(FR);
        self.write_float(op.rd);
    }

    fn fuse_single(&mut self, op: &Op, place: Place) {
        use OpCode as C;
        use local::{SA, SB, SR};
        self.round_to_nearest(op.imm as u8, place);
        self.ask_for_fused(place.at, place.retired);
        self.operands_single(op, place);
        self.read_single(op.rs3, place);
        if matches!(op.code, C::FMSubS | C::FNMAddS) {
            self.w().f32_neg();
        }
        let mut w = self.w();
        w.local_set(SR).local_get(SA);
        if matches!(op.code, C::FNMSubS | C::FNMAddS) {
            w.f32_neg();
        }
        w.f32x4_splat().local_get(SB).f32x4_splat().local_get(SR).f32x4_splat();
        w.f32x4_relaxed_madd().f32x4_extract_lane(0).local_set(SR);
        is_not_normal_single(&mut w);
        self.exit_if(place.at, place.retired);
        self.ask_for_exact(place, |w| {
            w.i32_const(1);
        });
        self.w().local_get(SR);
        self.write_single(op.rd);
    }

    fn sign_double(&mut self, op: &Op) {
        use OpCode as C;
        if op.rs1 == op.rs2 {
            self.read_float(op.rs1);
            match op.code {
                C::FSgnjnD => {
                    self.w().f64_neg();
                }
                C::FSgnjxD => {
                    self.w().f64_abs();
                }
                _ => {}
            }
            return self.write_float(op.rd);
        }
        self.operands_double(op);
        let mut w = self.w();
        w.local_get(local::FA).local_get(local::FB);
        match op.code {
            C::FSgnjD => w.f64_copysign(),
            C::FSgnjnD => w.f64_neg().f64_copysign(),
            _ => {
                w.i64_reinterpret_f64().i64_const(i64::MIN).i64_and().local_set(local::A);
                w.i64_reinterpret_f64().local_get(local::A).i64_xor().f64_reinterpret_i64()
            }
        };
        self.write_float(op.rd);
    }

    fn sign_single(&mut self, op: &Op, place: Place) {
        use OpCode as C;
        self.operands_single(op, place);
        let mut w = self.w();
        w.local_get(local::SA).local_get(local::SB);
        match op.code {
            C::FSgnjS => w.f32_copysign(),
            C::FSgnjnS => w.f32_neg().f32_copysign(),
            _ => {
                w.i32_reinterpret_f32().i32_const(i32::MIN).i32_and().local_set(local::HOST);
                w.i32_reinterpret_f32().local_get(local::HOST).i32_xor().f32_reinterpret_i32()
            }
        };
        self.write_single(op.rd);
    }

    /// Leaves if one of both is no number.
    fn ask_for_numbers_double(&mut self, place: Place) {
        use local::{FA, FB};
        let mut w = self.w();
        w.local_get(FA).local_get(FA).f64_ne().local_get(FB).local_get(FB).f64_ne().i32_or();
        self.exit_if(place.at, place.retired);
    }

    fn ask_for_numbers_single(&mut self, place: Place) {
        use local::{SA, SB};
        let mut w = self.w();
        w.local_get(SA).local_get(SA).f32_ne().local_get(SB).local_get(SB).f32_ne().i32_or();
        self.exit_if(place.at, place.retired);
    }

    fn pick_double(&mut self, op: &Op, place: Place) {
        self.operands_double(op);
        self.ask_for_numbers_double(place);
        let mut w = self.w();
        w.local_get(local::FA).local_get(local::FB);
        if op.code == OpCode::FMinD {
            w.f64_min()
        } else {
            w.f64_max()
        };
        self.write_float(op.rd);
    }

    fn pick_single(&mut self, op: &Op, place: Place) {
        self.operands_single(op, place);
        self.ask_for_numbers_single(place);
        let mut w = self.w();
        w.local_get(local::SA).local_get(local::SB);
        if op.code == OpCode::FMinS {
            w.f32_min()
        } else {
            w.f32_max()
        };
        self.write_single(op.rd);
    }

    fn compare_double(&mut self, op: &Op, place: Place) {
        self.operands_double(op);
        self.ask_for_numbers_double(place);
        let mut w = self.w();
        w.local_get(local::FA).local_get(local::FB);
        match op.code {
            OpCode::FEqD => w.f64_eq(),
            OpCode::FLtD => w.f64_lt(),
            _ => w.f64_le(),
        };
        w.i64_extend_i32_u();
        self.write(op.rd);
    }

    fn compare_single(&mut self, op: &Op, place: Place) {
        self.operands_single(op, place);
        self.ask_for_numbers_single(place);
        let mut w = self.w();
        w.local_get(local::SA).local_get(local::SB);
        match op.code {
            OpCode::FEqS => w.f32_eq(),
            OpCode::FLtS => w.f32_lt(),
            _ => w.f32_le(),
        };
        w.i64_extend_i32_u();
        self.write(op.rd);
    }

    fn double_to_integer(&mut self, op: &Op, place: Place) {
        self.read_float(op.rs1);
        self.w().local_set(local::FA);
        self.convert_to_integer(op, place);
    }

    fn single_to_integer(&mut self, op: &Op, place: Place) {
        self.read_single(op.rs1, place);
        self.w().f64_promote_f32().local_set(local::FA);
        self.convert_to_integer(op, place);
    }

    /// Converts [`local::FA`] where the result is in range, and exact or rounded towards zero.
    fn convert_to_integer(&mut self, op: &Op, place: Place) {
        use OpCode as C;
        use local::{A, FA};
        let fflags = field(self.layout().fflags, 0);
        // A power of two well inside the range of the host's conversion.
        const LIMIT: f64 = (1u64 << 62) as f64;
        match op.rs3 {
            // Reserved modes are illegal.
            DYNAMIC => self.ask_for_nearest(place.at, place.retired),
            5.. => self.give_up(place),
            _ => {}
        }
        let mut w = self.w();
        w.local_get(FA).f64_abs().f64_const(f64_value(LIMIT)).f64_lt().i32_eqz();
        self.exit_if(place.at, place.retired);
        let mut w = self.w();
        w.local_get(FA).i64_trunc_sat_f64_s().local_set(A);
        w.local_get(A).f64_convert_i64_s().local_get(FA).f64_ne();
        if op.rs3 == TOWARDS_ZERO {
            w.i32_const(0).i32_load8_u(fflags).i32_const(NX).i32_and().i32_eqz().i32_and();
        }
        match op.code {
            C::FCvtWD | C::FCvtWS => {
                w.local_get(A).local_get(A).i64_extend32_s().i64_ne();
            }
            C::FCvtWuD | C::FCvtWuS => {
                w.local_get(A).i64_const(0xffff_ffff).i64_gt_u();
            }
            C::FCvtLuD | C::FCvtLuS => {
                w.local_get(A).i64_const(0).i64_lt_s();
            }
            _ => {
                w.i32_const(0);
            }
        }
        w.i32_or();
        self.exit_if(place.at, place.retired);
        self.w().local_get(A);
        if matches!(op.code, C::FCvtWuD | C::FCvtWuS) {
            self.w().i64_extend32_s();
        }
        self.write(op.rd);
    }

    fn integer_to_double(&mut self, op: &Op, place: Place) {
        use OpCode as C;
        if matches!(op.code, C::FCvtDL | C::FCvtDLu) {
            self.round_to_nearest(op.rs3, place);
        } else if op.rs3 == DYNAMIC {
            // Exact, but reserved modes are illegal.
            self.ask_for_nearest(place.at, place.retired);
        } else if op.rs3 > 4 {
            self.give_up(place);
        }
        self.read(op.rs1);
        let mut w = self.w();
        match op.code {
            C::FCvtDW => w.i32_wrap_i64().f64_convert_i32_s(),
            C::FCvtDWu => w.i32_wrap_i64().f64_convert_i32_u(),
            C::FCvtDL => w.f64_convert_i64_s(),
            _ => w.f64_convert_i64_u(),
        };
        w.local_set(local::FR);
        if matches!(op.code, C::FCvtDL | C::FCvtDLu) {
            let signed = op.code == C::FCvtDL;
            self.read(op.rs1);
            self.w().local_set(local::A);
            self.ask_for_exact(place, |w| {
                w.local_get(local::FR);
                if signed {
                    w.i64_trunc_sat_f64_s()
                } else {
                    w.i64_trunc_sat_f64_u()
                };
                w.local_get(local::A).i64_ne();
                // Saturation may hide what rounding up to a power of two did.
                w.local_get(local::FR).f64_abs().f64_const(f64_value(LARGE)).f64_ge().i32_or();
            });
        }
        self.w().local_get(local::FR);
        self.write_float(op.rd);
    }

    fn integer_to_single(&mut self, op: &Op, place: Place) {
        use OpCode as C;
        self.round_to_nearest(op.rs3, place);
        self.read(op.rs1);
        let mut w = self.w();
        match op.code {
            C::FCvtSW => w.i32_wrap_i64().f32_convert_i32_s(),
            C::FCvtSWu => w.i32_wrap_i64().f32_convert_i32_u(),
            C::FCvtSL => w.f32_convert_i64_s(),
            _ => w.f32_convert_i64_u(),
        };
        w.local_set(local::SR);
        self.ask_for_exact(place, |w| {
            w.i32_const(1);
        });
        self.w().local_get(local::SR);
        self.write_single(op.rd);
    }

    fn narrow(&mut self, op: &Op, place: Place) {
        use local::{FA, SR};
        self.round_to_nearest(op.rs3, place);
        self.read_float(op.rs1);
        let mut w = self.w();
        w.local_tee(FA).f32_demote_f64().local_set(SR);
        is_not_normal_single(&mut w);
        w.local_get(FA).f64_const(f64_value(0.0)).f64_ne().i32_and();
        self.exit_if(place.at, place.retired);
        self.ask_for_exact(place, |w| {
            w.local_get(SR).f64_promote_f32().local_get(FA).f64_ne();
        });
        self.w().local_get(SR);
        self.write_single(op.rd);
    }

    /// Exact, but of a NaN; reserved modes are illegal.
    fn widen(&mut self, op: &Op, place: Place) {
        use local::SA;
        if op.rs3 == DYNAMIC {
            self.ask_for_nearest(place.at, place.retired);
        } else if op.rs3 > 4 {
            self.give_up(place);
        }
        self.read_single(op.rs1, place);
        self.w().local_tee(SA).local_get(SA).f32_ne();
        self.exit_if(place.at, place.retired);
        self.w().local_get(SA).f64_promote_f32();
        self.write_float(op.rd);
    }
}

/// Pushes whether a result that is not normal is an exact zero; `locals` are the result's and the operands'.
fn exact_zero(
    w: &mut InstructionSink<'_>,
    code: OpCode,
    [result, a, b]: [u32; 3],
    mut is_zero: impl FnMut(&mut InstructionSink<'_>),
) {
    use OpCode as C;
    w.local_get(result);
    is_zero(w);
    match code {
        C::FMulD | C::FMulS => {
            w.local_get(a);
            is_zero(w);
            w.local_get(b);
            is_zero(w);
            w.i32_or().i32_and();
        }
        C::FDivD | C::FDivS => {
            w.local_get(a);
            is_zero(w);
            w.i32_and();
        }
        _ => {}
    }
}

/// Pushes whether rounding took anything from the finite sum `sum` of `a` and `b` (Knuth's two-sum).
fn sum_error_double(w: &mut InstructionSink<'_>, a: u32, b: u32, sum: u32) {
    w.local_get(a).local_get(sum).local_get(sum).local_get(a).f64_sub();
    // a - (sum - (sum - a))
    w.f64_sub().f64_sub();
    // b - (sum - a)
    w.local_get(b).local_get(sum).local_get(a).f64_sub().f64_sub();
    w.f64_add().f64_const(f64_value(0.0)).f64_ne();
}

/// The same for [`local::SR`], the sum or difference of [`local::SA`] and [`local::SB`].
fn sum_error_single(w: &mut InstructionSink<'_>, difference: bool) {
    use local::{SA, SB, SR};
    w.local_get(SA).local_get(SR).local_get(SR).local_get(SA).f32_sub().f32_sub().f32_sub();
    w.local_get(SB);
    if difference {
        w.f32_neg();
    }
    w.local_get(SR).local_get(SA).f32_sub().f32_sub();
    w.f32_add().f32_const(f32_value(0.0)).f32_ne();
}

/// Pushes whether the product of two numbers, which is clearly normal or zero, may need more than the 53 bits
/// of a significand.
fn inexact_product(w: &mut InstructionSink<'_>, a: u32, b: u32) {
    const HIDDEN: i64 = 1 << 52;
    const PRECISION: i64 = 53;
    for factor in [a, b] {
        w.local_get(factor).i64_reinterpret_f64().i64_const(HIDDEN).i64_or().i64_ctz();
    }
    w.i64_add().i64_const(PRECISION).i64_lt_s();
    for factor in [a, b] {
        w.local_get(factor).f64_const(f64_value(0.0)).f64_ne().i32_and();
    }
}

/// Pushes whether the multiply-add of [`local::FA`], [`local::FB`] and [`local::FC`] may have been rounded:
/// whether its product or the sum of that and the third would be.
fn inexact_multiply_add(w: &mut InstructionSink<'_>, minus: bool) {
    use local::{FA, FB, FC, FR};
    const PRODUCT: u32 = local::FP;
    w.local_get(FA).local_get(FB).f64_mul();
    if minus {
        w.f64_neg();
    }
    w.local_set(PRODUCT);
    inexact_product(w, FA, FB);
    sum_error_double(w, PRODUCT, FC, FR);
    w.i32_or();
    // A product that is tiny was rounded, unless a factor is zero.
    w.local_get(PRODUCT).f64_abs().f64_const(f64_value(NORMAL_F64)).f64_lt();
    for factor in [FA, FB] {
        w.local_get(factor).f64_const(f64_value(0.0)).f64_ne().i32_and();
    }
    w.i32_or();
}
