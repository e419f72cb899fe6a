//! Guest registers in locals.
//!
//! A local is *known* where it holds its register's value. Memory holds it as well, but for *dirty*
//! registers, whose last value is written to memory before anything can leave the function.

use lithify_isa::SINK;
use wasm_encoder::ValType;

use super::{Emitter, field};
use crate::blocks::Offset;
use crate::effects::Set;

/// Slots of each file that instructions name.
const SLOTS: usize = 32;

/// The locals that registers have in one function.
#[derive(Debug, Clone, Default)]
pub(super) struct Locals {
    x: [Option<u32>; SLOTS],
    f: [Option<u32>; SLOTS],
    /// Of float registers that hold a binary32: that, without its box.
    s: [Option<u32>; SLOTS],
}

/// The upper half of a float register that holds a binary32.
const BOX: i64 = 0xffff_ffff << 32;

impl Emitter<'_> {
    fn x_local(&mut self, slot: u8) -> u32 {
        let slot = usize::from(slot);
        match self.registers.x[slot] {
            Some(local) => local,
            None => {
                let local = self.new_local(ValType::I64);
                *self.registers.x[slot].insert(local)
            }
        }
    }

    fn f_local(&mut self, slot: u8) -> u32 {
        let slot = usize::from(slot);
        match self.registers.f[slot] {
            Some(local) => local,
            None => {
                let local = self.new_local(ValType::F64);
                *self.registers.f[slot].insert(local)
            }
        }
    }

    fn s_local(&mut self, slot: u8) -> u32 {
        let slot = usize::from(slot);
        match self.registers.s[slot] {
            Some(local) => local,
            None => {
                let local = self.new_local(ValType::F32);
                *self.registers.s[slot].insert(local)
            }
        }
    }

    const fn x_address(&self, slot: u8) -> u32 {
        self.link.layout.x + 8 * slot as u32
    }

    const fn f_address(&self, slot: u8) -> u32 {
        self.link.layout.f + 8 * slot as u32
    }

    /// Pushes the value of an integer register.
    pub(super) fn read(&mut self, slot: u8) {
        if slot == 0 {
            self.w().i64_const(0);
            return;
        }
        let local = self.x_local(slot);
        if self.path.known.x & 1 << slot != 0 {
            self.push(local);
        } else {
            let at = field(self.x_address(slot), 3);
            self.w().i32_const(0).i64_load(at).local_tee(local);
            self.path.known.x |= 1 << slot;
        }
    }

    /// Pops the new value of an integer register.
    pub(super) fn write(&mut self, slot: u8) {
        if slot == SINK {
            self.w().drop();
            return;
        }
        let local = self.x_local(slot);
        self.pop(local);
        self.path.known.x |= 1 << slot;
        self.path.dirty.x |= 1 << slot;
    }

    /// Pushes the bits of a float register as an `f64`.
    pub(super) fn read_float(&mut self, slot: u8) {
        let local = self.f_local(slot);
        if self.path.known.f & 1 << slot != 0 {
            self.push(local);
        } else {
            let at = field(self.f_address(slot), 3);
            self.w().i32_const(0).f64_load(at).local_tee(local);
            self.path.known.f |= 1 << slot;
        }
    }

    /// Pops the new bits of a float register.
    pub(super) fn write_float(&mut self, slot: u8) {
        let local = self.f_local(slot);
        self.pop(local);
        self.path.known.f |= 1 << slot;
        self.path.dirty.f |= 1 << slot;
        self.path.values.set_single(slot, false);
    }

    /// Pushes the binary32 in a float register, or leaves before the instruction at `at` if it holds none.
    pub(super) fn read_single(&mut self, slot: u8, at: Offset, retired: u32) {
        use super::local::A;
        let single = self.s_local(slot);
        if self.path.values.is_single(slot) {
            self.w().local_get(single);
            return;
        }
        self.read_float(slot);
        self.w().i64_reinterpret_f64().local_tee(A).i64_const(BOX).i64_lt_u();
        self.exit_if(at, retired);
        self.w().local_get(A).i32_wrap_i64().f32_reinterpret_i32().local_tee(single);
        self.path.values.set_single(slot, true);
    }

    /// Pops the new binary32 of a float register.
    pub(super) fn write_single(&mut self, slot: u8) {
        let single = self.s_local(slot);
        let mut w = self.w();
        w.local_tee(single).i32_reinterpret_f32().i64_extend_i32_u();
        w.i64_const(BOX).i64_or().f64_reinterpret_i64();
        self.write_float(slot);
        self.path.values.set_single(slot, true);
    }

    /// Pushes the lower half of a float register as a binary32, whatever it holds.
    pub(super) fn read_half(&mut self, slot: u8) {
        if self.path.values.is_single(slot) {
            let single = self.s_local(slot);
            self.w().local_get(single);
        } else {
            self.read_float(slot);
            self.w().i64_reinterpret_f64().i32_wrap_i64().f32_reinterpret_i32();
        }
    }

    /// Brings memory up to date.
    pub(super) fn flush(&mut self) {
        let dirty = std::mem::take(&mut self.path.dirty);
        self.write_back(dirty);
    }

    /// Writes registers to memory.
    pub(super) fn write_back(&mut self, dirty: Set) {
        for slot in slots(dirty.x) {
            let (local, at) = (self.x_local(slot), field(self.x_address(slot), 3));
            self.w().i32_const(0).local_get(local).i64_store(at);
        }
        for slot in slots(dirty.f) {
            let (local, at) = (self.f_local(slot), field(self.f_address(slot), 3));
            self.w().i32_const(0).local_get(local).f64_store(at);
        }
    }

    /// Loads registers that are not known.
    pub(super) fn load_missing(&mut self, wanted: Set) {
        let missing = wanted.without(self.path.known);
        for slot in slots(missing.x) {
            self.read(slot);
            self.w().drop();
        }
        for slot in slots(missing.f) {
            self.read_float(slot);
            self.w().drop();
        }
    }
}

fn slots(set: u32) -> impl Iterator<Item = u8> {
    (0..SLOTS as u8).filter(move |slot| set & 1 << slot != 0)
}
