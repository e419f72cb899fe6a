//! Accesses to the supervisor's status register.

use lithify_isa::{Op, SINK};

use super::{Emitter, field, local};
use crate::interrupts::{Change, ENABLE, change};

/// The field of the float unit's state, its lowest bit, and the bit above the field.
const FS: i64 = 0b11 << 13;
const FS_LOW: i64 = 1 << 13;
const ABOVE_FS: i64 = 1 << 15;
/// From there to the highest bit, which says that some state is dirty.
const TO_SD: i64 = 63 - 15;
/// User mode is 64-bit.
const UXL_64: i64 = 0b10 << 32;

impl Emitter<'_> {
    /// An access that changes nothing but whether interrupts are enabled, or leaves: in a mode that may not do
    /// this, if there is more to change, or if an interrupt would be taken.
    pub(super) fn access_status(&mut self, op: &Op, retired: u32) {
        use local::{A, B};
        let change = change(op).expect("one of these");
        let (pc, layout) = (op.pc.into(), self.layout());
        let status = field(layout.status, 3);
        self.w().i32_const(0).i32_load8_u(field(layout.privileged, 0)).i32_eqz();
        self.exit_if(pc, retired);
        if matches!(change, Change::Set | Change::Clear) {
            self.read(op.rs1);
            self.w().i64_const(!ENABLE).i64_and().i64_const(0).i64_ne();
            self.exit_if(pc, retired);
        }
        if matches!(change, Change::Set | Change::Enable) {
            self.w().i32_const(0).i32_load8_u(field(layout.interrupt_waits, 0));
            self.exit_if(pc, retired);
        }
        self.w().i32_const(0).i64_load(status).local_set(A);
        if change != Change::Read {
            self.w().local_get(A);
            self.change_enable(op.rs1, change);
            self.w().local_set(B).i32_const(0).local_get(B).i64_store(status);
        }
        if op.rd != SINK {
            let mut w = self.w();
            w.local_get(A).i64_const(UXL_64).i64_or();
            w.local_get(A).i64_const(FS).i64_and().i64_const(FS_LOW).i64_add();
            w.i64_const(ABOVE_FS).i64_and().i64_const(TO_SD).i64_shl().i64_or();
            self.write(op.rd);
        }
    }

    /// Changes the value on the stack.
    fn change_enable(&mut self, source: u8, change: Change) {
        match change {
            Change::Read => {}
            Change::Enable => {
                self.w().i64_const(ENABLE).i64_or();
            }
            Change::Disable => {
                self.w().i64_const(!ENABLE).i64_and();
            }
            Change::Set => {
                self.read(source);
                self.w().i64_or();
            }
            Change::Clear => {
                self.read(source);
                self.w().i64_const(-1).i64_xor().i64_and();
            }
        }
    }
}
