//! Guest architectures: what the interpreter cannot know without them.

pub(crate) mod riscv64;

use lithify_isa::Op;

use crate::core::{Bus, Core};

/// Why memory is accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Load,
    Store,
    Execute,
}

/// An exception on its way to the guest, in the architecture's own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trap {
    /// `scause`.
    pub(crate) cause: u64,
    /// `stval`.
    pub(crate) tval: u64,
}

/// One guest architecture: its privileged state, and its answers to what ops leave open.
pub(crate) trait Arch: Sized {
    /// The platform's devices.
    type Board: Bus;

    /// Length in bytes of the instruction that starts with these 16 bits.
    fn length(first_half: u16) -> u16;

    /// Lifts the instruction at byte `pc` of its page.
    fn lift(instruction: u32, pc: u16) -> Op;

    /// Guest-physical address of `va`, or the exception that the access raises.
    fn translate(core: &mut Core<Self>, va: u64, access: Access) -> Result<u64, Trap>;

    /// Guest-physical address of `va`, if privileged code runs that sees its own memory alone, the address is
    /// mapped alike in all address spaces, and the guest cannot notice that it was looked up.
    fn known_to_all(core: &mut Core<Self>, va: u64, access: Access) -> Option<u64>;

    /// Executes an [`lithify_isa::OpCode::System`] instruction at `pc`; returns where to go on.
    fn system(core: &mut Core<Self>, instruction: u32, pc: u64) -> Result<u64, Trap>;

    /// Enters the exception handler; `pc` is the instruction that raised `trap`.
    fn enter_trap(core: &mut Core<Self>, trap: Trap, pc: u64);

    /// The supervisor's status register.
    fn status(&self) -> &u64;

    /// Its scratch register, and those that say where the last exception was raised, which, and what else is
    /// known of it.
    fn trap_registers(&self) -> [&u64; 4];

    /// Points the caches at what the current mode may see, as its status register says.
    fn select_view(core: &mut Core<Self>);

    /// Enters the interrupt handler if an interrupt is pending and enabled. Sets
    /// [`Core::interrupt_waits`].
    fn take_interrupt(core: &mut Core<Self>);

    /// Called before a float instruction when [`Core::float_ready`] is off: switches it on, or
    /// answers with the exception.
    fn prepare_float(core: &mut Core<Self>) -> Result<(), Trap>;

    /// No such instruction, or not in this state. `instruction` is zero when it is not known.
    fn illegal(instruction: u32) -> Trap;

    /// Nothing answers at this address.
    fn access_fault(va: u64, access: Access) -> Trap;

    /// An atomic access that is not naturally aligned.
    fn misaligned(va: u64, access: Access) -> Trap;
}
