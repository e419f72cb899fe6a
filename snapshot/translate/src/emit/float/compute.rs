//! Sums, products, quotients and roots.

use lithify_isa::{Op, OpCode};
use wasm_encoder::InstructionSink;

use super::exact::{exact_zero, inexact_product, sum_error_double, sum_error_single};
use super::{Emitter, Place, f32_value, f64_value, local};

impl Emitter<'_> {
    pub(super) fn compute_double(&mut self, op: &Op, place: Place) {
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
            self.exit_if(place.at, place.retired);
        } else {
            is_not_normal_double(&mut w);
            self.exit_if_indeed(place, |w| {
                exact_zero(w, op.code, [FR, FA, FB], |w| {
                    w.f64_const(f64_value(0.0)).f64_eq();
                });
                w.i32_eqz();
            });
        }
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

    pub(super) fn compute_single(&mut self, op: &Op, place: Place) {
        use OpCode as C;
        use local::{SA, SB, SR};
        self.round_to_nearest(op.rs3, place);
        if op.code == C::FSqrtS {
            self.read_single(op.rs1, place.at, place.retired);
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
            self.exit_if(place.at, place.retired);
        } else {
            is_not_normal_single(&mut w);
            self.exit_if_indeed(place, |w| {
                exact_zero(w, op.code, [SR, SA, SB], |w| {
                    w.f32_const(f32_value(0.0)).f32_eq();
                });
                w.i32_eqz();
            });
        }
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
pub(super) fn is_not_normal_double(w: &mut InstructionSink<'_>) {
    exponent_double(w);
    w.i32_const(2).i32_sub().i32_const(0x7ff - 2).i32_ge_u();
}

/// The same of [`local::SR`].
pub(super) fn is_not_normal_single(w: &mut InstructionSink<'_>) {
    exponent_single(w);
    w.i32_const(2).i32_sub().i32_const(0xff - 2).i32_ge_u();
}
