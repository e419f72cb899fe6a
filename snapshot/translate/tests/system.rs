//! System instructions, translated: they do what the manual says, or leave.

#[allow(dead_code, reason = "shared with the random tests, which use all of it")]
#[path = "../../../emulator/machine/tests/rv64_differential/random.rs"]
mod random;
#[allow(dead_code, reason = "shared with the random tests, which use all of it")]
mod support;

use lithify_isa::translation::{
    OTHER_VIEW, PAGE_SIZE, TLB_ADDEND, TLB_PLACE_SIZE, TLB_PLACES, TLB_SET_SIZE, TLB_STORES,
    TLB_TAG,
};
use lithify_translate::{Block, Budget, Page, translate};
use support::{LAYOUT, LINK, RAM, TLB, module};
use wasmtime::{Engine, Instance, Memory, Module, Store, TypedFunc};

const WFI: u32 = 0x1050_0073;
const SIE: u64 = 1 << 1;
const SPIE: u64 = 1 << 5;
const SPP: u64 = 1 << 8;
const FS_DIRTY: u64 = 0b11 << 13;
const FS_CLEAN: u64 = 0b10 << 13;
const SUM: u64 = 1 << 18;
const MXR: u64 = 1 << 19;
const UXL_64: u64 = 2 << 32;
const SD: u64 = 1 << 63;
/// The page's virtual address.
const PAGE: u64 = 0x7000;
const BUDGET: u64 = 100;
/// The address of a page of data.
const VA: u64 = 0x5_0000_3000;
const OTHER_TLB: u32 = TLB + TLB_SET_SIZE as u32;
const A4: usize = 14;
const A5: usize = 15;
/// In registers that nothing writes.
const OLD: u64 = 77;

/// The state that an instruction sees and leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    status: u64,
    a4: u64,
    a5: u64,
    /// `sscratch`, `sepc`, `scause`, `stval`.
    trap: [u64; 4],
    /// Instructions that have retired.
    retired: u64,
}

const BEFORE: State = State { status: 0, a4: OLD, a5: OLD, trap: [1, 2, 3, 4], retired: 0 };
const TRAP: [u32; 4] = [LAYOUT.scratch, LAYOUT.exception_pc, LAYOUT.cause, LAYOUT.trap_value];

const fn register(number: usize) -> u32 {
    LAYOUT.x + 8 * number as u32
}

/// A module with some instructions translated, and memory.
struct Machine {
    store: Store<()>,
    memory: Memory,
    callee: TypedFunc<(i32, i64, i32), i64>,
    entry: u16,
}

impl Machine {
    fn new(code: &[u32]) -> Self {
        Self::with_blocks(code, &[])
    }

    /// The blocks start at the first and at these instructions.
    fn with_blocks(code: &[u32], starts: &[u16]) -> Self {
        let mut bytes = Box::new([0; PAGE_SIZE]);
        for (at, word) in code.iter().chain([&WFI]).enumerate() {
            bytes[4 * at..][..4].copy_from_slice(&word.to_le_bytes());
        }
        let mut blocks = vec![Block { offset: 4 * code.len() as u16, count: 1000 }];
        let starts = starts.iter().chain([&0]);
        blocks.extend(starts.map(|at| Block { offset: 4 * at, count: 100_000 }));
        let page = Page { bytes, blocks, places: Vec::new() };
        let translation = translate(&[page], &LINK, Budget::large(PAGE_SIZE));
        let engine = Engine::default();
        let module = Module::new(&engine, module(&translation, 128)).expect("a valid module");
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("no imports");
        let memory = instance.get_memory(&mut store, "memory").expect("exported");
        let table = instance.get_table(&mut store, "table").expect("exported");
        let entry = translation.entries.iter().find(|entry| entry.offset == 0).expect("a door");
        let place = u64::from(LINK.first_element + entry.function);
        let callee = table.get(&mut store, place).expect("in the table");
        let callee = callee.as_func().flatten().expect("a function");
        let callee = callee.typed(&store).expect("of the one type");
        Self { store, memory, callee, entry: entry.entry }
    }

    fn put(&mut self, at: u32, bytes: &[u8]) {
        self.memory.data_mut(&mut self.store)[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn get(&self, at: u32) -> u64 {
        let bytes = &self.memory.data(&self.store)[at as usize..][..8];
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    }

    /// Lets loads from the page at `va` hit in the TLB set at `set`.
    fn map(&mut self, set: u32, va: u64, host: u32) {
        let place = va as usize / PAGE_SIZE % TLB_PLACES * TLB_PLACE_SIZE;
        let entry = set + place as u32;
        self.put(entry + TLB_TAG as u32, &(va | (PAGE_SIZE as u64 - 1)).to_le_bytes());
        self.put(entry + TLB_ADDEND as u32, &host.wrapping_sub(va as u32).to_le_bytes());
    }

    /// Executes what is translated, from `before` on; returns the result.
    fn enter(&mut self, before: State, privileged: bool, waits: bool) -> u64 {
        let sets = [TLB, OTHER_TLB];
        let current = sets[usize::from(before.status & SUM != 0)];
        self.put(LAYOUT.views, sets.map(u32::to_le_bytes).as_flattened());
        self.put(LAYOUT.budget, &BUDGET.to_le_bytes());
        self.put(LAYOUT.status, &before.status.to_le_bytes());
        self.put(LAYOUT.privileged, &[privileged.into()]);
        self.put(LAYOUT.interrupt_waits, &[waits.into()]);
        self.put(register(A4), &before.a4.to_le_bytes());
        self.put(register(A5), &before.a5.to_le_bytes());
        TRAP.iter().zip(before.trap).for_each(|(at, value)| self.put(*at, &value.to_le_bytes()));
        let arguments = (current as i32, PAGE as i64, i32::from(self.entry));
        self.callee.call(&mut self.store, arguments).expect("no trap") as u64
    }

    fn state(&self) -> State {
        State {
            status: self.get(LAYOUT.status),
            a4: self.get(register(A4)),
            a5: self.get(register(A5)),
            trap: TRAP.map(|at| self.get(at)),
            retired: BUDGET - self.get(LAYOUT.budget),
        }
    }

    /// Executes what is translated and does not jump, from `before` on.
    fn run(&mut self, before: State, privileged: bool, waits: bool) -> State {
        let result = self.enter(before, privileged, waits);
        let behind = self.state();
        assert_eq!(result & !OTHER_VIEW, PAGE + 4 * behind.retired);
        let other_view = (before.status ^ behind.status) & SUM != 0;
        assert_eq!(result & OTHER_VIEW != 0, other_view, "told");
        behind
    }
}

/// Executes `instruction` where it is translated.
fn execute(instruction: u32, before: State, privileged: bool, waits: bool) -> State {
    Machine::new(&[instruction]).run(before, privileged, waits)
}

#[test]
fn interrupts_are_enabled_and_disabled_as_the_manual_says() {
    const BITS: u64 = SPP | FS_DIRTY | SUM;
    const CLEAN: u64 = FS_CLEAN | SUM;
    // (instruction, sstatus and a5 before, sstatus, a4 and a5 behind it)
    let cases = [
        (0x1001_7073, BITS | SIE, OLD, BITS, OLD, OLD), // csrci sstatus, 2
        (0x1001_77f3, BITS | SIE, OLD, BITS, OLD, BITS | SIE | UXL_64 | SD), // csrrci a5, sstatus, 2
        (0x1001_77f3, CLEAN, OLD, CLEAN, OLD, CLEAN | UXL_64),
        (0x1001_6073, BITS, OLD, BITS | SIE, OLD, OLD), // csrsi sstatus, 2
        (0x1007_a073, BITS, SIE, BITS | SIE, OLD, SIE), // csrs sstatus, a5
        (0x1007_a073, BITS, 0, BITS, OLD, 0),
        (0x1007_a7f3, CLEAN, SIE, CLEAN | SIE, OLD, CLEAN | UXL_64), // csrrs a5, sstatus, a5
        (0x1007_b073, BITS | SIE, SIE, BITS, OLD, SIE),              // csrc sstatus, a5
        (0x1000_2773, BITS, OLD, BITS, BITS | UXL_64 | SD, OLD),     // csrr a4, sstatus
    ];
    for (instruction, status, a5, status_behind, a4_behind, a5_behind) in cases {
        let before = State { status, a5, ..BEFORE };
        let behind =
            State { status: status_behind, a4: a4_behind, a5: a5_behind, retired: 1, ..BEFORE };
        assert_eq!(execute(instruction, before, true, false), behind, "{instruction:#x}");
        assert_eq!(execute(instruction, before, false, false), before, "{instruction:#x}, user");
    }
}

#[test]
fn the_whole_status_is_written_as_the_manual_says() {
    const ALL: u64 = SIE | SPIE | SPP | FS_DIRTY | SUM;
    // (instruction, sstatus and a5 before, sstatus and a5 behind it)
    let cases = [
        (0x1007_9073, SPP | SUM, !MXR, ALL, !MXR), // csrw sstatus, a5
        (0x1007_97f3, FS_CLEAN, SPIE, SPIE, FS_CLEAN | UXL_64), // csrrw a5, sstatus, a5
        (0x1007_a073, SPP, SUM | 1 << 9, SPP | SUM, SUM | 1 << 9), // csrs sstatus, a5
        (0x1007_a073, FS_CLEAN, FS_DIRTY, FS_DIRTY, FS_DIRTY),
        (0x1007_b073, ALL, SUM | FS_DIRTY, SIE | SPIE | SPP, SUM | FS_DIRTY), // csrc sstatus, a5
        (0x1001_d073, ALL, OLD, SIE, OLD),                                    // csrwi sstatus, 3
        (0x1001_e073, 0, OLD, SIE, OLD),                                      // csrsi sstatus, 3
    ];
    for (instruction, status, a5, status_behind, a5_behind) in cases {
        let before = State { status, a5, ..BEFORE };
        let behind = State { status: status_behind, a5: a5_behind, retired: 1, ..BEFORE };
        let mut machine = Machine::new(&[instruction]);
        assert_eq!(machine.run(before, true, false), behind, "{instruction:#x}");
        let is_dirty = status_behind & FS_DIRTY == FS_DIRTY;
        assert_eq!(machine.get(LAYOUT.float_ready) as u8, is_dirty.into(), "{instruction:#x}");
        assert_eq!(execute(instruction, before, false, false), before, "{instruction:#x}, user");
    }
}

#[test]
fn what_lets_more_be_loaded_or_an_interrupt_in_is_left_alone() {
    // (instruction, a5, whether an interrupt waits, whether it is left alone)
    let cases = [
        (0x1007_a073, MXR, false, true),  // csrs sstatus, a5
        (0x1007_9073, MXR, false, true),  // csrw sstatus, a5
        (0x1007_b073, MXR, false, false), // csrc sstatus, a5
        (0x1007_a073, SIE, true, true),
        (0x1007_a073, SPP, true, false),
        (0x1007_9073, SIE, true, true),
        (0x1007_9073, SPP, true, false),
        (0x1001_6073, 0, true, true), // csrsi sstatus, 2
        (0x1001_e073, 0, true, true), // csrsi sstatus, 3
    ];
    for (instruction, a5, waits, is_left) in cases {
        let before = State { status: SPP, a5, ..BEFORE };
        let behind = State { retired: u64::from(!is_left), ..before };
        assert_eq!(execute(instruction, before, true, waits), behind, "{instruction:#x} {a5:#x}");
    }
    let before = State { status: SIE, ..BEFORE };
    let behind = State { status: 0, retired: 1, ..before };
    assert_eq!(execute(0x1001_7073, before, true, true), behind, "none is let in");
}

const LUI_A4_SUM: u32 = 0x0004_0737;
const CSRS_SSTATUS_A4: u32 = 0x1007_2073;
const CSRC_SSTATUS_A4: u32 = 0x1007_3073;
const LD_A4_A5: u32 = 0x0007_b703;
const LD_A3_A5: u32 = 0x0007_b683;
const RET: u32 = 0x0000_8067;

/// Executes `code` where user memory can be loaded, at a5, with the status that it begins with.
fn load_user_memory(code: &[u32], status: u64) -> (State, u64) {
    load_in(Machine::new(code), status)
}

fn load_in(mut machine: Machine, status: u64) -> (State, u64) {
    let page = RAM + PAGE_SIZE as u32;
    machine.map(OTHER_TLB, VA, page);
    machine.put(page, &USER.to_le_bytes());
    machine.put(LAYOUT.x + 8, &BACK.to_le_bytes());
    let result = machine.enter(State { status, a5: VA, ..BEFORE }, true, false);
    (machine.state(), result)
}

const USER: u64 = 0x1234_5678_9abc_def0;
/// An address that nothing knows.
const BACK: u64 = 0x1_0000;

#[test]
fn user_memory_is_accessed_only_as_the_status_says() {
    let allowed = [LUI_A4_SUM, CSRS_SSTATUS_A4, LD_A4_A5];
    let (state, result) = load_user_memory(&allowed, 0);
    assert_eq!((state.a4, state.status, result), (USER, SUM, (PAGE + 12) | OTHER_VIEW));
    let (state, result) = load_user_memory(&[LD_A4_A5], 0);
    assert_eq!((state.a4, result), (OLD, PAGE), "not before");
    let twice = [LUI_A4_SUM, CSRS_SSTATUS_A4, LD_A3_A5, CSRC_SSTATUS_A4, LD_A4_A5];
    let (state, result) = load_user_memory(&twice, 0);
    assert_eq!((state.a4, state.status, result), (SUM, 0, PAGE + 16), "nor behind");
}

#[test]
fn what_a_loop_remembers_of_a_page_ends_with_the_view() {
    const LI_A2_2: u32 = 0x0020_0613;
    const ADDI_A2_A2_MINUS_1: u32 = 0xfff6_0613;
    const BNEZ_A2_MINUS_8: u32 = 0xfe06_1ce3;
    let code = [
        LUI_A4_SUM,
        CSRS_SSTATUS_A4,
        LI_A2_2,
        LD_A3_A5,
        ADDI_A2_A2_MINUS_1,
        BNEZ_A2_MINUS_8,
        CSRC_SSTATUS_A4,
        LI_A2_2,
        LD_A4_A5,
        ADDI_A2_A2_MINUS_1,
        BNEZ_A2_MINUS_8,
    ];
    let (state, result) = load_in(Machine::with_blocks(&code, &[3, 6, 8]), 0);
    assert_eq!((state.a4, state.retired, result), (SUM, 11, PAGE + 32));
}

#[test]
fn who_returns_in_another_view_says_so() {
    // (instructions, status before, result)
    let cases: [(&[u32], u64, u64); 6] = [
        (&[LUI_A4_SUM, CSRS_SSTATUS_A4, RET], 0, BACK | OTHER_VIEW),
        (&[LUI_A4_SUM, CSRS_SSTATUS_A4, RET], SUM, BACK),
        (&[LUI_A4_SUM, CSRC_SSTATUS_A4, RET], SUM, BACK | OTHER_VIEW),
        (&[LUI_A4_SUM, CSRS_SSTATUS_A4, CSRC_SSTATUS_A4, RET], 0, BACK),
        (&[LUI_A4_SUM, CSRS_SSTATUS_A4, CSRC_SSTATUS_A4, RET], SUM, BACK | OTHER_VIEW),
        (&[LUI_A4_SUM, RET], SUM, BACK),
    ];
    for (code, status, expected) in cases {
        let (_, result) = load_user_memory(code, status);
        assert_eq!(result, expected, "{code:x?} from {status:#x}");
    }
}

#[test]
fn registers_of_exception_handlers_hold_what_is_written() {
    // (instruction, a5 before, which register and its value behind, a4 and a5 behind)
    let cases = [
        (0x1407_9073, 8, 0, 8, OLD, 8),  // csrw sscratch, a5
        (0x1407_97f3, 8, 0, 8, OLD, 1),  // csrrw a5, sscratch, a5
        (0x1400_1073, 8, 0, 0, OLD, 8),  // csrw sscratch, zero
        (0x1417_9073, 9, 1, 8, OLD, 9),  // csrw sepc, a5
        (0x1417_a773, 9, 1, 10, 2, 9),   // csrrs a4, sepc, a5
        (0x1420_2773, 8, 2, 3, 3, 8),    // csrr a4, scause
        (0x1427_b773, 1, 2, 2, 3, 1),    // csrrc a4, scause, a5
        (0x1430_e7f3, 8, 3, 5, OLD, 4),  // csrrsi a5, stval, 1
        (0x143f_d073, 8, 3, 31, OLD, 8), // csrwi stval, 31
        (0x1432_7773, 8, 3, 0, 4, 8),    // csrrci a4, stval, 4
    ];
    for (instruction, a5, number, value, a4_behind, a5_behind) in cases {
        let before = State { a5, ..BEFORE };
        let mut behind = State { a4: a4_behind, a5: a5_behind, retired: 1, ..BEFORE };
        behind.trap[number] = value;
        assert_eq!(execute(instruction, before, true, false), behind, "{instruction:#x}");
        assert_eq!(execute(instruction, before, false, false), before, "{instruction:#x}, user");
    }
}

#[test]
fn a_fence_of_instructions_has_nothing_to_do() {
    for privileged in [false, true] {
        let behind = State { retired: 1, ..BEFORE };
        assert_eq!(execute(0x0000_100f, BEFORE, privileged, false), behind);
    }
}

#[test]
fn a_block_is_made_zeros_if_the_tlb_lets_stores_to_it() {
    let zeros_at = |table: usize, privileged: bool| {
        let mut machine = Machine::new(&[0x0047_a00f]); // cbo.zero (a5)
        machine.map(TLB + table as u32, VA, RAM + PAGE_SIZE as u32);
        machine.put(RAM, &[1; 3 * PAGE_SIZE]);
        let before = State { a5: VA + 0x7f8, ..BEFORE };
        let behind = machine.run(before, privileged, false);
        let memory = &machine.memory.data(&machine.store)[RAM as usize..][..3 * PAGE_SIZE];
        let pages: Vec<bool> =
            memory.chunks(PAGE_SIZE).map(|page| page.iter().all(|byte| *byte == 0)).collect();
        assert_eq!(State { retired: 0, ..behind }, before);
        (behind.retired, pages)
    };
    assert_eq!(zeros_at(TLB_STORES, true), (1, vec![false, true, false]));
    assert_eq!(zeros_at(TLB_STORES, false), (0, vec![false; 3]), "the environment may forbid it");
    assert_eq!(zeros_at(0, true), (0, vec![false; 3]), "a page that can only be loaded from");
}
