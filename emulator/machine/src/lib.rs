//! The machine: memory, MMU, interpreter, devices, run loop.

mod bus;
pub mod float;
pub mod host;

pub use bus::{GuestMemory, GuestPhysAddr, MmioDevice, NotRam};
