//! Exceptions and interrupts (volume II, section 12.1).

use super::csr::{self, SEI, SSI, STI};
use super::{Mode, Riscv64};
use crate::arch::{Access, Trap};
use crate::core::{Bus, Core};

/// Exception codes of `scause` (table 22).
mod cause {
    pub(super) const INSTRUCTION_ACCESS_FAULT: u64 = 1;
    pub(super) const ILLEGAL_INSTRUCTION: u64 = 2;
    pub(super) const BREAKPOINT: u64 = 3;
    pub(super) const LOAD_ADDRESS_MISALIGNED: u64 = 4;
    pub(super) const LOAD_ACCESS_FAULT: u64 = 5;
    pub(super) const STORE_ADDRESS_MISALIGNED: u64 = 6;
    pub(super) const STORE_ACCESS_FAULT: u64 = 7;
    pub(super) const ECALL_FROM_U: u64 = 8;
    pub(super) const INSTRUCTION_PAGE_FAULT: u64 = 12;
    pub(super) const LOAD_PAGE_FAULT: u64 = 13;
    pub(super) const STORE_PAGE_FAULT: u64 = 15;
    pub(super) const INTERRUPT: u64 = 1 << 63;
}

pub(super) const fn illegal(instruction: u32) -> Trap {
    Trap { cause: cause::ILLEGAL_INSTRUCTION, tval: instruction as u64 }
}

pub(super) const fn breakpoint(pc: u64) -> Trap {
    Trap { cause: cause::BREAKPOINT, tval: pc }
}

pub(super) const fn ecall_from_user() -> Trap {
    Trap { cause: cause::ECALL_FROM_U, tval: 0 }
}

pub(super) const fn page_fault(va: u64, access: Access) -> Trap {
    let cause = match access {
        Access::Execute => cause::INSTRUCTION_PAGE_FAULT,
        Access::Load => cause::LOAD_PAGE_FAULT,
        Access::Store => cause::STORE_PAGE_FAULT,
    };
    Trap { cause, tval: va }
}

pub(super) const fn access_fault(va: u64, access: Access) -> Trap {
    let cause = match access {
        Access::Execute => cause::INSTRUCTION_ACCESS_FAULT,
        Access::Load => cause::LOAD_ACCESS_FAULT,
        Access::Store => cause::STORE_ACCESS_FAULT,
    };
    Trap { cause, tval: va }
}

pub(super) const fn misaligned(va: u64, access: Access) -> Trap {
    let cause = match access {
        Access::Store => cause::STORE_ADDRESS_MISALIGNED,
        Access::Load | Access::Execute => cause::LOAD_ADDRESS_MISALIGNED,
    };
    Trap { cause, tval: va }
}

pub(super) fn enter(core: &mut Core<Riscv64>, trap: Trap, pc: u64) {
    let from = core.arch.mode;
    core.arch.sepc = pc;
    core.arch.scause = trap.cause;
    core.arch.stval = trap.tval;
    core.arch.sstatus.push(from);
    core.arch.mode = Mode::Supervisor;
    csr::select_view(core);
    let vectored = core.arch.stvec & 1 != 0 && trap.cause & cause::INTERRUPT != 0;
    let offset = if vectored { (trap.cause & !cause::INTERRUPT) * 4 } else { 0 };
    core.pc = (core.arch.stvec & !3).wrapping_add(offset);
}

/// `sret`: where to go on.
pub(super) fn leave(core: &mut Core<Riscv64>) -> u64 {
    let mode = core.arch.sstatus.pop();
    core.arch.mode = mode;
    csr::select_view(core);
    core.arch.sepc
}

/// `sip`.
pub(super) fn pending(core: &Core<Riscv64>) -> u64 {
    let bit = |set, bit| if set { bit } else { 0 };
    bit(core.arch.ssip, SSI)
        | bit(core.arch.timer_pending, STI)
        | bit(core.bus.external_interrupt(), SEI)
}

/// Enters the handler of the most urgent interrupt that is pending and enabled
/// (external, software, timer: section 12.1.3).
pub(super) fn take_interrupt(core: &mut Core<Riscv64>) {
    let enabled = core.arch.mode == Mode::User || core.arch.sstatus.interrupts_enabled();
    let ready = pending(core) & core.arch.sie;
    // Behind the first one, others may wait.
    core.interrupt_waits = ready != 0;
    if !enabled {
        return;
    }
    for bit in [SEI, SSI, STI] {
        if ready & bit != 0 {
            let code = u64::from(bit.trailing_zeros());
            let pc = core.pc;
            return enter(core, Trap { cause: cause::INTERRUPT | code, tval: 0 }, pc);
        }
    }
}
