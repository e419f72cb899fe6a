//! riscv64: supervisor and user mode of one hart (The RISC-V Instruction Set Manual, volume II,
//! version 20240411), with the firmware (SBI 2.0) built in.

pub(crate) mod board;
mod csr;
pub mod platform;
#[cfg(test)]
mod random_code;
mod sbi;
mod sv39;
mod system;
mod trap;

use lithify_isa::{Op, riscv64};

use super::{Access, Arch, Trap};
use crate::core::Core;

/// Privilege modes a guest can run in; machine mode is the emulator itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    User,
    Supervisor,
}

/// Privileged state: CSRs by their names in the manual.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Riscv64 {
    pub(crate) mode: Mode,
    sstatus: csr::Sstatus,
    stvec: u64,
    sscratch: u64,
    sepc: u64,
    scause: u64,
    stval: u64,
    sie: u64,
    /// Software-writable part of `sip`; timer and external interrupts are computed.
    ssip: bool,
    /// Whether `stimecmp` has been reached, as of the last look at the time.
    timer_pending: bool,
    stimecmp: u64,
    scounteren: u64,
    senvcfg: u64,
    satp: u64,
}

impl Riscv64 {
    /// State at the entry of the kernel: supervisor mode, paging and interrupts off.
    pub(crate) fn new() -> Self {
        Self {
            mode: Mode::Supervisor,
            sstatus: csr::Sstatus::default(),
            stvec: 0,
            sscratch: 0,
            sepc: 0,
            scause: 0,
            stval: 0,
            sie: 0,
            ssip: false,
            timer_pending: false,
            stimecmp: u64::MAX,
            scounteren: csr::SCOUNTEREN_MASK,
            senvcfg: 0,
            satp: 0,
        }
    }

    /// Time at which the timer interrupt becomes pending; `None` if it is, or never will be.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        (!self.timer_pending && self.stimecmp != u64::MAX).then_some(self.stimecmp)
    }

    /// Recomputes the timer interrupt (Sstc: pending while `time >= stimecmp`).
    pub(crate) fn update_timer(&mut self, now: u64) {
        self.timer_pending = now >= self.stimecmp;
    }
}

impl Arch for Riscv64 {
    type Board = board::Board;

    fn length(first_half: u16) -> u16 {
        riscv64::length(first_half)
    }

    fn lift(instruction: u32, pc: u16) -> Op {
        riscv64::lift(instruction, pc)
    }

    fn translate(core: &mut Core<Self>, va: u64, access: Access) -> Result<u64, Trap> {
        sv39::translate(core, va, access)
    }

    fn known_to_all(core: &mut Core<Self>, va: u64, access: Access) -> Option<u64> {
        sv39::known_to_all(core, va, access)
    }

    fn system(core: &mut Core<Self>, instruction: u32, pc: u64) -> Result<u64, Trap> {
        system::execute(core, instruction, pc)
    }

    fn enter_trap(core: &mut Core<Self>, trap: Trap, pc: u64) {
        trap::enter(core, trap, pc);
    }

    fn status(&self) -> &u64 {
        self.sstatus.word()
    }

    fn trap_registers(&self) -> [&u64; 4] {
        [&self.sscratch, &self.sepc, &self.scause, &self.stval]
    }

    fn select_view(core: &mut Core<Self>) {
        csr::select_view(core);
    }

    fn take_interrupt(core: &mut Core<Self>) {
        trap::take_interrupt(core);
    }

    fn prepare_float(core: &mut Core<Self>) -> Result<(), Trap> {
        if core.arch.sstatus.float_is_off() {
            // The instruction's bits are not kept; zero is allowed for an illegal instruction.
            return Err(Self::illegal(0));
        }
        core.arch.sstatus.set_float_dirty();
        core.float_ready = true;
        Ok(())
    }

    fn illegal(instruction: u32) -> Trap {
        trap::illegal(instruction)
    }

    fn access_fault(va: u64, access: Access) -> Trap {
        trap::access_fault(va, access)
    }

    fn misaligned(va: u64, access: Access) -> Trap {
        trap::misaligned(va, access)
    }
}

impl Core<Riscv64> {
    /// The hart's state at the kernel's entry (SBI: a0 is the hart, a1 the device tree).
    pub(crate) fn reset(&mut self, pc: u64, device_tree: u64) {
        self.pc = pc;
        self.x[10] = 0;
        self.x[11] = device_tree;
        csr::select_view(self);
    }

    /// Sets the mode, what can be written of `sstatus`, and [`Arch::trap_registers`].
    #[cfg(feature = "bare")]
    pub(crate) fn set_supervisor(&mut self, privileged: bool, status: u64, trap: [u64; 4]) {
        self.arch.mode = if privileged { Mode::Supervisor } else { Mode::User };
        [self.arch.sscratch, self.arch.sepc, self.arch.scause, self.arch.stval] = trap;
        csr::write_sstatus(self, status);
    }

    /// Derives what caches depend on from registers that were set from outside.
    pub(crate) fn resume(&mut self) {
        csr::enter_space(self);
        csr::select_view(self);
    }
}
