//! Reading every CSR number from both modes (volume II, chapter 2).

use crate::case::{Case, EBREAK, FRAME_A, Mode, Snippet, pte, sstatus};
use crate::cause;

/// fflags, frm, fcsr, cycle, time, instret
const UNPRIVILEGED: [u32; 6] = [0x001, 0x002, 0x003, 0xc00, 0xc01, 0xc02];
/// sstatus, sie, stvec, scounteren, senvcfg, sscratch, sepc, scause, stval, sip, stimecmp, satp
const SUPERVISOR: [u32; 12] =
    [0x100, 0x104, 0x105, 0x106, 0x10a, 0x140, 0x141, 0x142, 0x143, 0x144, 0x14d, 0x180];

pub(crate) fn all() -> impl Iterator<Item = (u32, Mode)> {
    (0..0x1000).flat_map(|number| [(number, Mode::User), (number, Mode::Supervisor)])
}

/// `csrr a1, number`
pub(crate) fn case(number: u32, mode: Mode) -> Case {
    const CSRR_A1: u32 = 0x0000_25f3;
    let user = if mode == Mode::User { pte::U } else { 0 };
    let name = format!("csr {number:#x} in {mode:?} mode");
    let case = Case::new(name, Snippet::Execute, mode)
        .with(sstatus::FS)
        .code(FRAME_A, [CSRR_A1 | number << 20, EBREAK]);
    case.map(0, FRAME_A, pte::V | pte::X | pte::A | user)
}

pub(crate) fn expected(number: u32, mode: Mode) -> u64 {
    let is_there = UNPRIVILEGED.contains(&number)
        || (mode == Mode::Supervisor && SUPERVISOR.contains(&number));
    if is_there { cause::BREAKPOINT } else { cause::ILLEGAL_INSTRUCTION }
}

/// hpmcounter3 to 31: optional, and read as zero there.
pub(crate) fn only_in_qemu(number: u32) -> bool {
    (0xc03..=0xc1f).contains(&number)
}
