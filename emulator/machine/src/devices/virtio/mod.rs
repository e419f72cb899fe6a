//! Virtio 1.2 devices, split into three things that know as little of each other as possible: the
//! [`Queue`] moves descriptor chains, the [`MmioTransport`] shows registers, and a
//! [`VirtioDevice`] serves requests.
//!
//! The driver is hostile. Whatever it puts into rings and requests, a device answers with an error
//! status or, where the specification leaves no answer, stops with `DEVICE_NEEDS_RESET`. Nothing
//! allocates or loops beyond the caps named in this module's constants.

mod blk;
mod chain;
mod console;
mod mmio;
mod net;
mod ninep;
mod queue;
mod rng;

pub use blk::{Block, SERIAL_LEN};
pub use chain::{Chain, Cursor, MAX_CHAIN_BYTES, MAX_CHAIN_SEGMENTS};
pub use console::Console;
pub(crate) use console::Port;
pub use mmio::MmioTransport;
pub(crate) use mmio::Registers;
pub use net::{MAC, MAX_FRAME_LEN, Net};
pub use ninep::NineP;
pub use queue::{Queue, QueueError};
pub use rng::Rng;

use crate::GuestMemory;

/// Size of the copies between host and guest: one page, so that a copy meets one page of guest
/// memory and the stack of a frozen machine stays small.
const COPY_LEN: usize = 4096;

/// A device type's part of a virtio device. The transport does feature negotiation, status,
/// queue set-up and interrupts.
pub trait VirtioDevice {
    /// Virtio device ID (section 5).
    fn device_id(&self) -> u32;

    /// Feature bits of the device type (0..=23 and 50..=127); the transport adds its own.
    fn features(&self) -> u64;

    /// Those of [`features`](Self::features) that the device does not work without.
    fn required_features(&self) -> u64 {
        0
    }

    /// Largest size of each queue, powers of two; asked once.
    fn queue_sizes(&self) -> Vec<u16>;

    /// Device configuration space as the driver reads it. The driver cannot write it.
    fn config(&self) -> &[u8];

    /// The driver made buffers available in queue number `queue`.
    ///
    /// # Errors
    /// If the driver broke the protocol: the device then needs a reset.
    fn notify(
        &mut self,
        queue: usize,
        queues: &mut [Queue],
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError>;

    /// Moves data that waits on the host. Called only while the driver is ready.
    ///
    /// # Errors
    /// If the driver broke the protocol: the device then needs a reset.
    fn poll(
        &mut self,
        _queues: &mut [Queue],
        _memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        Ok(())
    }

    /// Forgets everything the driver told the device.
    fn reset(&mut self);
}
