//! What device tests share: RAM in a vector, and a virtio driver that builds its rings in it.

use super::virtio::{MmioTransport, VirtioDevice};
use crate::{GuestMemory, GuestPhysAddr, MmioDevice, NotRam};

const RAM_BASE: u64 = 0x8000_0000;

/// RAM from `0x8000_0000`.
pub(crate) struct Ram(Vec<u8>);

impl Ram {
    pub(crate) fn new(len: usize) -> Self {
        Self(vec![0; len])
    }

    fn range(&self, at: GuestPhysAddr, len: usize) -> Result<std::ops::Range<usize>, NotRam> {
        let start = at.0.checked_sub(RAM_BASE).ok_or(NotRam { at })? as usize;
        let end = start.checked_add(len).filter(|end| *end <= self.0.len()).ok_or(NotRam { at })?;
        Ok(start..end)
    }

    pub(crate) fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let range = self.range(GuestPhysAddr(at), len).unwrap();
        self.0[range].to_vec()
    }

    pub(crate) fn store(&mut self, at: u64, bytes: &[u8]) {
        self.write(GuestPhysAddr(at), bytes).unwrap();
    }

    pub(crate) fn u16_at(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.bytes(at, 2).try_into().unwrap())
    }

    fn u32_at(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.bytes(at, 4).try_into().unwrap())
    }
}

impl GuestMemory for Ram {
    fn read(&self, at: GuestPhysAddr, into: &mut [u8]) -> Result<(), NotRam> {
        let range = self.range(at, into.len())?;
        into.copy_from_slice(&self.0[range]);
        Ok(())
    }

    fn write(&mut self, at: GuestPhysAddr, from: &[u8]) -> Result<(), NotRam> {
        let range = self.range(at, from.len())?;
        self.0[range].copy_from_slice(from);
        Ok(())
    }
}

/// A buffer of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Buffer {
    Readable(u64, u32),
    Writable(u64, u32),
}

pub(crate) use Buffer::{Readable, Writable};

pub(crate) const EVENT_IDX: u64 = 1 << 29;
pub(crate) const INDIRECT_DESC: u64 = 1 << 28;
const VERSION_1: u64 = 1 << 32;

pub(crate) const STATUS: u64 = 0x70;
pub(crate) const INTERRUPT_STATUS: u64 = 0x60;
pub(crate) const INTERRUPT_ACK: u64 = 0x64;
pub(crate) const QUEUE_NOTIFY: u64 = 0x50;
pub(crate) const NEEDS_RESET: u64 = 64;

/// Rings of queue n are at [`rings_at`]; data is the test's to place from [`DATA`] on.
pub(crate) const DATA: u64 = RAM_BASE + 0x10_0000;
const RAM_LEN: usize = 0x20_0000;
const RING_STRIDE: u64 = 0x8000;
const DRIVER_AREA: u64 = 0x2000;
const DEVICE_AREA: u64 = 0x4000;

pub(crate) fn rings_at(queue: u64) -> u64 {
    RAM_BASE + queue * RING_STRIDE
}

pub(crate) fn avail_at(queue: u64) -> u64 {
    rings_at(queue) + DRIVER_AREA
}

pub(crate) fn used_at(queue: u64) -> u64 {
    rings_at(queue) + DEVICE_AREA
}

/// A driver and the device it drives, with all queues at their largest size.
pub(crate) struct Driver<D> {
    pub(crate) transport: MmioTransport<D>,
    pub(crate) ram: Ram,
    sizes: Vec<u16>,
    next_descriptor: Vec<u16>,
    used_seen: Vec<u16>,
}

impl<D: VirtioDevice> Driver<D> {
    /// Takes the device through the initialisation of section 3.1, accepting all it offers.
    pub(crate) fn start(device: D) -> Self {
        let offered = device.features() | VERSION_1 | EVENT_IDX | INDIRECT_DESC;
        Self::start_with(device, offered)
    }

    pub(crate) fn start_with(device: D, features: u64) -> Self {
        let mut driver = Self::stopped(device);
        driver.initialise(features | VERSION_1);
        driver
    }

    pub(crate) fn stopped(device: D) -> Self {
        let sizes = device.queue_sizes();
        let queues = sizes.len();
        Self {
            transport: MmioTransport::new(device),
            ram: Ram::new(RAM_LEN),
            sizes,
            next_descriptor: vec![0; queues],
            used_seen: vec![0; queues],
        }
    }

    pub(crate) fn initialise(&mut self, features: u64) {
        self.set(STATUS, 0);
        self.set(STATUS, 1 | 2);
        self.accept(features);
        self.set(STATUS, 1 | 2 | 8);
        assert_eq!(self.get(STATUS), 1 | 2 | 8);
        for queue in 0..self.sizes.len() as u64 {
            self.start_queue(queue);
        }
        self.set(STATUS, 1 | 2 | 8 | 4);
    }

    pub(crate) fn accept(&mut self, features: u64) {
        for word in 0..2 {
            self.set(0x24, word);
            self.set(0x20, features >> (32 * word) & 0xffff_ffff);
        }
    }

    fn start_queue(&mut self, queue: u64) {
        self.set(0x30, queue);
        let size = u64::from(self.sizes[queue as usize]);
        assert_eq!(self.get(0x34), size);
        self.set(0x38, size);
        for (register, address) in
            [(0x80, rings_at(queue)), (0x90, avail_at(queue)), (0xa0, used_at(queue))]
        {
            self.set(register, address & 0xffff_ffff);
            self.set(register + 4, address >> 32);
        }
        self.set(0x44, 1);
    }

    pub(crate) fn get(&mut self, register: u64) -> u64 {
        self.transport.read(register, 4, &mut self.ram)
    }

    pub(crate) fn set(&mut self, register: u64, value: u64) {
        self.transport.write(register, 4, value, &mut self.ram);
    }

    pub(crate) fn notify(&mut self, queue: u64) {
        self.set(QUEUE_NOTIFY, queue);
    }

    pub(crate) fn poll(&mut self) {
        self.transport.poll(&mut self.ram);
    }

    pub(crate) fn failed(&mut self) -> bool {
        self.get(STATUS) & NEEDS_RESET != 0
    }

    /// Writes descriptor `index` of the table at `table`.
    pub(crate) fn descriptor(&mut self, table: u64, index: u16, at: u64, rest: (u32, u16, u16)) {
        let (len, flags, next) = rest;
        let mut bytes = at.to_le_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.ram.store(table + 16 * u64::from(index), &bytes);
    }

    /// Makes the descriptor `head` available without notifying.
    pub(crate) fn offer(&mut self, queue: u64, head: u16) {
        let index = self.ram.u16_at(avail_at(queue) + 2);
        let slot = u64::from(index % self.sizes[queue as usize]);
        self.ram.store(avail_at(queue) + 4 + 2 * slot, &head.to_le_bytes());
        self.ram.store(avail_at(queue) + 2, &index.wrapping_add(1).to_le_bytes());
    }

    /// Builds a chain of `buffers` and makes it available without notifying.
    pub(crate) fn post(&mut self, queue: u64, buffers: &[Buffer]) -> u16 {
        let size = self.sizes[queue as usize];
        let head = self.next_descriptor[queue as usize];
        for (position, buffer) in buffers.iter().enumerate() {
            let index = self.next_descriptor[queue as usize];
            let next = (index + 1) % size;
            let more = u16::from(position + 1 < buffers.len());
            let (at, len, flags) = match *buffer {
                Readable(at, len) => (at, len, more),
                Writable(at, len) => (at, len, more | 2),
            };
            self.descriptor(rings_at(queue), index, at, (len, flags, next));
            self.next_descriptor[queue as usize] = next;
        }
        self.offer(queue, head);
        head
    }

    /// Posts a chain and notifies.
    pub(crate) fn send(&mut self, queue: u64, buffers: &[Buffer]) {
        self.post(queue, buffers);
        self.notify(queue);
    }

    /// Head and written length of the chains given back since the last call.
    pub(crate) fn used(&mut self, queue: u64) -> Vec<(u32, u32)> {
        let index = self.ram.u16_at(used_at(queue) + 2);
        let mut seen = self.used_seen[queue as usize];
        let mut elements = Vec::new();
        while seen != index {
            let slot = u64::from(seen % self.sizes[queue as usize]);
            let at = used_at(queue) + 4 + 8 * slot;
            elements.push((self.ram.u32_at(at), self.ram.u32_at(at + 4)));
            seen = seen.wrapping_add(1);
        }
        self.used_seen[queue as usize] = seen;
        elements
    }
}

/// Entropy that counts: 1, 2, 3 and so on, byte by byte.
pub(crate) struct CountingEntropy(u8);

impl crate::host::Entropy for CountingEntropy {
    fn fill(&mut self, into: &mut [u8]) {
        for byte in into {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

/// The simplest device, for tests of queue and transport.
pub(crate) fn counting_rng() -> super::virtio::Rng {
    super::virtio::Rng::new(Box::new(CountingEntropy(0)))
}
