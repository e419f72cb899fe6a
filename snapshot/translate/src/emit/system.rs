//! System instructions: accesses to the supervisor's registers, and blocks of zeros.

use lithify_isa::translation::{OTHER_VIEW, PAGE_SIZE};
use lithify_isa::{Op, SINK};
use wasm_encoder::{InstructionSink, ValType};

use super::{Emitter, Label, field, local};
use crate::blocks::Offset;
use crate::system::{
    Change, FS, Instruction, MXR, SIE, SUM, Source, TrapRegister, WRITABLE, change_view,
    instruction, may_change,
};

/// The lowest bit of the float unit's state, and the bit above the field.
const FS_LOW: i64 = 1 << 13;
const ABOVE_FS: i64 = 1 << 15;
/// From there to the highest bit, which says that some state is dirty.
const TO_SD: i64 = 63 - 15;
/// User mode is 64-bit.
const UXL_64: i64 = 0b10 << 32;

/// Pages that a function remembers at most if it changes the view of the memory.
const MAX_PAGES: u32 = 4;

/// What a function that changes the view of the memory has in locals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Views {
    /// [`SUM`] if the view is another one than that in which it was called, else 0.
    other: u32,
    /// The tag of the first page that it remembers; the others follow, and then what to add to addresses.
    tags: u32,
}

impl Views {
    /// The locals for the remembered page of this number.
    pub(super) fn near(&self, number: usize) -> Option<(u32, u32)> {
        let number = number as u32;
        (number < MAX_PAGES).then(|| (self.tags + number, self.tags + MAX_PAGES + number))
    }
}

impl Emitter<'_> {
    /// Makes the locals that a function which changes the view of the memory needs.
    pub(super) fn expect_views(&mut self) {
        let members = &self.region.members;
        if members.iter().any(|&member| change_view(&self.page.blocks[member].ops)) {
            let other = self.new_local(ValType::I64);
            self.locals.extend([ValType::I64; MAX_PAGES as usize]);
            self.locals.extend([ValType::I32; MAX_PAGES as usize]);
            self.views = Some(Views { other, tags: other + 1 });
        }
    }

    /// Leaves before the instruction at `at`, to which the function would jump, in another view than it was called in.
    pub(super) fn exit_in_other_view(&mut self, at: Offset) {
        if let Some(views) = self.views {
            self.w().local_get(views.other).i64_const(0).i64_ne();
            self.exit_if(at, 0);
        }
    }

    /// The same at the program counter in [`local::RESULT`].
    pub(super) fn leave_in_other_view(&mut self) {
        if let Some(views) = self.views {
            let out = self.distance(Label::Out);
            self.w().local_get(views.other).i64_const(0).i64_ne().br_if(out);
        }
    }

    /// Makes the result on the stack tell whether the view is another one.
    pub(super) fn tell_other_view(&mut self) {
        const _: () = assert!(SUM >> SUM.trailing_zeros() == OTHER_VIEW as i64, "by one shift");
        if let Some(views) = self.views {
            let mut w = self.w();
            w.local_get(views.other).i64_const(SUM.trailing_zeros().into()).i64_shr_u().i64_or();
        }
    }

    /// One of the instructions that are compiled, or leaves: in a mode that may not do this, and where it does more
    /// than is compiled.
    pub(super) fn system(&mut self, before: &[Op], op: &Op, retired: u32) {
        let privileged = field(self.layout().privileged, 0);
        self.w().i32_const(0).i32_load8_u(privileged).i32_eqz();
        self.exit_if(op.pc.into(), retired);
        match instruction(op).expect("one that is compiled") {
            Instruction::Status(change) => {
                self.access_status(op, change, may_change(before, op, change), retired);
            }
            Instruction::Trap(register, change) => self.access_trap(op, register, change),
            Instruction::ZeroBlock => self.zero_block(op, retired),
        }
    }

    /// An access that changes some of `bits`, or leaves: if what can be executed becomes loadable, and if an interrupt
    /// would be taken.
    fn access_status(&mut self, op: &Op, change: Change, bits: i64, retired: u32) {
        use local::{A, B};
        let (pc, layout) = (op.pc.into(), self.layout());
        let status = field(layout.status, 3);
        self.w().i32_const(0).i64_load(status).local_set(A);
        if change != Change::Read {
            self.changed(op, change);
            let all_writable =
                matches!(change, Change::Set(Source::Constant(set)) if set & !WRITABLE == 0);
            if !all_writable && !matches!(change, Change::Clear(_)) {
                self.w().i64_const(WRITABLE).i64_and();
            }
            self.w().local_set(B);
            if bits & MXR != 0 {
                self.difference(MXR).i64_const(0).i64_ne();
                self.exit_if(pc, retired);
            }
            if bits & SIE != 0 && !matches!(change, Change::Clear(_)) {
                self.w().i32_const(0).i32_load8_u(field(layout.interrupt_waits, 0));
                if bits != SIE {
                    self.w().local_get(B).i64_const(SIE).i64_and().i64_const(0).i64_ne().i32_and();
                }
                self.exit_if(pc, retired);
            }
            self.w().i32_const(0).local_get(B).i64_store(status);
            self.follow_status(bits);
        }
        if op.rd != SINK {
            let mut w = self.w();
            w.local_get(A).i64_const(UXL_64).i64_or();
            w.local_get(A).i64_const(FS).i64_and().i64_const(FS_LOW).i64_add();
            w.i64_const(ABOVE_FS).i64_and().i64_const(TO_SD).i64_shl().i64_or();
            self.write(op.rd);
        }
    }

    /// Some of `bits` may have changed from [`local::A`] to [`local::B`].
    fn follow_status(&mut self, bits: i64) {
        use local::B;
        let layout = self.layout();
        if bits & FS != 0 {
            let ready = field(layout.float_ready, 0);
            self.w().i32_const(0).local_get(B).i64_const(FS).i64_and().i64_const(FS).i64_eq();
            self.w().i32_store8(ready);
            self.path.known.float = false;
        }
        if bits & SUM != 0 {
            self.follow_view();
        }
    }

    /// Goes over to the view of the status register's value in [`local::B`].
    fn follow_view(&mut self) {
        const WORD: i64 = 4;
        const TO_WORD: i64 = (SUM / WORD).trailing_zeros() as i64;
        let views = self.views.expect("such a function has them");
        let sets = field(self.layout().views, 2);
        let mut w = self.w();
        w.local_get(local::B).i64_const(TO_WORD).i64_shr_u().i64_const(WORD).i64_and();
        w.i32_wrap_i64().i32_load(sets).local_set(local::TLB);
        self.difference(SUM).local_get(views.other).i64_xor().local_set(views.other);
        for number in 0..MAX_PAGES {
            self.w().i64_const(0).local_set(views.tags + number);
        }
        self.path.checks.forget();
    }

    /// Pushes in which of `bits` [`local::A`] and [`local::B`] differ.
    fn difference(&mut self, bits: i64) -> InstructionSink<'_> {
        let mut w = self.w();
        w.local_get(local::A).local_get(local::B).i64_xor().i64_const(bits).i64_and();
        w
    }

    /// An access to a register of what handles exceptions.
    fn access_trap(&mut self, op: &Op, register: TrapRegister, change: Change) {
        use local::{A, B};
        let layout = self.layout();
        let at = field(
            match register {
                TrapRegister::Scratch => layout.scratch,
                TrapRegister::ProgramCounter => layout.exception_pc,
                TrapRegister::Cause => layout.cause,
                TrapRegister::Value => layout.trap_value,
            },
            3,
        );
        self.w().i32_const(0).i64_load(at).local_set(A);
        if change != Change::Read {
            self.changed(op, change);
            if register == TrapRegister::ProgramCounter {
                // There are no instructions at odd addresses.
                self.w().i64_const(!1).i64_and();
            }
            self.w().local_set(B).i32_const(0).local_get(B).i64_store(at);
        }
        if op.rd != SINK {
            self.w().local_get(A);
            self.write(op.rd);
        }
    }

    /// Pushes what becomes of the register's value, which is in [`local::A`].
    fn changed(&mut self, op: &Op, change: Change) {
        use local::A;
        match change {
            Change::Read => {
                self.w().local_get(A);
            }
            Change::Write(source) => self.source(op, source),
            Change::Set(source) => {
                self.source(op, source);
                self.w().local_get(A).i64_or();
            }
            Change::Clear(Source::Constant(bits)) => {
                self.w().local_get(A).i64_const(!bits).i64_and();
            }
            Change::Clear(Source::Register) => {
                self.read(op.rs1);
                self.w().i64_const(-1).i64_xor().local_get(A).i64_and();
            }
        }
    }

    fn source(&mut self, op: &Op, source: Source) {
        match source {
            Source::Register => self.read(op.rs1),
            Source::Constant(value) => {
                self.w().i64_const(value);
            }
        }
    }

    /// A block is a whole page on this machine. One whose entry is in the TLB can be stored to, as a whole.
    fn zero_block(&mut self, op: &Op, retired: u32) {
        const SIZE: i32 = PAGE_SIZE as i32;
        self.read(op.rs1);
        self.w().i64_const(-i64::from(SIZE)).i64_and();
        self.translate(true, 1, op.pc.into(), retired);
        self.w().i32_const(0).i32_const(SIZE).memory_fill(0);
    }
}
