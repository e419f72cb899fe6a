//! Control and status registers (volume II, chapter 12; volume I, section 6.1 and chapter 8).

use lithify_isa::riscv64::csr::{
    CYCLE, FCSR, FFLAGS, FRM, INSTRET, SATP, SCAUSE, SCOUNTEREN, SENVCFG, SEPC, SIE, SIP, SSCRATCH,
    SSTATUS, STIMECMP, STVAL, STVEC, TIME, sstatus,
};

use super::{Mode, Riscv64, trap};
use crate::arch::Trap;
use crate::core::{Core, Pause};
use crate::float::Flags;
use crate::tlb::View;

/// CY, TM and IR: the counters that `scounteren` opens to user mode.
pub(super) const SCOUNTEREN_MASK: u64 = 0b111;

/// Supervisor software interrupt, bit of `sip` and `sie`.
pub(super) const SSI: u64 = 1 << 1;
/// Supervisor timer interrupt.
pub(super) const STI: u64 = 1 << 5;
/// Supervisor external interrupt.
pub(super) const SEI: u64 = 1 << 9;

/// `senvcfg`: FIOM, and CBZE, which opens `cbo.zero` to user mode.
const SENVCFG_MASK: u64 = 1 | SENVCFG_CBZE;
pub(super) const SENVCFG_CBZE: u64 = 1 << 7;

/// `satp` MODE field values.
const SATP_MODE_SHIFT: u32 = 60;
const SATP_BARE: u64 = 0;
pub(super) const SATP_SV39: u64 = 8;
/// `satp` PPN.
pub(super) const SATP_PPN: u64 = (1 << 44) - 1;
/// `satp` ASID: all 16 bits are there.
const SATP_ASID_SHIFT: u32 = 44;

/// The supervisor's status register (section 12.1.1).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sstatus(u64);

impl Sstatus {
    fn read(self) -> u64 {
        let dirty = if self.0 & sstatus::FS == sstatus::FS { sstatus::SD } else { 0 };
        self.0 | sstatus::UXL_64 | dirty
    }

    /// Where translated code finds it.
    pub(super) const fn word(&self) -> &u64 {
        &self.0
    }

    pub(super) fn interrupts_enabled(self) -> bool {
        self.0 & sstatus::SIE != 0
    }

    pub(super) fn user_memory(self) -> bool {
        self.0 & sstatus::SUM != 0
    }

    pub(super) fn executable_readable(self) -> bool {
        self.0 & sstatus::MXR != 0
    }

    pub(super) fn float_is_off(self) -> bool {
        self.0 & sstatus::FS == 0
    }

    fn float_is_dirty(self) -> bool {
        self.0 & sstatus::FS == sstatus::FS
    }

    pub(super) fn set_float_dirty(&mut self) {
        self.0 |= sstatus::FS;
    }

    /// What trap entry does: stacks the mode and the interrupt enable.
    pub(super) fn push(&mut self, from: Mode) {
        let enabled = self.0 & sstatus::SIE != 0;
        self.0 &= !(sstatus::SIE | sstatus::SPIE | sstatus::SPP);
        if enabled {
            self.0 |= sstatus::SPIE;
        }
        if from == Mode::Supervisor {
            self.0 |= sstatus::SPP;
        }
    }

    /// What `sret` does: unstacks them.
    pub(super) fn pop(&mut self) -> Mode {
        let mode = if self.0 & sstatus::SPP != 0 { Mode::Supervisor } else { Mode::User };
        let enabled = self.0 & sstatus::SPIE != 0;
        self.0 &= !(sstatus::SIE | sstatus::SPP);
        self.0 |= sstatus::SPIE;
        if enabled {
            self.0 |= sstatus::SIE;
        }
        mode
    }
}

/// Privilege and read-only rules that a CSR's number spells out (section 2.1).
fn check_access(number: u16, writes: bool, mode: Mode) -> Option<()> {
    let read_only = number >> 10 == 0b11;
    let level = number >> 8 & 0b11;
    let allowed = match mode {
        Mode::User => level == 0,
        Mode::Supervisor => level <= 1,
    };
    (allowed && !(read_only && writes)).then_some(())
}

/// Executes a Zicsr instruction; the result goes to `rd` and the write follows.
pub(super) fn execute(core: &mut Core<Riscv64>, instruction: u32) -> Result<(), Trap> {
    let number = (instruction >> 20) as u16;
    let rd = instruction >> 7 & 31;
    let rs1 = instruction >> 15 & 31;
    let funct3 = instruction >> 12 & 7;
    let operand = if funct3 & 4 != 0 { u64::from(rs1) } else { core.x[rs1 as usize] };
    // csrrs and csrrc do not write when the source is x0 or zero.
    let writes = funct3 & 3 == 1 || rs1 != 0;
    let illegal = trap::illegal(instruction);
    check_access(number, writes, core.arch.mode).ok_or(illegal)?;
    let old = read(core, number).ok_or(illegal)?;
    if writes {
        let new = match funct3 & 3 {
            1 => operand,
            2 => old | operand,
            _ => old & !operand,
        };
        write(core, number, new);
    }
    if rd != 0 {
        core.x[rd as usize] = old;
    }
    Ok(())
}

fn read(core: &mut Core<Riscv64>, number: u16) -> Option<u64> {
    if matches!(number, FFLAGS | FRM | FCSR) && core.arch.sstatus.float_is_off() {
        return None;
    }
    if matches!(number, CYCLE | TIME | INSTRET)
        && core.arch.mode == Mode::User
        && core.arch.scounteren >> (number - CYCLE) & 1 == 0
    {
        return None;
    }
    let arch = &core.arch;
    Some(match number {
        FFLAGS => u64::from(core.fflags.bits()),
        FRM => u64::from(core.frm),
        FCSR => u64::from(core.fflags.bits()) | u64::from(core.frm) << 5,
        SSTATUS => arch.sstatus.read(),
        SIE => arch.sie,
        STVEC => arch.stvec,
        SCOUNTEREN => arch.scounteren,
        SENVCFG => arch.senvcfg,
        SSCRATCH => arch.sscratch,
        SEPC => arch.sepc,
        SCAUSE => arch.scause,
        STVAL => arch.stval,
        SIP => trap::pending(core),
        STIMECMP => arch.stimecmp,
        SATP => arch.satp,
        CYCLE | INSTRET => core.instret(),
        TIME => core.now_ns(),
        _ => return None,
    })
}

fn write(core: &mut Core<Riscv64>, number: u16, value: u64) {
    match number {
        FFLAGS => write_float(core, value, u64::from(core.frm)),
        FRM => write_float(core, u64::from(core.fflags.bits()), value),
        FCSR => write_float(core, value, value >> 5),
        SSTATUS => write_sstatus(core, value),
        SIE => core.arch.sie = value & (SSI | STI | SEI),
        // Direct and vectored only; a reserved mode keeps the low bit's meaning.
        STVEC => core.arch.stvec = value & !2,
        SCOUNTEREN => core.arch.scounteren = value & SCOUNTEREN_MASK,
        SENVCFG => core.arch.senvcfg = value & SENVCFG_MASK,
        SSCRATCH => core.arch.sscratch = value,
        SEPC => core.arch.sepc = value & !1,
        SCAUSE => core.arch.scause = value,
        STVAL => core.arch.stval = value,
        SIP => core.arch.ssip = value & SSI != 0,
        STIMECMP => set_timer(core, value),
        SATP => write_satp(core, value),
        _ => {}
    }
}

fn write_float(core: &mut Core<Riscv64>, fflags: u64, frm: u64) {
    core.fflags = Flags::from_bits(fflags as u8);
    core.frm = (frm & 7) as u8;
    core.arch.sstatus.set_float_dirty();
    core.float_ready = true;
}

pub(super) fn write_sstatus(core: &mut Core<Riscv64>, value: u64) {
    let old = core.arch.sstatus;
    core.arch.sstatus = Sstatus(value & sstatus::WRITABLE);
    core.float_ready = core.arch.sstatus.float_is_dirty();
    if (old.0 ^ value) & sstatus::MXR != 0 {
        core.tlb.flush();
    }
    select_view(core);
}

/// Points the TLB and the jump cache at what the current mode may see.
pub(super) fn select_view(core: &mut Core<Riscv64>) {
    let view = match (core.arch.mode, core.arch.sstatus.user_memory()) {
        (Mode::User, _) => View::User,
        (Mode::Supervisor, false) => View::Kernel,
        (Mode::Supervisor, true) => View::KernelAndUser,
    };
    core.tlb.select(view);
    core.privileged = core.arch.mode == Mode::Supervisor;
    core.code.select(core.privileged);
}

/// Sets `stimecmp` and makes the run loop reckon with the new deadline.
pub(super) fn set_timer(core: &mut Core<Riscv64>, deadline: u64) {
    core.arch.stimecmp = deadline;
    let now = core.now_ns();
    core.arch.update_timer(now);
    core.pause(Pause::Granted);
}

fn write_satp(core: &mut Core<Riscv64>, value: u64) {
    let mode = value >> SATP_MODE_SHIFT;
    // A write with an unsupported MODE has no effect at all (section 12.1.11).
    if mode != SATP_BARE && mode != SATP_SV39 {
        return;
    }
    core.arch.satp = value;
    enter_space(core);
}

/// Points the caches at the address space that `satp` names.
pub(super) fn enter_space(core: &mut Core<Riscv64>) {
    core.tlb.enter_space(core.arch.satp);
    core.code.enter_space(core.arch.satp);
}

/// The ASID in a value of `satp`.
pub(super) const fn asid(satp: u64) -> u16 {
    (satp >> SATP_ASID_SHIFT) as u16
}

/// The root page table, if paging is on.
pub(super) fn root_table(satp: u64) -> Option<u64> {
    (satp >> SATP_MODE_SHIFT == SATP_SV39).then_some((satp & SATP_PPN) << 12)
}

/// Every field holds a value that it can be read back with.
#[cfg(test)]
pub(super) fn assert_legal(core: &Core<Riscv64>) {
    let arch = &core.arch;
    assert_eq!(arch.sstatus.0 & !sstatus::WRITABLE, 0, "sstatus");
    assert_eq!(arch.sie & !(SSI | STI | SEI), 0, "sie");
    assert_eq!(arch.stvec & 2, 0, "stvec");
    assert_eq!(arch.sepc & 1, 0, "sepc");
    assert_eq!(arch.scounteren & !SCOUNTEREN_MASK, 0, "scounteren");
    assert_eq!(arch.senvcfg & !SENVCFG_MASK, 0, "senvcfg");
    let mode = arch.satp >> SATP_MODE_SHIFT;
    assert!(mode == SATP_BARE || mode == SATP_SV39, "satp");
    assert!(!core.float_ready || arch.sstatus.float_is_dirty(), "float state changes unseen");
}
