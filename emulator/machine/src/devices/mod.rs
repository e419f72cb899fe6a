//! The devices that guests of every architecture see.
//!
//! A device is registers and guest-visible state behind [`MmioDevice`](crate::MmioDevice). It knows
//! neither its address nor its interrupt number, both are the platform's business, and it reaches
//! the world only through the traits of [`host`](crate::host). Interrupt lines are levels: whoever
//! wires a device copies [`irq`](crate::MmioDevice::irq) to the interrupt controller after every
//! register access and every poll.

mod goldfish_rtc;
mod plic;
#[cfg(test)]
mod test_support;
pub mod virtio;
mod vmgenid;

pub use goldfish_rtc::GoldfishRtc;
pub(crate) use goldfish_rtc::Registers as RtcRegisters;
pub use plic::Plic;
pub use vmgenid::{GENERATION_ID_LEN, VmGenId};
