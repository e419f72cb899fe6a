//! The machine: memory, MMU, interpreter, devices, run loop.
//!
//! A [`Machine`] is one hart, RAM and a handful of devices, driven in slices by whoever owns it:
//! the WASI program, the builder, a test. It asks the world for bytes, time and randomness only
//! through the traits of [`host`].
//!
//! Where things are: the outer loop is in `core`, the dispatch loop in `interp`, decoded blocks
//! in `code`, guest RAM in `ram`, the software TLB in `tlb`, privileged state in `arch`.
//!
//! Invariants:
//! - Time is counted from instructions until [`Machine::thaw`]: two machines with the same setup
//!   that were never thawed are equal, instruction by instruction.
//! - Guest data never panics the machine and never makes it allocate without bound.
//! - A store to a page with decoded code drops that code before the next instruction.
//! - Which code is decoded, translated or counted changes nothing that a guest can see, and never
//!   after how many instructions it looks up.

#[cfg(any(test, feature = "bare"))]
mod absent;
mod arch;
mod arena;
#[cfg(feature = "bare")]
pub mod bare;
mod blocks;
mod boot;
mod bus;
mod census;
mod code;
mod core;
mod decode;
pub mod devices;
mod digest;
pub mod fdt;
mod fetches;
pub mod float;
mod footprint;
mod frozen;
mod fuse;
pub mod host;
mod interp;
mod jumps;
mod low;
mod machine;
mod pace;
mod pages;
mod pattern;
mod profile;
mod ram;
mod recall;
mod rehearsal;
mod spaces;
mod time;
mod tlb;

pub use arch::riscv64::platform;
pub use boot::{BootError, MAX_MEMORY, MIN_MEMORY};
pub use bus::{GuestMemory, GuestPhysAddr, MmioDevice, NotRam};
pub use census::PageInUse;
pub use core::{Halt, Translated};
pub use devices::GENERATION_ID_LEN;
pub use footprint::Footprint;
pub use frozen::Frozen;
pub use lithify_isa::translation::Layout;
pub use machine::{Hosts, Machine, Setup, Status};
pub use pages::Call;
pub use profile::PageCounts;
