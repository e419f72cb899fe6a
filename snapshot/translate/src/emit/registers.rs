//! Guest registers: in memory always, in locals as long as those are known to be up to date.

use lithify_isa::SINK;
use wasm_encoder::InstructionSink;

use super::{field, local};

/// Slots of the integer file that instructions name.
const SLOTS: usize = 32;

/// Which integer registers have a local, and whose local is up to date here.
#[derive(Debug, Clone)]
pub(super) struct Registers {
    /// Address of the integer file.
    base: u32,
    locals: [Option<u32>; SLOTS],
    count: u32,
    current: [bool; SLOTS],
}

impl Registers {
    pub(super) fn new(base: u32) -> Self {
        Self { base, locals: [None; SLOTS], count: 0, current: [false; SLOTS] }
    }

    /// How many locals are used.
    pub(super) fn locals(&self) -> u32 {
        self.count
    }

    /// From here on only memory is known.
    pub(super) fn forget(&mut self) {
        self.current = [false; SLOTS];
    }

    /// What was up to date at `earlier` is now, and nothing else.
    pub(super) fn restore(&mut self, earlier: &Self) {
        self.current = earlier.current;
    }

    fn local(&mut self, slot: u8) -> u32 {
        let count = &mut self.count;
        *self.locals[usize::from(slot)].get_or_insert_with(|| {
            *count += 1;
            local::REGISTERS + *count - 1
        })
    }

    const fn address(&self, slot: u8) -> u32 {
        self.base + 8 * slot as u32
    }

    /// Pushes the register's value.
    pub(super) fn read(&mut self, mut w: InstructionSink<'_>, slot: u8) {
        if slot == 0 {
            w.i64_const(0);
            return;
        }
        let local = self.local(slot);
        if self.current[usize::from(slot)] {
            w.local_get(local);
        } else {
            w.i32_const(0).i64_load(field(self.address(slot), 3)).local_tee(local);
            self.current[usize::from(slot)] = true;
        }
    }

    /// Takes the register's new value from the stack.
    pub(super) fn write(&mut self, mut w: InstructionSink<'_>, slot: u8) {
        if slot == SINK {
            w.drop();
            return;
        }
        let local = self.local(slot);
        w.local_set(local).i32_const(0).local_get(local).i64_store(field(self.address(slot), 3));
        self.current[usize::from(slot)] = true;
    }
}
