//! Split virtqueues (virtio 1.2, section 2.7), device side, with indirect descriptors and event
//! indices.

use super::chain::{Chain, MAX_CHAIN_SEGMENTS};
use crate::{GuestMemory, GuestPhysAddr, NotRam};

const DESCRIPTOR_LEN: u64 = 16;
const VIRTQ_DESC_F_NEXT: u16 = 1;
const VIRTQ_DESC_F_WRITE: u16 = 2;
const VIRTQ_DESC_F_INDIRECT: u16 = 4;
const VIRTQ_AVAIL_F_NO_INTERRUPT: u16 = 1;

/// `flags` and `idx` before the ring in the driver and in the device area.
const RING_HEADER_LEN: u64 = 4;
const AVAIL_ELEMENT_LEN: u64 = 2;
const USED_ELEMENT_LEN: u64 = 8;

/// How a driver broke the virtqueue protocol. The device stops until it is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// A ring or a buffer lies outside RAM.
    #[error(transparent)]
    NotRam(#[from] NotRam),
    /// Queue size or ring addresses break the rules of section 2.7.
    #[error("virtqueue of {size} descriptors at {desc:#x}, {driver:#x}, {device:#x} is malformed")]
    Malformed {
        /// Number of descriptors.
        size: u16,
        /// Address of the descriptor table.
        desc: u64,
        /// Address of the available ring.
        driver: u64,
        /// Address of the used ring.
        device: u64,
    },
    /// More buffers are available than the queue holds.
    #[error("available index {index} is more than a queue away from {expected}")]
    AvailableIndex {
        /// What the driver wrote.
        index: u16,
        /// Where the device is.
        expected: u16,
    },
    /// A descriptor index outside its table.
    #[error("descriptor {index} is outside its table of {len}")]
    DescriptorIndex {
        /// The index.
        index: u16,
        /// Number of descriptors in the table.
        len: u16,
    },
    /// A chain of more than [`MAX_CHAIN_SEGMENTS`], or an endless one.
    #[error("chain at descriptor {head} has over {MAX_CHAIN_SEGMENTS} segments")]
    ChainTooLong {
        /// First descriptor.
        head: u16,
    },
    /// A chain of more than [`MAX_CHAIN_BYTES`](super::MAX_CHAIN_BYTES).
    #[error("chain at descriptor {head} is too large")]
    ChainTooLarge {
        /// First descriptor.
        head: u16,
    },
    /// A device-readable descriptor follows a device-writable one.
    #[error("chain at descriptor {head} has a readable segment after a writable one")]
    ReadableAfterWritable {
        /// First descriptor.
        head: u16,
    },
    /// An indirect descriptor that was not negotiated, is nested, is followed by another
    /// descriptor or has an impossible length.
    #[error("chain at descriptor {head} has a malformed indirect table of {len} bytes")]
    Indirect {
        /// First descriptor.
        head: u16,
        /// Length of the table.
        len: u32,
    },
}

/// Which ring features the driver accepted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RingFeatures {
    pub(super) indirect: bool,
    pub(super) event_idx: bool,
}

/// Where the driver put the three parts of a queue.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RingAddresses {
    pub(super) desc: u64,
    pub(super) driver: u64,
    pub(super) device: u64,
}

/// One virtqueue.
#[derive(Debug, Clone)]
pub struct Queue {
    max_size: u16,
    size: u16,
    ready: bool,
    features: RingFeatures,
    addresses: RingAddresses,
    next_avail: u16,
    next_used: u16,
    /// The available index at which the driver was last asked to notify.
    requested_avail: Option<u16>,
    /// Value of `next_used` when an interrupt was last considered.
    considered_used: u16,
    /// Chains that may still be taken in this activation. A driver can aim what the device writes
    /// at the available ring, so that serving a request makes another one available for ever.
    takes_left: u16,
    /// Returned chains, kept for their allocations.
    spare: Vec<Chain>,
}

#[derive(Debug, Clone, Copy)]
struct Descriptor {
    at: u64,
    len: u32,
    flags: u16,
    next: u16,
}

impl Descriptor {
    fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// A descriptor table: the queue's own or an indirect one.
#[derive(Debug, Clone, Copy)]
struct Table {
    at: u64,
    len: u16,
}

impl Table {
    fn read(self, memory: &dyn GuestMemory, index: u16) -> Result<Descriptor, QueueError> {
        if index >= self.len {
            return Err(QueueError::DescriptorIndex { index, len: self.len });
        }
        let mut bytes = [0; DESCRIPTOR_LEN as usize];
        memory.read(GuestPhysAddr(self.at + DESCRIPTOR_LEN * u64::from(index)), &mut bytes)?;
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, f0, f1, n0, n1] = bytes;
        Ok(Descriptor {
            at: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            len: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        })
    }
}

impl Queue {
    pub(super) fn new(max_size: u16) -> Self {
        Self {
            max_size,
            size: 0,
            ready: false,
            features: RingFeatures::default(),
            addresses: RingAddresses::default(),
            next_avail: 0,
            next_used: 0,
            requested_avail: None,
            considered_used: 0,
            takes_left: 0,
            spare: Vec::new(),
        }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new(self.max_size);
    }

    pub(super) fn max_size(&self) -> u16 {
        self.max_size
    }

    pub(super) fn ready(&self) -> bool {
        self.ready
    }

    pub(super) fn set_size(&mut self, size: u16) {
        self.size = size;
    }

    /// The addresses, changeable until the queue is ready.
    pub(super) fn addresses_mut(&mut self) -> Option<&mut RingAddresses> {
        (!self.ready).then_some(&mut self.addresses)
    }

    /// Starts the queue as the driver set it up.
    pub(super) fn start(&mut self, features: RingFeatures) -> Result<(), QueueError> {
        if !self.well_formed() {
            let RingAddresses { desc, driver, device } = self.addresses;
            return Err(QueueError::Malformed { size: self.size, desc, driver, device });
        }
        self.features = features;
        self.ready = true;
        Ok(())
    }

    /// Size and alignment rules of section 2.7, and no part wraps around the address space, so
    /// that later address arithmetic cannot overflow.
    fn well_formed(&self) -> bool {
        let size = u64::from(self.size);
        let fits = |at: u64, alignment: u64, len: u64| {
            at.is_multiple_of(alignment) && at.checked_add(len).is_some()
        };
        let driver_len = RING_HEADER_LEN + AVAIL_ELEMENT_LEN * size + 2;
        let device_len = RING_HEADER_LEN + USED_ELEMENT_LEN * size + 2;
        self.size.is_power_of_two()
            && self.size <= self.max_size
            && fits(self.addresses.desc, 16, DESCRIPTOR_LEN * size)
            && fits(self.addresses.driver, 2, driver_len)
            && fits(self.addresses.device, 4, device_len)
    }

    /// Allows one queue's worth of [`take`](Self::take)s: all that an honest driver can have made
    /// available before it runs again.
    pub(super) fn activate(&mut self) {
        self.takes_left = self.size;
    }

    /// Takes the next available chain. With none left, asks the driver to notify for the next.
    ///
    /// # Errors
    /// If the driver broke the protocol.
    pub fn take(&mut self, memory: &mut dyn GuestMemory) -> Result<Option<Chain>, QueueError> {
        if !self.ready {
            return Ok(None);
        }
        if self.takes_left == 0 || !self.has_available(memory)? {
            self.request_notification(memory)?;
            return Ok(None);
        }
        let slot = u64::from(self.next_avail % self.size);
        let ring = self.addresses.driver + RING_HEADER_LEN;
        let head = load_u16(memory, ring + AVAIL_ELEMENT_LEN * slot)?;
        self.next_avail = self.next_avail.wrapping_add(1);
        self.takes_left -= 1;

        let mut chain = self.spare.pop().unwrap_or_default();
        chain.restart(head);
        self.collect(memory, &mut chain)?;
        Ok(Some(chain))
    }

    /// Makes a chain available again, as if it had not been taken: of those taken in this
    /// activation and not given back, the last.
    pub(super) fn untake(&mut self, chain: Chain) {
        self.next_avail = self.next_avail.wrapping_sub(1);
        self.takes_left += 1;
        self.spare.push(chain);
    }

    /// Number of descriptors.
    pub(super) fn size(&self) -> u16 {
        self.size
    }

    fn has_available(&self, memory: &dyn GuestMemory) -> Result<bool, QueueError> {
        let index = load_u16(memory, self.addresses.driver + 2)?;
        let available = index.wrapping_sub(self.next_avail);
        if available > self.size {
            return Err(QueueError::AvailableIndex { index, expected: self.next_avail });
        }
        Ok(available != 0)
    }

    /// Without event indices the driver always notifies: `VIRTQ_USED_F_NO_NOTIFY` stays clear.
    fn request_notification(&mut self, memory: &mut dyn GuestMemory) -> Result<(), QueueError> {
        if self.features.event_idx && self.requested_avail != Some(self.next_avail) {
            self.requested_avail = Some(self.next_avail);
            let ring_len = USED_ELEMENT_LEN * u64::from(self.size);
            let avail_event = self.addresses.device + RING_HEADER_LEN + ring_len;
            store(memory, avail_event, &self.next_avail.to_le_bytes())?;
        }
        Ok(())
    }

    fn collect(&self, memory: &dyn GuestMemory, chain: &mut Chain) -> Result<(), QueueError> {
        let table = Table { at: self.addresses.desc, len: self.size };
        let head = chain.head();
        let first = table.read(memory, head)?;
        if !first.has(VIRTQ_DESC_F_INDIRECT) {
            return walk(memory, table, first, chain);
        }
        let indirect = self.indirect_table(head, first)?;
        walk(memory, indirect, indirect.read(memory, 0)?, chain)
    }

    /// An indirect table stands alone (Linux never combines it with direct descriptors, and the
    /// specification forbids a next descriptor after it).
    fn indirect_table(&self, head: u16, descriptor: Descriptor) -> Result<Table, QueueError> {
        let count = u64::from(descriptor.len) / DESCRIPTOR_LEN;
        let malformed = !self.features.indirect
            || descriptor.has(VIRTQ_DESC_F_NEXT)
            || !u64::from(descriptor.len).is_multiple_of(DESCRIPTOR_LEN)
            || descriptor.at.checked_add(u64::from(descriptor.len)).is_none()
            || !(1..=MAX_CHAIN_SEGMENTS as u64).contains(&count);
        if malformed {
            return Err(QueueError::Indirect { head, len: descriptor.len });
        }
        Ok(Table { at: descriptor.at, len: count as u16 })
    }

    /// Takes each available chain and gives it back with the bytes that `serve` says it has
    /// written.
    ///
    /// # Errors
    /// If the driver broke the protocol, or `serve` fails.
    pub fn serve(
        &mut self,
        memory: &mut dyn GuestMemory,
        mut serve: impl FnMut(&mut dyn GuestMemory, &Chain) -> Result<u32, QueueError>,
    ) -> Result<(), QueueError> {
        while let Some(chain) = self.take(memory)? {
            let written = serve(memory, &chain)?;
            self.give_back(memory, chain, written)?;
        }
        Ok(())
    }

    /// Gives `chain` back after writing the first `written` of its writable bytes. A queue that
    /// was stopped in between has forgotten the chain.
    ///
    /// # Errors
    /// If the used ring is not RAM.
    pub fn give_back(
        &mut self,
        memory: &mut dyn GuestMemory,
        chain: Chain,
        written: u32,
    ) -> Result<(), QueueError> {
        if !self.ready {
            return Ok(());
        }
        let mut element = [0; USED_ELEMENT_LEN as usize];
        element[..4].copy_from_slice(&u32::from(chain.head()).to_le_bytes());
        element[4..].copy_from_slice(&written.to_le_bytes());
        let slot = u64::from(self.next_used % self.size);
        let ring = self.addresses.device + RING_HEADER_LEN;
        store(memory, ring + USED_ELEMENT_LEN * slot, &element)?;
        self.next_used = self.next_used.wrapping_add(1);
        store(memory, self.addresses.device + 2, &self.next_used.to_le_bytes())?;
        self.spare.push(chain);
        Ok(())
    }

    /// Whether the driver wants an interrupt for the chains given back since the last call
    /// (section 2.7.7).
    pub(super) fn wants_interrupt(&mut self, memory: &dyn GuestMemory) -> Result<bool, QueueError> {
        let (old, new) = (self.considered_used, self.next_used);
        if old == new {
            return Ok(false);
        }
        self.considered_used = new;
        if !self.features.event_idx {
            let flags = load_u16(memory, self.addresses.driver)?;
            return Ok(flags & VIRTQ_AVAIL_F_NO_INTERRUPT == 0);
        }
        let ring_len = AVAIL_ELEMENT_LEN * u64::from(self.size);
        let used_event = load_u16(memory, self.addresses.driver + RING_HEADER_LEN + ring_len)?;
        Ok(event_passed(used_event, old, new))
    }
}

/// Whether moving an index from `old` to `new` completes element number `event`.
fn event_passed(event: u16, old: u16, new: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

fn walk(
    memory: &dyn GuestMemory,
    table: Table,
    first: Descriptor,
    chain: &mut Chain,
) -> Result<(), QueueError> {
    let mut descriptor = first;
    loop {
        if descriptor.has(VIRTQ_DESC_F_INDIRECT) {
            return Err(QueueError::Indirect { head: chain.head(), len: descriptor.len });
        }
        if descriptor.has(VIRTQ_DESC_F_WRITE) {
            chain.push_writable(descriptor.at, descriptor.len)?;
        } else {
            chain.push_readable(descriptor.at, descriptor.len)?;
        }
        if !descriptor.has(VIRTQ_DESC_F_NEXT) {
            return Ok(());
        }
        descriptor = table.read(memory, descriptor.next)?;
    }
}

fn load_u16(memory: &dyn GuestMemory, at: u64) -> Result<u16, QueueError> {
    let mut bytes = [0; 2];
    memory.read(GuestPhysAddr(at), &mut bytes)?;
    Ok(u16::from_le_bytes(bytes))
}

fn store(memory: &mut dyn GuestMemory, at: u64, bytes: &[u8]) -> Result<(), QueueError> {
    Ok(memory.write(GuestPhysAddr(at), bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::test_support::{
        Buffer, DATA, Driver, EVENT_IDX, INDIRECT_DESC, Ram, Writable, avail_at, counting_rng,
        rings_at, used_at,
    };
    use crate::devices::virtio::Rng;

    const NEXT: u16 = 1;
    const WRITE: u16 = 2;
    const INDIRECT: u16 = 4;
    const SIZE: u16 = 8;

    fn start(features: u64) -> Driver<Rng> {
        Driver::start_with(counting_rng(), features)
    }

    fn fault(driver: &Driver<Rng>) -> QueueError {
        driver.transport.fault().expect("the device goes on")
    }

    /// Offers a head descriptor that the test wrote and returns what the device says of it.
    fn fault_of_head(driver: &mut Driver<Rng>, head: u16) -> QueueError {
        driver.offer(0, head);
        driver.notify(0);
        assert!(driver.failed());
        fault(driver)
    }

    #[test]
    fn rings_wrap_around() {
        let mut driver = start(EVENT_IDX);
        for round in 0..70_000_u32 {
            let head = driver.post(0, &[Writable(DATA, 1)]);
            driver.notify(0);
            assert_eq!(driver.used(0), [(u32::from(head), 1)], "round {round}");
        }
    }

    #[test]
    fn indirect_tables_hold_more_than_the_queue() {
        let mut driver = start(INDIRECT_DESC);
        let table = DATA + 0x8000;
        for index in 0..20 {
            let more = if index < 19 { NEXT } else { 0 };
            driver.descriptor(table, index, DATA, (3, WRITE | more, index + 1));
        }
        driver.descriptor(rings_at(0), 5, table, (20 * 16, INDIRECT, 0));
        driver.offer(0, 5);
        driver.notify(0);
        assert_eq!(driver.used(0), [(5, 60)]);
    }

    #[test]
    fn malformed_indirect_tables_stop_the_device() {
        let table = DATA + 0x8000;
        for (features, at, len, flags) in [
            (0, table, 16, INDIRECT),
            (INDIRECT_DESC, table, 16, INDIRECT | NEXT),
            (INDIRECT_DESC, table, 0, INDIRECT),
            (INDIRECT_DESC, table, 17, INDIRECT),
            (INDIRECT_DESC, table, 16 * 1025, INDIRECT),
            (INDIRECT_DESC, u64::MAX - 8, 16, INDIRECT),
        ] {
            let mut driver = start(features);
            driver.descriptor(table, 0, DATA, (1, WRITE, 0));
            driver.descriptor(rings_at(0), 0, at, (len, flags, 1));
            let fault = fault_of_head(&mut driver, 0);
            assert!(matches!(fault, QueueError::Indirect { head: 0, .. }), "{fault}");
        }
    }

    #[test]
    fn nested_indirect_tables_stop_the_device() {
        let mut driver = start(INDIRECT_DESC);
        driver.descriptor(DATA, 0, DATA, (16, INDIRECT, 0));
        driver.descriptor(rings_at(0), 0, DATA, (16, INDIRECT, 0));
        assert!(matches!(fault_of_head(&mut driver, 0), QueueError::Indirect { .. }));
    }

    #[test]
    fn descriptor_loops_stop_the_device() {
        let mut driver = start(0);
        driver.descriptor(rings_at(0), 0, DATA, (0, WRITE | NEXT, 1));
        driver.descriptor(rings_at(0), 1, DATA, (0, WRITE | NEXT, 0));
        assert_eq!(fault_of_head(&mut driver, 0), QueueError::ChainTooLong { head: 0 });
    }

    #[test]
    fn huge_lengths_stop_the_device() {
        let mut driver = start(0);
        driver.descriptor(rings_at(0), 3, DATA, (u32::MAX, WRITE, 0));
        assert_eq!(fault_of_head(&mut driver, 3), QueueError::ChainTooLarge { head: 3 });
    }

    #[test]
    fn descriptor_indices_outside_the_table_stop_the_device() {
        let mut driver = start(0);
        let expected = QueueError::DescriptorIndex { index: SIZE, len: SIZE };
        assert_eq!(fault_of_head(&mut driver, SIZE), expected);
        let mut driver = start(0);
        driver.descriptor(rings_at(0), 0, DATA, (1, WRITE | NEXT, SIZE));
        assert_eq!(fault_of_head(&mut driver, 0), expected);
    }

    #[test]
    fn buffers_outside_ram_stop_the_device() {
        for at in [0, 0x7fff_ffff, 0x8020_0000 - 1, u64::MAX - 1, 1 << 63] {
            let mut driver = start(0);
            driver.post(0, &[Buffer::Writable(at, 2)]);
            driver.notify(0);
            assert!(matches!(fault(&driver), QueueError::NotRam(_)), "{at:#x}");
        }
    }

    #[test]
    fn an_available_index_too_far_ahead_stops_the_device() {
        let mut driver = start(0);
        driver.ram.store(avail_at(0) + 2, &(SIZE + 1).to_le_bytes());
        driver.notify(0);
        assert_eq!(fault(&driver), QueueError::AvailableIndex { index: SIZE + 1, expected: 0 });
    }

    #[test]
    fn requests_that_make_more_available_do_not_keep_the_device_busy() {
        let mut ram = Ram::new(0x2_0000);
        let mut queue = Queue::new(SIZE);
        queue.set_size(SIZE);
        *queue.addresses_mut().unwrap() =
            RingAddresses { desc: rings_at(0), driver: avail_at(0), device: used_at(0) };
        queue.start(RingFeatures::default()).unwrap();
        for activation in 0..3 {
            queue.activate();
            for taken in 0..=SIZE {
                let index = (activation * SIZE + taken).wrapping_add(1);
                ram.store(avail_at(0) + 2, &index.to_le_bytes());
                let chain = queue.take(&mut ram).unwrap();
                assert_eq!(chain.is_some(), taken < SIZE, "after {taken}");
            }
        }
    }

    #[test]
    fn malformed_queues_do_not_start() {
        for (size, desc, driver_area, device_area) in [
            (0, rings_at(0), avail_at(0), used_at(0)),
            (3, rings_at(0), avail_at(0), used_at(0)),
            (16, rings_at(0), avail_at(0), used_at(0)),
            (8, rings_at(0) + 8, avail_at(0), used_at(0)),
            (8, rings_at(0), avail_at(0) + 1, used_at(0)),
            (8, rings_at(0), avail_at(0), used_at(0) + 2),
            (8, u64::MAX - 15, avail_at(0), used_at(0)),
            (8, rings_at(0), u64::MAX - 1, used_at(0)),
            (8, rings_at(0), avail_at(0), u64::MAX - 3),
        ] {
            let mut queue = Queue::new(SIZE);
            queue.set_size(size);
            *queue.addresses_mut().unwrap() =
                RingAddresses { desc, driver: driver_area, device: device_area };
            let started = queue.start(RingFeatures::default());
            assert!(matches!(started, Err(QueueError::Malformed { .. })), "size {size}");
            assert!(!queue.ready());
        }
    }

    #[test]
    fn an_idle_queue_asks_to_be_notified_of_the_next_buffer() {
        let mut driver = start(EVENT_IDX);
        let avail_event = used_at(0) + 4 + 8 * u64::from(SIZE);
        for expected in 1..=3 {
            driver.post(0, &[Writable(DATA, 1)]);
            driver.notify(0);
            assert_eq!(driver.ram.u16_at(avail_event), expected);
        }
    }

    #[test]
    fn events_pass_as_section_2_7_7_says() {
        for (event, old, new, passed) in [
            (0, 0, 1, true),
            (1, 0, 1, false),
            (4, 2, 5, true),
            (5, 2, 5, false),
            (1, 2, 5, false),
            (0xffff, 0xfffe, 1, true),
            (1, 0xfffe, 1, false),
        ] {
            assert_eq!(event_passed(event, old, new), passed, "{event} in {old}..{new}");
        }
    }
}
