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
        let queue = &mut queues[queue];
        while let Some(chain) = queue.take(memory)? {
            let mut bytes = [0; COPY_LEN];
            let mut room = chain.writable();
            let wanted = room.remaining().min(COPY_LEN as u64) as usize;
            self.entropy.fill(&mut bytes[..wanted]);
            let written = room.write(memory, &bytes[..wanted])?;
            queue.give_back(memory, chain, written as u32)?;
        }
        Ok(())
    }

    fn reset(&mut self) {}
}
