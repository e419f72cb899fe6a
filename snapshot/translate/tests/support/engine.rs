//! Translated functions in wasmtime, called by the native machine: registers and the pages that a test
//! writes are copied into the module's memory and back.

use std::collections::BTreeMap;

use lithify_isa::translation::{
    CODE_PAGE_ENTRY_SIZE, OTHER_VIEW, PAGE_SIZE, TLB_ADDEND, TLB_PLACE_SIZE, TLB_PLACES,
    TLB_SET_SIZE, TLB_STORES, TLB_TAG, code_page_index, jump_slot, jump_target, known_content,
};
use lithify_machine::bare::{BASE, Cpu, Executor, State};
use lithify_translate::Translation;
use wasmtime::{Engine, Instance, Memory, Module, Store, Table, TypedFunc};

use super::{JUMP_MASK, LAYOUT, LINK, RAM, TLB, module};
use crate::random::Random;

/// `sstatus.FS`.
const FS: u64 = 0b11 << 13;
/// `sstatus.SUM`.
const SUM: u64 = 1 << 18;
/// TLB sets of a mode that leaves user memory alone and of one that does not.
const SETS: [u32; 2] = [TLB, TLB + TLB_SET_SIZE as u32];
const TRAP: [u32; 4] = [LAYOUT.scratch, LAYOUT.exception_pc, LAYOUT.cause, LAYOUT.trap_value];

/// The set that is current with this status.
const fn set(status: u64) -> u32 {
    SETS[(status & SUM != 0) as usize]
}

/// Number of the address space.
const SPACE: u32 = 2;

/// An instance of the module of one translation.
pub(crate) struct Translated {
    store: Store<()>,
    memory: Memory,
    table: Table,
    functions: BTreeMap<u32, TypedFunc<(i32, i64, i32), i64>>,
    /// Numbers of RAM pages that are read and written.
    data: Vec<usize>,
    /// Number of the highest page. In the module's memory it is the first: what lies behind a page there is not
    /// what the guest has behind it.
    highest: usize,
    random: Random,
    /// One in how many TLB entries is missing; 0 for none.
    missing: u64,
}

impl Translated {
    /// `code` is the RAM page of each translated page; `missing` tells how many TLB entries of `data`
    /// are there, see the field.
    pub(crate) fn new(
        translation: &Translation,
        code: &[usize],
        data: &[usize],
        missing: u64,
        seed: u64,
    ) -> Self {
        let highest = *code.iter().chain(data).max().expect("some page");
        let bytes = RAM as usize + (highest + 1) * PAGE_SIZE;
        let engine = Engine::default();
        let module = module(translation, bytes.div_ceil(0x1_0000) as u64);
        let module = Module::new(&engine, module).expect("a valid module");
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("no imports");
        let memory = instance.get_memory(&mut store, "memory").expect("exported");
        let table = instance.get_table(&mut store, "table").expect("exported");
        let mut this = Self {
            store,
            memory,
            table,
            functions: BTreeMap::new(),
            data: data.to_vec(),
            highest,
            random: Random::new(seed),
            missing,
        };
        this.fill_jump_cache(translation, code);
        this.fill_page_cache(translation, code);
        this
    }

    fn bytes(&mut self) -> &mut [u8] {
        self.memory.data_mut(&mut self.store)
    }

    fn put<const N: usize>(&mut self, at: u32, bytes: [u8; N]) {
        self.bytes()[at as usize..][..N].copy_from_slice(&bytes);
    }

    fn u64_at(&mut self, at: u32) -> u64 {
        u64::from_le_bytes(self.bytes()[at as usize..][..8].try_into().expect("eight bytes"))
    }

    /// Where RAM page `page` is in the module's memory.
    fn host(&self, page: usize) -> usize {
        RAM as usize + (self.highest - page) * PAGE_SIZE
    }

    /// The same for an address.
    fn host_address(&self, guest: u64) -> u64 {
        let at = (guest - BASE) as usize;
        (self.host(at / PAGE_SIZE) + at % PAGE_SIZE) as u64
    }

    /// The inverse of [`host_address`](Self::host_address).
    fn guest_address(&self, host: u64) -> u64 {
        let at = host as usize - RAM as usize;
        BASE + ((self.highest - at / PAGE_SIZE) * PAGE_SIZE + at % PAGE_SIZE) as u64
    }

    /// Most entries are in the jump cache.
    fn fill_jump_cache(&mut self, translation: &Translation, code: &[usize]) {
        self.put(LAYOUT.space, SPACE.to_le_bytes());
        self.put(LAYOUT.jump_mask, JUMP_MASK.to_le_bytes());
        for entry in &translation.entries {
            let pc = BASE + (code[entry.page] * PAGE_SIZE) as u64 + u64::from(entry.offset);
            let slot = jump_slot(pc, SPACE, JUMP_MASK);
            let at = LAYOUT.jumps + slot as u32;
            if self.random.one_in(4) {
                continue;
            }
            self.put(at, pc.to_le_bytes());
            self.put(at + 8, SPACE.to_le_bytes());
            let function = entry.function + LINK.first_element;
            self.put(at + 12, jump_target(function, entry.entry.into()).to_le_bytes());
        }
    }

    /// Most pages are in the page cache.
    fn fill_page_cache(&mut self, translation: &Translation, code: &[usize]) {
        let mut first = 0;
        for entries in translation.entries.chunk_by(|a, b| a.page == b.page) {
            let va = BASE + (code[entries[0].page] * PAGE_SIZE) as u64;
            let at = LAYOUT.pages + (code_page_index(va, SPACE) * CODE_PAGE_ENTRY_SIZE) as u32;
            if !self.random.one_in(4) {
                self.put(at, va.to_le_bytes());
                self.put(at + 8, known_content(first, SPACE).to_le_bytes());
            }
            first += entries.len() as u32;
        }
    }

    fn fill_tlb(&mut self) {
        for page in self.data.clone() {
            let va = BASE + (page * PAGE_SIZE) as u64;
            let place = ((va as usize / PAGE_SIZE) % TLB_PLACES * TLB_PLACE_SIZE) as u32;
            let host = self.host(page) as u32;
            for at in SETS.iter().flat_map(|set| [set + place, set + place + TLB_STORES as u32]) {
                let gone = self.missing > 0 && self.random.one_in(self.missing);
                let tag = if gone { 0 } else { va | (PAGE_SIZE as u64 - 1) };
                self.put(at + TLB_TAG as u32, tag.to_le_bytes());
                self.put(at + TLB_ADDEND as u32, host.wrapping_sub(va as u32).to_le_bytes());
            }
        }
    }

    fn enter(&mut self, cpu: &mut Cpu<'_>) {
        let State { x, f, fflags, frm, reservation, privileged, status, trap, .. } = cpu.state();
        for (slot, (x, f)) in x.into_iter().zip(f).enumerate() {
            self.put(LAYOUT.x + 8 * slot as u32, x.to_le_bytes());
            self.put(LAYOUT.f + 8 * slot as u32, f.to_le_bytes());
        }
        self.put(LAYOUT.budget, cpu.budget().to_le_bytes());
        let float_ready = status & FS == FS;
        self.put(LAYOUT.fflags, [fflags, frm, float_ready.into(), privileged.into(), 0]);
        self.put(LAYOUT.status, status.to_le_bytes());
        TRAP.iter().zip(trap).for_each(|(at, value)| self.put(*at, value.to_le_bytes()));
        (0..).zip(SETS).for_each(|(at, set)| self.put(LAYOUT.views + 4 * at, set.to_le_bytes()));
        let reservation = reservation.map_or(u64::MAX, |at| self.host_address(at));
        self.put(LAYOUT.reservation, reservation.to_le_bytes());
        for page in self.data.clone() {
            let at = self.host(page);
            self.bytes()[at..][..PAGE_SIZE].copy_from_slice(cpu.page(page));
        }
        self.fill_tlb();
    }

    fn leave(&mut self, cpu: &mut Cpu<'_>, pc: u64) {
        let before = cpu.state();
        let reservation = self.u64_at(LAYOUT.reservation);
        let state = State {
            x: std::array::from_fn(|slot| self.u64_at(LAYOUT.x + 8 * slot as u32)),
            f: std::array::from_fn(|slot| self.u64_at(LAYOUT.f + 8 * slot as u32)),
            fflags: self.bytes()[LAYOUT.fflags as usize],
            frm: before.frm,
            pc,
            reservation: (reservation != u64::MAX).then(|| self.guest_address(reservation)),
            privileged: before.privileged,
            status: self.u64_at(LAYOUT.status),
            trap: TRAP.map(|at| self.u64_at(at)),
        };
        assert_eq!(state.x[0], 0, "the slot that holds zero");
        cpu.set_state(&state);
        cpu.set_budget(self.u64_at(LAYOUT.budget).cast_signed());
        for page in self.data.clone() {
            let at = self.host(page);
            cpu.page(page).copy_from_slice(&self.bytes()[at..][..PAGE_SIZE]);
        }
    }
}

impl Executor for Translated {
    fn call(&mut self, cpu: &mut Cpu<'_>, function: u32, page: u64, entry: u32) -> u64 {
        if !self.functions.contains_key(&function) {
            let found = self.table.get(&mut self.store, function.into()).expect("in the table");
            let callee = found.as_func().flatten().expect("a function");
            let callee = callee.typed(&self.store).expect("of the one type");
            self.functions.insert(function, callee);
        }
        self.enter(cpu);
        let budget = cpu.budget();
        let callee = self.functions[&function].clone();
        let status = cpu.state().status;
        let arguments = (set(status) as i32, page as i64, entry as i32);
        let result = callee.call(&mut self.store, arguments).expect("no trap") as u64;
        let pc = result & !OTHER_VIEW;
        self.leave(cpu, pc);
        assert!(result & OTHER_VIEW != 0 || set(status) == set(cpu.state().status), "told");
        assert!(cpu.budget() <= budget && cpu.budget() > 0, "{} of {budget}", cpu.budget());
        result
    }
}
