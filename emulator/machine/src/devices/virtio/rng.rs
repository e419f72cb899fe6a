//! Entropy device (virtio 1.2, section 5.4).

use std::fmt;

use super::queue::{Queue, QueueError};
use super::{COPY_LEN, VirtioDevice};
use crate::GuestMemory;
use crate::host::Entropy;

const DEVICE_ID: u32 = 4;
const QUEUE_SIZE: u16 = 8;

/// A source of random bytes. A request gets at most a page, which the specification allows: it
/// stops a driver from draining the host with one descriptor.
pub struct Rng {
    entropy: Box<dyn Entropy>,
}

impl Rng {
    /// A device that hands out bytes of `entropy`.
    #[must_use]
    pub fn new(entropy: Box<dyn Entropy>) -> Self {
        Self { entropy }
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rng").finish_non_exhaustive()
    }
}

impl VirtioDevice for Rng {
    fn device_id(&self) -> u32 {
        DEVICE_ID
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE]
    }

    fn config(&self) -> &[u8] {
        &[]
    }

    fn notify(
        &mut self,
        queue: usize,
        queues: &mut [Queue],
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        queues[queue].serve(memory, |memory, chain| {
            let mut bytes = [0; COPY_LEN];
            let mut room = chain.writable();
            let wanted = room.remaining().min(COPY_LEN as u64) as usize;
            self.entropy.fill(&mut bytes[..wanted]);
            room.write(memory, &bytes[..wanted]).map(|written| written as u32)
        })
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use crate::devices::test_support::{DATA, Driver, Readable, Writable, counting_rng};

    #[test]
    fn requests_are_filled_with_entropy() {
        let mut driver = Driver::start(counting_rng());
        driver.send(0, &[Writable(DATA, 2), Writable(DATA + 0x100, 3)]);
        assert_eq!(driver.used(0), [(0, 5)]);
        assert_eq!(driver.ram.bytes(DATA, 3), [1, 2, 0]);
        assert_eq!(driver.ram.bytes(DATA + 0x100, 4), [3, 4, 5, 0]);
    }

    #[test]
    fn a_request_gets_at_most_a_page() {
        let mut driver = Driver::start(counting_rng());
        driver.send(0, &[Writable(DATA, 0x10_0000)]);
        assert_eq!(driver.used(0), [(0, 4096)]);
    }

    #[test]
    fn a_request_without_room_is_given_back_empty() {
        let mut driver = Driver::start(counting_rng());
        driver.send(0, &[Readable(DATA, 64)]);
        assert_eq!(driver.used(0), [(0, 0)]);
        assert!(!driver.failed());
    }

    #[test]
    fn it_is_an_entropy_device_with_one_queue() {
        let mut driver = Driver::stopped(counting_rng());
        assert_eq!(driver.get(0x08), 4);
        driver.set(0x30, 1);
        assert_eq!(driver.get(0x34), 0);
    }
}
