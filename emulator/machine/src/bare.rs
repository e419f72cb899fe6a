//! A hart with RAM and nothing around it, whose state is set and read from outside: the oracle in tests of
//! other executors of guest code.

use std::cell::RefCell;
use std::rc::Rc;

use crate::absent::Absent;
use crate::arch::Arch;
use crate::arch::riscv64::Riscv64;
use crate::arch::riscv64::board::Board;
use crate::arch::riscv64::platform::RAM_BASE;
use crate::arena::PAGE_SIZE;
use crate::core::{Core, NO_RESERVATION};
use crate::float::Flags;
use crate::pages::Translations;
use crate::ram::Ram;
use crate::time::Timekeeper;

/// Where RAM begins, in either address space: there is no paging.
pub const BASE: u64 = RAM_BASE;

/// What instructions work on, but for memory and for what only the interpreter knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Integer registers; the first is zero.
    pub x: [u64; 32],
    /// Float registers.
    pub f: [u64; 32],
    /// Accrued exceptions.
    pub fflags: u8,
    /// Dynamic rounding mode.
    pub frm: u8,
    /// Program counter.
    pub pc: u64,
    /// Address of the last load-reserved.
    pub reservation: Option<u64>,
    /// Whether the hart is in supervisor mode.
    pub privileged: bool,
    /// `sstatus`, without what cannot be written.
    pub status: u64,
    /// `sscratch`, `sepc`, `scause`, `stval`.
    pub trap: [u64; 4],
}

/// Executes translated code in place of a wasm engine.
pub trait Executor {
    /// Calls the function `function` of the table; returns the program counter where it got to.
    fn call(&mut self, cpu: &mut Cpu<'_>, function: u32, page: u64, entry: u32) -> u64;
}

/// What an [`Executor`] works on.
#[derive(Debug)]
pub struct Cpu<'a>(&'a mut Core<Riscv64>);

impl Cpu<'_> {
    /// RAM page `number`. Its code must not have been executed if it is changed.
    pub fn page(&mut self, number: usize) -> &mut [u8; PAGE_SIZE] {
        self.0.ram.bytes(number)
    }

    /// The registers.
    #[must_use]
    pub fn state(&mut self) -> State {
        let core = &self.0;
        let mut state = State {
            x: std::array::from_fn(|slot| core.x[slot]),
            f: std::array::from_fn(|slot| core.f[slot]),
            fflags: core.fflags.bits(),
            frm: core.frm,
            pc: core.pc,
            reservation: None,
            privileged: core.privileged,
            status: *core.arch.status(),
            trap: core.arch.trap_registers().map(|register| *register),
        };
        let reserved = core.reservation;
        state.reservation = (reserved != NO_RESERVATION).then(|| self.guest_address(reserved));
        state
    }

    /// Sets the registers.
    pub fn set_state(&mut self, state: &State) {
        let core = &mut self.0;
        let mut host = |address: u64| {
            let page = (address - BASE) as usize / PAGE_SIZE;
            core.ram.bytes(page).as_ptr() as u64 + address % PAGE_SIZE as u64
        };
        core.reservation = state.reservation.map_or(NO_RESERVATION, &mut host);
        core.x[..32].copy_from_slice(&state.x);
        core.f[..32].copy_from_slice(&state.f);
        core.fflags = Flags::from_bits(state.fflags);
        core.frm = state.frm;
        core.pc = state.pc;
        core.set_supervisor(state.privileged, state.status, state.trap);
    }

    fn guest_address(&mut self, host: u64) -> u64 {
        let found = (BASE..).step_by(PAGE_SIZE).find_map(|at| {
            let page = self.0.ram.page_index(at).expect("what is reserved is RAM");
            let offset = host.wrapping_sub(self.0.ram.bytes(page).as_ptr() as u64);
            (offset < PAGE_SIZE as u64).then(|| at + offset)
        });
        found.expect("the addresses end")
    }

    /// Instructions left.
    #[must_use]
    pub fn budget(&self) -> i64 {
        self.0.budget
    }

    /// Sets the number of instructions left.
    pub fn set_budget(&mut self, budget: i64) {
        self.0.budget = budget;
    }
}

/// One hart in supervisor mode whose float unit is on.
#[derive(Debug)]
pub struct Hart(Box<Core<Riscv64>>);

impl Hart {
    /// A hart with `pages` pages of zeros.
    #[must_use]
    pub fn new(pages: usize) -> Self {
        let time = Rc::new(Timekeeper::new(0));
        let board = Board::new(Absent::hosts(), &[], &time);
        let ram = Ram::new(RAM_BASE, (pages * PAGE_SIZE) as u64);
        let mut core = Box::new(Core::new(ram, board, time, Riscv64::new()));
        core.reset(RAM_BASE, 0);
        switch_float_on(&mut core);
        Self(core)
    }

    /// Exceptions lead to `at`, a multiple of four.
    pub fn handle_exceptions_at(&mut self, at: u64) {
        const CSRRW_STVEC_A0: u32 = 0x105 << 20 | 10 << 15 | 1 << 12 | 0x73;
        self.0.x[10] = at;
        Riscv64::system(&mut self.0, CSRRW_STVEC_A0, RAM_BASE).expect("it is there");
    }

    /// Registers and memory.
    pub fn cpu(&mut self) -> Cpu<'_> {
        Cpu(&mut self.0)
    }

    /// Executes `granted` instructions and then up to the next stop, as the machine does. Returns how
    /// many have retired.
    pub fn run(&mut self, granted: u64) -> u64 {
        let before = self.0.instret();
        self.0.run(granted);
        self.0.instret() - before
    }

    /// Looks up translated code in `table` from now on. All harts of a thread share one `executor`,
    /// the last.
    ///
    /// # Panics
    /// If the table is damaged.
    pub fn translate(&mut self, table: &[u8], executor: Box<dyn Executor>) {
        EXECUTOR.set(Some(executor));
        self.0.translate(Translations::parse(table).expect("a whole table"), call);
    }

    /// Instructions that translated code has retired.
    #[must_use]
    pub fn translated_instructions(&self) -> u64 {
        self.0.translated.instructions
    }
}

thread_local! {
    static EXECUTOR: RefCell<Option<Box<dyn Executor>>> = const { RefCell::new(None) };
}

/// # Safety
/// `cpu` is a core that nobody else refers to.
unsafe fn call(function: u32, cpu: *mut (), _tlb: *const (), page: u64, entry: u32) -> u64 {
    // SAFETY: the caller's promise.
    let mut cpu = Cpu(unsafe { &mut *cpu.cast() });
    EXECUTOR.with_borrow_mut(|executor| {
        let executor = executor.as_mut().expect("set with the table");
        executor.call(&mut cpu, function, page, entry)
    })
}

/// By the guest's own instructions.
fn switch_float_on(core: &mut Core<Riscv64>) {
    const CSRRW_SSTATUS_A0: u32 = 0x100 << 20 | 10 << 15 | 1 << 12 | 0x73;
    const CSRRW_FCSR_A0: u32 = 0x003 << 20 | 10 << 15 | 1 << 12 | 0x73;
    core.x[10] = 1 << 13;
    for instruction in [CSRRW_SSTATUS_A0, CSRRW_FCSR_A0] {
        Riscv64::system(core, instruction, RAM_BASE).expect("both are there");
        core.x[10] = 0;
    }
}
