//! Signs, comparisons, minimum and maximum: nothing is rounded.

use lithify_isa::{Op, OpCode};

use super::{Emitter, Place, local};

impl Emitter<'_> {
    pub(super) fn sign_double(&mut self, op: &Op) {
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

    pub(super) fn sign_single(&mut self, op: &Op, place: Place) {
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

    pub(super) fn pick_double(&mut self, op: &Op, place: Place) {
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

    pub(super) fn pick_single(&mut self, op: &Op, place: Place) {
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

    pub(super) fn compare_double(&mut self, op: &Op, place: Place) {
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

    pub(super) fn compare_single(&mut self, op: &Op, place: Place) {
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
}
