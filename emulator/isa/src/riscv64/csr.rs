//! Numbers of control and status registers, and the fields of `sstatus` (volume II, chapters 2 and 12).

/// Float exception flags.
pub const FFLAGS: u16 = 0x001;
/// Float rounding mode.
pub const FRM: u16 = 0x002;
/// Both of these.
pub const FCSR: u16 = 0x003;
/// The supervisor's status: see [`sstatus`].
pub const SSTATUS: u16 = 0x100;
/// Enabled interrupts.
pub const SIE: u16 = 0x104;
/// Where exceptions and interrupts lead.
pub const STVEC: u16 = 0x105;
/// Counters that user mode may read.
pub const SCOUNTEREN: u16 = 0x106;
/// What user mode may do.
pub const SENVCFG: u16 = 0x10a;
/// For the supervisor's own use.
pub const SSCRATCH: u16 = 0x140;
/// Where an exception was raised.
pub const SEPC: u16 = 0x141;
/// Its cause.
pub const SCAUSE: u16 = 0x142;
/// What it is about: an address or an instruction.
pub const STVAL: u16 = 0x143;
/// Pending interrupts.
pub const SIP: u16 = 0x144;
/// When the timer interrupts.
pub const STIMECMP: u16 = 0x14d;
/// The address space.
pub const SATP: u16 = 0x180;
/// Cycles.
pub const CYCLE: u16 = 0xc00;
/// Time.
pub const TIME: u16 = 0xc01;
/// Retired instructions.
pub const INSTRET: u16 = 0xc02;

/// Fields of `sstatus` (section 12.1.1).
pub mod sstatus {
    /// Whether interrupts are enabled.
    pub const SIE: u64 = 1 << 1;
    /// Whether they were before an exception.
    pub const SPIE: u64 = 1 << 5;
    /// The mode before an exception.
    pub const SPP: u64 = 1 << 8;
    /// The float unit's state.
    pub const FS: u64 = 0b11 << 13;
    /// Whether user memory may be accessed.
    pub const SUM: u64 = 1 << 18;
    /// Whether what can be executed can be loaded.
    pub const MXR: u64 = 1 << 19;
    /// User mode is 64-bit, fixed.
    pub const UXL_64: u64 = 0b10 << 32;
    /// Some extension's state is dirty, read-only.
    pub const SD: u64 = 1 << 63;
    /// All that can be written.
    pub const WRITABLE: u64 = SIE | SPIE | SPP | FS | SUM | MXR;
}
