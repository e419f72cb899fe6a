//! Loads, stores and atomics through the software TLB.

use lithify_isa::translation::{
    PAGE_SIZE, TLB_ADDEND, TLB_PLACE_SIZE, TLB_PLACES, TLB_STORES, TLB_TAG,
};
use lithify_isa::{Op, OpCode};
use wasm_encoder::{BlockType, MemArg, ValType};

use super::near::Near;
use super::values::{self, Check, Span};
use super::{Emitter, Label, field, local};
use crate::blocks::Offset;

/// From an address to the offset of its place: one shift and one mask.
const SLOT_SHIFT: u32 = PAGE_SIZE.trailing_zeros() - TLB_PLACE_SIZE.trailing_zeros();
const SLOT_MASK: i32 = ((TLB_PLACES - 1) * TLB_PLACE_SIZE) as i32;
const OFFSET_MASK: i64 = PAGE_SIZE as i64 - 1;

/// An access without a promise of alignment, at the address on the stack.
const HERE: MemArg = MemArg { offset: 0, align: 0, memory_index: 0 };

const fn tlb(field: usize, align: u32) -> MemArg {
    MemArg { offset: field as u64, align, memory_index: 0 }
}

/// The same, so far behind the address.
const fn behind(offset: i64) -> MemArg {
    MemArg { offset: offset as u64, ..HERE }
}

impl Emitter<'_> {
    /// A plain load or store. `planned` is what to check here for this access and later ones.
    pub(super) fn access(&mut self, op: &Op, planned: Span, retired: u32) {
        use OpCode as C;
        if matches!(op.code, C::LoadF32 | C::LoadF64 | C::StoreF32 | C::StoreF64) {
            self.ask_for_float(op.pc.into(), retired);
        }
        let wanted = values::span(op, &self.path.values).expect("planned");
        let check = match self.path.checks.find(&wanted) {
            Some(check) => check,
            None => self.check(op, planned, retired),
        };
        let place = behind(wanted.start - check.span.start);
        self.push(check.local);
        if wanted.store {
            self.store(op, place);
        } else {
            self.load(op, place);
        }
    }

    /// Asks the TLB for `span`, at whose first access `op` is: leaves its host address in a local,
    /// or leaves the function.
    fn check(&mut self, op: &Op, span: Span, retired: u32) -> Check {
        let own = values::span(op, &self.path.values).expect("planned");
        self.read(op.rs1);
        let offset = i64::from(op.imm) + span.start - own.start;
        if offset != 0 {
            self.w().i64_const(offset).i64_add();
        }
        let bytes = span.end - span.start;
        match self.near_page(op.rs1, span.store) {
            Some(near) => self.translate_near(near, span.store, bytes, op.pc.into(), retired),
            None => self.translate(span.store, bytes, op.pc.into(), retired),
        }
        let local = self.host_local();
        self.pop(local);
        let check = Check { span, local };
        self.path.checks.add(check);
        check
    }

    /// A local that holds no host address that is still needed.
    fn host_local(&mut self) -> u32 {
        if let Some(oldest) = self.path.checks.make_room() {
            return oldest;
        }
        let used: Vec<u32> = self.path.checks.locals().collect();
        if let Some(free) = self.hosts.iter().find(|local| !used.contains(local)) {
            return *free;
        }
        let local = self.new_local(ValType::I32);
        self.hosts.push(local);
        local
    }

    /// Pushes the address of the TLB place for the address whose low half is on the stack.
    fn slot(&mut self) {
        let mut w = self.w();
        w.i32_const(SLOT_SHIFT as i32).i32_shr_u().i32_const(SLOT_MASK).i32_and();
        w.local_get(local::TLB).i32_add();
    }

    /// The tag that the TLB must have for `bytes` at the address on the stack: that of the last byte's page.
    /// Neighbouring pages have different entries.
    fn tag(&mut self, bytes: i64) {
        if bytes > 1 {
            self.w().i64_const(bytes - 1).i64_add();
        }
        self.w().i64_const(OFFSET_MASK).i64_or();
    }

    /// Turns the guest address on the stack, where `bytes` are accessed, into the host's, or leaves
    /// before the instruction at `pc`.
    pub(super) fn translate(&mut self, store: bool, bytes: i64, pc: Offset, retired: u32) {
        use local::{ADDRESS, HOST, SLOT};
        let entry = if store { TLB_STORES } else { 0 };
        self.w().local_tee(ADDRESS);
        self.tag(bytes);
        self.w().local_get(ADDRESS).i32_wrap_i64().local_tee(HOST);
        self.slot();
        self.w().local_tee(SLOT).i64_load(tlb(entry + TLB_TAG, 3)).i64_ne();
        self.exit_if(pc, retired);
        self.w().local_get(HOST).local_get(SLOT).i32_load(tlb(entry + TLB_ADDEND, 2)).i32_add();
    }

    /// The same with a look at the page that `near` remembers first: the first byte must be on it, and the last.
    fn translate_near(&mut self, near: Near, store: bool, bytes: i64, pc: Offset, retired: u32) {
        use local::{A, ADDRESS, SLOT};
        let entry = if store { TLB_STORES } else { 0 };
        self.w().local_tee(ADDRESS);
        self.tag(1);
        self.w().local_tee(A).local_get(near.tag).i64_ne();
        if bytes > 1 {
            self.w().local_get(ADDRESS);
            self.tag(bytes);
            self.w().local_get(near.tag).i64_ne().i32_or();
        }
        self.w().if_(BlockType::Empty);
        self.labels.push(Label::Arm);
        self.w().local_get(ADDRESS);
        self.tag(bytes);
        self.w().local_get(ADDRESS).i32_wrap_i64();
        self.slot();
        self.w().local_tee(SLOT).i64_load(tlb(entry + TLB_TAG, 3)).i64_ne();
        self.exit_if(pc, retired);
        self.w().local_get(A).local_set(near.tag);
        self.w().local_get(SLOT).i32_load(tlb(entry + TLB_ADDEND, 2)).local_set(near.addend);
        self.close();
        self.w().local_get(ADDRESS).i32_wrap_i64().local_get(near.addend).i32_add();
    }

    /// Loads from behind the address on the stack.
    fn load(&mut self, op: &Op, place: MemArg) {
        use OpCode as C;
        let mut w = self.w();
        match op.code {
            C::LoadI8 => w.i64_load8_s(place),
            C::LoadI16 => w.i64_load16_s(place),
            C::LoadI32 => w.i64_load32_s(place),
            C::LoadU8 => w.i64_load8_u(place),
            C::LoadU16 => w.i64_load16_u(place),
            C::LoadU32 => w.i64_load32_u(place),
            C::LoadF64 => w.f64_load(place),
            C::LoadF32 => w.f32_load(place),
            _ => w.i64_load(place),
        };
        match op.code {
            C::LoadF32 => self.write_single(op.rd),
            C::LoadF64 => self.write_float(op.rd),
            _ => self.write(op.rd),
        }
    }

    /// Stores behind the address on the stack.
    fn store(&mut self, op: &Op, place: MemArg) {
        use OpCode as C;
        match op.code {
            C::StoreF32 => self.read_half(op.rs2),
            C::StoreF64 => self.read_float(op.rs2),
            _ => self.read(op.rs2),
        }
        let mut w = self.w();
        match op.code {
            C::Store8 => w.i64_store8(place),
            C::Store16 => w.i64_store16(place),
            C::Store32 => w.i64_store32(place),
            C::StoreF32 => w.f32_store(place),
            C::StoreF64 => w.f64_store(place),
            _ => w.i64_store(place),
        };
    }

    /// Leaves unless float instructions may run.
    pub(super) fn ask_for_float(&mut self, pc: Offset, retired: u32) {
        if !self.path.known.float {
            let ready = field(self.layout().float_ready, 0);
            self.w().i32_const(0).i32_load8_u(ready).i32_eqz();
            self.exit_if(pc, retired);
            self.path.known.float = true;
        }
    }

    /// One hart: between its load and its store nobody else accesses memory.
    pub(super) fn atomic(&mut self, op: &Op, retired: u32) {
        use OpCode as C;
        let word =
            matches!(op.code, C::LrW | C::ScW) || (C::AmoSwapW..=C::AmoMaxuW).contains(&op.code);
        let bytes = if word { 4 } else { 8 };
        let store = !matches!(op.code, C::LrW | C::LrD);
        self.read(op.rs1);
        self.w().i64_const(bytes - 1).i64_and().i64_const(0).i64_ne();
        self.exit_if(op.pc.into(), retired);
        self.read(op.rs1);
        self.translate(store, bytes, op.pc.into(), retired);
        self.w().local_set(local::HOST);
        match op.code {
            C::LrW | C::LrD => self.load_reserved(op, word),
            C::ScW | C::ScD => self.store_conditional(op, word),
            _ => self.load_and_update(op, word),
        }
    }

    fn load_reserved(&mut self, op: &Op, word: bool) {
        use local::HOST;
        let reservation = field(self.layout().reservation, 3);
        let mut w = self.w();
        w.i32_const(0).local_get(HOST).i64_extend_i32_u().i64_store(reservation).local_get(HOST);
        if word {
            w.i64_load32_s(HERE)
        } else {
            w.i64_load(HERE)
        };
        self.write(op.rd);
    }

    /// Zero if the reservation holds; there is none afterwards.
    fn store_conditional(&mut self, op: &Op, word: bool) {
        use local::{A, B, HOST};
        let reservation = field(self.layout().reservation, 3);
        self.read(op.rs2);
        let mut w = self.w();
        w.local_set(B).i32_const(0).i64_load(reservation);
        w.local_get(HOST).i64_extend_i32_u().i64_ne().i64_extend_i32_u().local_set(A);
        w.local_get(A).i64_eqz().if_(BlockType::Empty).local_get(HOST).local_get(B);
        if word {
            w.i64_store32(HERE)
        } else {
            w.i64_store(HERE)
        };
        w.end().i32_const(0).i64_const(-1).i64_store(reservation).local_get(A);
        self.write(op.rd);
    }

    fn load_and_update(&mut self, op: &Op, word: bool) {
        use local::{A, B, HOST};
        self.read(op.rs2);
        let mut w = self.w();
        w.local_set(B).local_get(HOST);
        if word {
            w.i64_load32_s(HERE)
        } else {
            w.i64_load(HERE)
        };
        w.local_set(A).local_get(HOST);
        self.update(op.code);
        let mut w = self.w();
        if word {
            w.i64_store32(HERE)
        } else {
            w.i64_store(HERE)
        };
        w.local_get(A);
        self.write(op.rd);
    }

    /// Pushes what an atomic makes of [`local::A`], in memory, and [`local::B`].
    fn update(&mut self, code: OpCode) {
        use OpCode as C;
        use local::{A, B};
        let mut w = self.w();
        match code {
            C::AmoSwapW | C::AmoSwapD => w.local_get(B),
            C::AmoAddW | C::AmoAddD => w.local_get(A).local_get(B).i64_add(),
            C::AmoXorW | C::AmoXorD => w.local_get(A).local_get(B).i64_xor(),
            C::AmoAndW | C::AmoAndD => w.local_get(A).local_get(B).i64_and(),
            C::AmoOrW | C::AmoOrD => w.local_get(A).local_get(B).i64_or(),
            _ => {
                w.local_get(A).local_get(B).local_get(A).local_get(B);
                if (C::AmoMinW..=C::AmoMaxuW).contains(&code) {
                    // Sign extension keeps the order of unsigned words, too.
                    w.i64_extend32_s();
                }
                match code {
                    C::AmoMinW | C::AmoMinD => w.i64_lt_s(),
                    C::AmoMaxW | C::AmoMaxD => w.i64_gt_s(),
                    C::AmoMinuW | C::AmoMinuD => w.i64_lt_u(),
                    _ => w.i64_gt_u(),
                };
                w.select()
            }
        };
    }
}
