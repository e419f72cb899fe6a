//! Multiply-add, which rounds once.

use lithify_isa::{Op, OpCode};

use super::compute::{is_not_normal_double, is_not_normal_single};
use super::exact::inexact_multiply_add;
use super::{Emitter, Offset, Place, f64_value, local};

impl Emitter<'_> {
    /// Leaves unless the host's multiply-add rounds once: (1 + 2^-30) * (1 - 2^-30) - 1 is zero otherwise.
    pub(in crate::emit) fn ask_for_fused(&mut self, at: Offset, retired: u32) {
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

    pub(super) fn fuse_double(&mut self, op: &Op, place: Place) {
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
        self.exit_if_indeed(place, |w| {
            for factor in [FA, FB] {
                w.local_get(factor).f64_const(f64_value(0.0)).f64_eq();
            }
            w.i32_or().local_get(FR).local_get(FC).f64_eq().i32_and().i32_eqz();
        });
        let minus = matches!(op.code, C::FNMSubD | C::FNMAddD);
        self.ask_for_exact(place, |w| inexact_multiply_add(w, minus));
        self.w().local_get(FR);
        self.write_float(op.rd);
    }

    pub(super) fn fuse_single(&mut self, op: &Op, place: Place) {
        use OpCode as C;
        use local::{SA, SB, SR};
        self.round_to_nearest(op.imm as u8, place);
        self.ask_for_fused(place.at, place.retired);
        self.operands_single(op, place);
        self.read_single(op.rs3, place.at, place.retired);
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
}
