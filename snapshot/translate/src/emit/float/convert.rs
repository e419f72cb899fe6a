//! Conversions between integers and both formats.

use lithify_isa::{Op, OpCode};

use super::compute::is_not_normal_single;
use super::{DYNAMIC, Emitter, NX, Place, TOWARDS_ZERO, f64_value, field, local};

/// A power of two from which on integers of 64 bits are not looked at closely.
const LARGE: f64 = (1u64 << 62) as f64;

impl Emitter<'_> {
    pub(super) fn double_to_integer(&mut self, op: &Op, place: Place) {
        self.read_float(op.rs1);
        self.w().local_set(local::FA);
        self.convert_to_integer(op, place);
    }

    pub(super) fn single_to_integer(&mut self, op: &Op, place: Place) {
        self.read_single(op.rs1, place.at, place.retired);
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

    pub(super) fn integer_to_double(&mut self, op: &Op, place: Place) {
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

    pub(super) fn integer_to_single(&mut self, op: &Op, place: Place) {
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

    pub(super) fn narrow(&mut self, op: &Op, place: Place) {
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
    pub(super) fn widen(&mut self, op: &Op, place: Place) {
        use local::SA;
        if op.rs3 == DYNAMIC {
            self.ask_for_nearest(place.at, place.retired);
        } else if op.rs3 > 4 {
            self.give_up(place);
        }
        self.read_single(op.rs1, place.at, place.retired);
        self.w().local_tee(SA).local_get(SA).f32_ne();
        self.exit_if(place.at, place.retired);
        self.w().local_get(SA).f64_promote_f32();
        self.write_float(op.rd);
    }
}
