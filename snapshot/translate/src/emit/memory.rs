//! Loads, stores and atomics through the software TLB.

use lithify_isa::translation::{
    PAGE_SIZE, TLB_ADDEND, TLB_ENTRIES, TLB_ENTRY_SIZE, TLB_READ, TLB_WRITE,
};
use lithify_isa::{Op, OpCode};
use wasm_encoder::MemArg;

use super::{Emitter, field, local};

/// From an address to the offset of its entry: one shift and one mask.
const SLOT_SHIFT: u32 = PAGE_SIZE.trailing_zeros() - TLB_ENTRY_SIZE.trailing_zeros();
const SLOT_MASK: i32 = ((TLB_ENTRIES - 1) * TLB_ENTRY_SIZE) as i32;
const PAGE_MASK: i64 = -(PAGE_SIZE as i64);

/// What is accessed and how.
#[derive(Debug, Clone, Copy)]
struct Access {
    bytes: i64,
    /// Offset of the tag in a TLB entry.
    tag: usize,
}

const fn load(bytes: i64) -> Access {
    Access { bytes, tag: TLB_READ }
}

const fn store(bytes: i64) -> Access {
    Access { bytes, tag: TLB_WRITE }
}

/// An access without a promise of alignment, at the address on the stack.
const HERE: MemArg = MemArg { offset: 0, align: 0, memory_index: 0 };

const fn tlb(field: usize, align: u32) -> MemArg {
    MemArg { offset: field as u64, align, memory_index: 0 }
}

impl Emitter<'_> {
    /// Emits `op` if it accesses memory.
    pub(super) fn memory(&mut self, op: &Op, retired: u32) -> bool {
        use OpCode as C;
        match op.code {
            C::LoadI8 | C::LoadU8 => self.load(op, load(1), retired),
            C::LoadI16 | C::LoadU16 => self.load(op, load(2), retired),
            C::LoadI32 | C::LoadU32 => self.load(op, load(4), retired),
            C::Load64 => self.load(op, load(8), retired),
            C::Store8 => self.store(op, store(1), retired),
            C::Store16 => self.store(op, store(2), retired),
            C::Store32 => self.store(op, store(4), retired),
            C::Store64 => self.store(op, store(8), retired),
            C::LoadF32 | C::LoadF64 => self.load_float(op, retired),
            C::StoreF32 | C::StoreF64 => self.store_float(op, retired),
            code if (C::AmoSwapW..=C::AmoMaxuW).contains(&code) => self.atomic(op, 4, retired),
            code if (C::AmoSwapD..=C::AmoMaxuD).contains(&code) => self.atomic(op, 8, retired),
            _ => return false,
        }
        true
    }

    /// Leaves the host's address of `op`'s access in [`local::HOST`], or leaves the function.
    fn translate(&mut self, op: &Op, access: Access, retired: u32) {
        use local::{ADDRESS, HOST, SLOT, TLB};
        self.read(op.rs1);
        let mut w = self.w();
        if op.imm != 0 {
            w.i64_const(op.imm.into()).i64_add();
        }
        w.local_tee(ADDRESS).i32_wrap_i64().local_tee(HOST);
        w.i32_const(SLOT_SHIFT as i32).i32_shr_u().i32_const(SLOT_MASK).i32_and();
        w.local_get(TLB).i32_add().local_tee(SLOT).i64_load(tlb(access.tag, 3));
        // The page of the last byte: neighbouring pages have different entries.
        w.local_get(ADDRESS);
        if access.bytes > 1 {
            w.i64_const(access.bytes - 1).i64_add();
        }
        w.i64_const(PAGE_MASK).i64_and().i64_ne();
        self.exit_if(op.pc.into(), retired);
        let mut w = self.w();
        w.local_get(HOST).local_get(SLOT).i32_load(tlb(TLB_ADDEND, 2)).i32_add().local_set(HOST);
    }

    fn load(&mut self, op: &Op, access: Access, retired: u32) {
        use OpCode as C;
        self.translate(op, access, retired);
        let mut w = self.w();
        w.local_get(local::HOST);
        match op.code {
            C::LoadI8 => w.i64_load8_s(HERE),
            C::LoadI16 => w.i64_load16_s(HERE),
            C::LoadI32 => w.i64_load32_s(HERE),
            C::LoadU8 => w.i64_load8_u(HERE),
            C::LoadU16 => w.i64_load16_u(HERE),
            C::LoadU32 => w.i64_load32_u(HERE),
            _ => w.i64_load(HERE),
        };
        self.write(op.rd);
    }

    fn store(&mut self, op: &Op, access: Access, retired: u32) {
        self.translate(op, access, retired);
        self.w().local_get(local::HOST);
        self.read(op.rs2);
        let mut w = self.w();
        match access.bytes {
            1 => w.i64_store8(HERE),
            2 => w.i64_store16(HERE),
            4 => w.i64_store32(HERE),
            _ => w.i64_store(HERE),
        };
    }

    /// Leaves unless float instructions may run.
    pub(super) fn ask_for_float(&mut self, op: &Op, retired: u32) {
        let ready = field(self.layout().float_ready, 0);
        self.w().i32_const(0).i32_load8_u(ready).i32_eqz();
        self.exit_if(op.pc.into(), retired);
    }

    const fn float_slot(&self, slot: u8) -> MemArg {
        field(self.link.layout.f + 8 * slot as u32, 3)
    }

    fn load_float(&mut self, op: &Op, retired: u32) {
        const BOX: i64 = 0xffff_ffff << 32;
        let single = op.code == OpCode::LoadF32;
        self.ask_for_float(op, retired);
        self.translate(op, load(if single { 4 } else { 8 }), retired);
        let slot = self.float_slot(op.rd);
        let mut w = self.w();
        w.i32_const(0).local_get(local::HOST);
        if single {
            w.i64_load32_u(HERE).i64_const(BOX).i64_or()
        } else {
            w.i64_load(HERE)
        };
        w.i64_store(slot);
    }

    fn store_float(&mut self, op: &Op, retired: u32) {
        let single = op.code == OpCode::StoreF32;
        self.ask_for_float(op, retired);
        self.translate(op, store(if single { 4 } else { 8 }), retired);
        let slot = self.float_slot(op.rs2);
        let mut w = self.w();
        w.local_get(local::HOST).i32_const(0).i64_load(slot);
        if single {
            w.i64_store32(HERE)
        } else {
            w.i64_store(HERE)
        };
    }

    /// One hart: between its load and its store nobody else accesses memory.
    fn atomic(&mut self, op: &Op, bytes: i64, retired: u32) {
        use local::{A, B, HOST};
        if op.rs1 != 0 {
            self.read(op.rs1);
            self.w().i64_const(bytes - 1).i64_and().i64_const(0).i64_ne();
            self.exit_if(op.pc.into(), retired);
        }
        self.translate(op, store(bytes), retired);
        self.read(op.rs2);
        let mut w = self.w();
        w.local_set(B).local_get(HOST);
        if bytes == 4 {
            w.i64_load32_s(HERE)
        } else {
            w.i64_load(HERE)
        };
        w.local_set(A).local_get(HOST);
        self.update(op.code);
        let mut w = self.w();
        if bytes == 4 {
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
