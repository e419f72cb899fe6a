//! What enables and disables interrupts, translated: it does what the manual says, or leaves.

#[allow(dead_code, reason = "shared with the random tests, which use all of it")]
#[path = "../../../emulator/machine/tests/rv64_differential/random.rs"]
mod random;
#[allow(dead_code, reason = "shared with the random tests, which use all of it")]
mod support;

use lithify_isa::translation::PAGE_SIZE;
use lithify_translate::{Block, Budget, Page, translate};
use support::{LAYOUT, LINK, TLB, module};
use wasmtime::{Engine, Instance, Module, Store, TypedFunc};

const WFI: u32 = 0x1050_0073;
const SIE: u64 = 1 << 1;
const SPP: u64 = 1 << 8;
const FS_DIRTY: u64 = 0b11 << 13;
const FS_CLEAN: u64 = 0b10 << 13;
const SUM: u64 = 1 << 18;
const UXL_64: u64 = 2 << 32;
const SD: u64 = 1 << 63;
/// The page's virtual address.
const PAGE: u64 = 0x7000;
const BUDGET: u64 = 100;
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
    /// Instructions that have retired.
    retired: u64,
}

/// Executes `instruction` where it is translated.
fn execute(instruction: u32, before: State, privileged: bool, waits: bool) -> State {
    let mut bytes = Box::new([0; PAGE_SIZE]);
    bytes[..4].copy_from_slice(&instruction.to_le_bytes());
    bytes[4..8].copy_from_slice(&WFI.to_le_bytes());
    let blocks = vec![Block { offset: 0, count: 100_000 }, Block { offset: 4, count: 1000 }];
    let translation =
        translate(&[Page { bytes, blocks, places: Vec::new() }], &LINK, Budget::large(PAGE_SIZE));
    let engine = Engine::default();
    let module = Module::new(&engine, module(&translation, 64)).expect("a valid module");
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).expect("no imports");
    let memory = instance.get_memory(&mut store, "memory").expect("exported");
    let table = instance.get_table(&mut store, "table").expect("exported");
    let entry = translation.entries.iter().find(|entry| entry.offset == 0).expect("a door");
    let place = u64::from(LINK.first_element + entry.function);
    let callee = table.get(&mut store, place).expect("in the table");
    let callee = *callee.as_func().flatten().expect("a function");
    let callee: TypedFunc<(i32, i64, i32), i64> = callee.typed(&store).expect("of the one type");
    let mut put = |at: u32, bytes: &[u8]| {
        memory.data_mut(&mut store)[at as usize..][..bytes.len()].copy_from_slice(bytes);
    };
    let register = |number: usize| LAYOUT.x + 8 * number as u32;
    put(LAYOUT.budget, &BUDGET.to_le_bytes());
    put(LAYOUT.status, &before.status.to_le_bytes());
    put(LAYOUT.privileged, &[privileged.into()]);
    put(LAYOUT.interrupt_waits, &[waits.into()]);
    put(register(A4), &before.a4.to_le_bytes());
    put(register(A5), &before.a5.to_le_bytes());
    let arguments = (TLB as i32, PAGE as i64, i32::from(entry.entry));
    let pc = callee.call(&mut store, arguments).expect("no trap") as u64;
    let get = |at: u32| {
        let bytes = &memory.data(&store)[at as usize..][..8];
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    };
    let retired = BUDGET - get(LAYOUT.budget);
    assert_eq!(pc, PAGE + 4 * retired, "{instruction:#x}");
    let status = get(LAYOUT.status);
    State { status, a4: get(register(A4)), a5: get(register(A5)), retired }
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
        let before = State { status, a4: OLD, a5, retired: 0 };
        let behind = State { status: status_behind, a4: a4_behind, a5: a5_behind, retired: 1 };
        assert_eq!(execute(instruction, before, true, false), behind, "{instruction:#x}");
        assert_eq!(execute(instruction, before, false, false), before, "{instruction:#x}, user");
    }
}

#[test]
fn what_changes_more_or_lets_an_interrupt_in_is_left_alone() {
    // (instruction, a5, whether an interrupt waits)
    let cases = [
        (0x1007_a073, SUM, false),       // csrs sstatus, a5
        (0x1007_b073, SUM | SIE, false), // csrc sstatus, a5
        (0x1007_a073, SIE, true),
        (0x1001_6073, 0, true), // csrsi sstatus, 2
    ];
    for (instruction, a5, waits) in cases {
        let before = State { status: SPP, a4: OLD, a5, retired: 0 };
        assert_eq!(execute(instruction, before, true, waits), before, "{instruction:#x}");
    }
    let before = State { status: SIE, a4: OLD, a5: OLD, retired: 0 };
    let behind = State { status: 0, retired: 1, ..before };
    assert_eq!(execute(0x1001_7073, before, true, true), behind, "none is let in");
}
