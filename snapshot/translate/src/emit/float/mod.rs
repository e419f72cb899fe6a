//! Floating point by the host's instructions, as far as they do what the guest's would.
//!
//! A result stands if rounding is to nearest, it is exact or *inexact* is flagged already, and it is finite
//! and clearly normal: then nothing else can have been raised. NaNs, subnormal numbers, and the first
//! inexact operation are the interpreter's. Multiply-add is wasm's relaxed one, where that rounds once,
//! which functions find out before they use it.

mod compare;
mod compute;
mod convert;
mod exact;
mod fused;

use lithify_isa::{Op, OpCode};
use wasm_encoder::{BlockType, Ieee32, Ieee64, InstructionSink};

use super::{Emitter, Label, field, local};
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

fn f64_value(value: f64) -> Ieee64 {
    Ieee64::new(value.to_bits())
}

fn f32_value(value: f32) -> Ieee32 {
    Ieee32::new(value.to_bits())
}

/// Where an op stands, for its exits.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: Offset,
    retired: u32,
}

impl Emitter<'_> {
    pub(in crate::emit) fn float(&mut self, op: &Op, retired: u32) {
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
            C::FMvDX => {
                self.read(op.rs1);
                self.w().f64_reinterpret_i64();
                self.write_float(op.rd);
            }
            C::FMvWX => {
                self.read(op.rs1);
                self.w().i32_wrap_i64().f32_reinterpret_i32();
                self.write_single(op.rd);
            }
            C::FMAddD | C::FMSubD | C::FNMSubD | C::FNMAddD => self.fuse_double(op, place),
            _ => self.fuse_single(op, place),
        }
    }

    /// An access to the flags themselves.
    pub(in crate::emit) fn access_flags(&mut self, op: &Op, retired: u32) {
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
    pub(in crate::emit) fn ask_for_nearest(&mut self, at: Offset, retired: u32) {
        if !self.path.known.nearest {
            let frm = field(self.layout().frm, 0);
            self.w().i32_const(0).i32_load8_u(frm);
            self.exit_if(at, retired);
            self.path.known.nearest = true;
        }
    }

    /// If the value on the stack is not zero, which is rare, looks closer: leaves if what `odd` pushes is not
    /// zero either.
    fn exit_if_indeed(&mut self, place: Place, odd: impl FnOnce(&mut InstructionSink<'_>)) {
        // Not only where it is rare.
        if self.path.tight.is_none() {
            self.flush();
        }
        self.w().if_(BlockType::Empty);
        self.labels.push(Label::Arm);
        odd(&mut self.w());
        self.exit_if(place.at, place.retired);
        self.close();
    }

    /// Leaves if *inexact* is not flagged yet and what `inexact` pushes is not zero.
    fn ask_for_exact(&mut self, place: Place, inexact: impl FnOnce(&mut InstructionSink<'_>)) {
        let fflags = field(self.layout().fflags, 0);
        self.w().i32_const(0).i32_load8_u(fflags).i32_const(NX).i32_and().i32_eqz();
        self.exit_if_indeed(place, inexact);
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
        self.read_single(op.rs1, place.at, place.retired);
        self.w().local_set(local::SA);
        self.read_single(op.rs2, place.at, place.retired);
        self.w().local_set(local::SB);
    }
}
