//! Virtio over MMIO, version 2 (virtio 1.2, section 4.2).

use super::VirtioDevice;
use super::queue::{Queue, QueueError, RingAddresses, RingFeatures};
use crate::{GuestMemory, MmioDevice};

/// "virt" in little endian.
const MAGIC: u32 = 0x7472_6976;
const TRANSPORT_VERSION: u32 = 2;
/// "LTHF" in little endian.
const VENDOR_ID: u32 = 0x4648_544c;

/// Register offsets (table 4.1).
mod register {
    pub(super) const MAGIC_VALUE: u64 = 0x000;
    pub(super) const VERSION: u64 = 0x004;
    pub(super) const DEVICE_ID: u64 = 0x008;
    pub(super) const VENDOR_ID: u64 = 0x00c;
    pub(super) const DEVICE_FEATURES: u64 = 0x010;
    pub(super) const DEVICE_FEATURES_SEL: u64 = 0x014;
    pub(super) const DRIVER_FEATURES: u64 = 0x020;
    pub(super) const DRIVER_FEATURES_SEL: u64 = 0x024;
    pub(super) const QUEUE_SEL: u64 = 0x030;
    pub(super) const QUEUE_NUM_MAX: u64 = 0x034;
    pub(super) const QUEUE_NUM: u64 = 0x038;
    pub(super) const QUEUE_READY: u64 = 0x044;
    pub(super) const QUEUE_NOTIFY: u64 = 0x050;
    pub(super) const INTERRUPT_STATUS: u64 = 0x060;
    pub(super) const INTERRUPT_ACK: u64 = 0x064;
    pub(super) const STATUS: u64 = 0x070;
    pub(super) const QUEUE_DESC_LOW: u64 = 0x080;
    pub(super) const QUEUE_DESC_HIGH: u64 = 0x084;
    pub(super) const QUEUE_DRIVER_LOW: u64 = 0x090;
    pub(super) const QUEUE_DRIVER_HIGH: u64 = 0x094;
    pub(super) const QUEUE_DEVICE_LOW: u64 = 0x0a0;
    pub(super) const QUEUE_DEVICE_HIGH: u64 = 0x0a4;
    pub(super) const SHM_LEN_LOW: u64 = 0x0b0;
    pub(super) const SHM_BASE_HIGH: u64 = 0x0bc;
    pub(super) const CONFIG_GENERATION: u64 = 0x0fc;
    pub(super) const CONFIG: u64 = 0x100;
}

/// Device status bits (section 2.1).
mod status {
    pub(super) const DRIVER_OK: u32 = 4;
    pub(super) const FEATURES_OK: u32 = 8;
    pub(super) const DEVICE_NEEDS_RESET: u32 = 64;
}

/// Interrupt status bits.
const USED_BUFFER: u32 = 1;
const CONFIGURATION_CHANGE: u32 = 2;

const VIRTIO_F_INDIRECT_DESC: u64 = 1 << 28;
const VIRTIO_F_EVENT_IDX: u64 = 1 << 29;
const VIRTIO_F_VERSION_1: u64 = 1 << 32;

/// A virtio device behind MMIO registers.
#[derive(Debug)]
pub struct MmioTransport<D> {
    device: D,
    registers: Registers,
}

/// The transport's own state.
#[derive(Debug, Clone)]
pub(crate) struct Registers {
    queues: Vec<Queue>,
    queue_sel: u32,
    device_features_sel: u32,
    driver_features_sel: u32,
    driver_features: u64,
    status: u32,
    interrupt_status: u32,
    config_generation: u32,
    fault: Option<QueueError>,
}

impl<D: VirtioDevice> MmioTransport<D> {
    /// A transport for `device`, in reset.
    #[must_use]
    pub fn new(device: D) -> Self {
        let queues = device.queue_sizes().into_iter().map(Queue::new).collect();
        let registers = Registers {
            queues,
            queue_sel: 0,
            device_features_sel: 0,
            driver_features_sel: 0,
            driver_features: 0,
            status: 0,
            interrupt_status: 0,
            config_generation: 0,
            fault: None,
        };
        Self { device, registers }
    }

    /// A transport for `device`, which goes on with these [`registers`](Self::registers).
    pub(crate) fn resume(device: D, registers: &Registers) -> Self {
        Self { device, registers: registers.clone() }
    }

    /// The transport without its device.
    pub(crate) fn registers(&self) -> &Registers {
        &self.registers
    }

    /// Tells the driver to read the device's configuration again (section 2.5).
    pub(crate) fn announce_config_change(&mut self) {
        self.registers.config_generation = self.registers.config_generation.wrapping_add(1);
        if self.registers.status & status::DRIVER_OK != 0 {
            self.registers.interrupt_status |= CONFIGURATION_CHANGE;
        }
    }

    /// The device.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The device, for the host side to reconfigure.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// What the driver did wrong if the device waits to be reset.
    pub fn fault(&self) -> Option<QueueError> {
        self.registers.fault
    }

    fn offered_features(&self) -> u64 {
        self.device.features() | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1
    }

    fn required_features(&self) -> u64 {
        self.device.required_features() | VIRTIO_F_VERSION_1
    }

    fn ring_features(&self) -> RingFeatures {
        RingFeatures {
            indirect: self.registers.driver_features & VIRTIO_F_INDIRECT_DESC != 0,
            event_idx: self.registers.driver_features & VIRTIO_F_EVENT_IDX != 0,
        }
    }

    fn running(&self) -> bool {
        self.registers.status & status::DRIVER_OK != 0
            && self.registers.status & status::DEVICE_NEEDS_RESET == 0
    }

    fn selected_queue(&mut self) -> Option<&mut Queue> {
        self.registers.queues.get_mut(self.registers.queue_sel as usize)
    }

    fn read_register(&mut self, offset: u64) -> u32 {
        match offset {
            register::MAGIC_VALUE => MAGIC,
            register::VERSION => TRANSPORT_VERSION,
            register::DEVICE_ID => self.device.device_id(),
            register::VENDOR_ID => VENDOR_ID,
            register::DEVICE_FEATURES => {
                feature_word(self.offered_features(), self.registers.device_features_sel)
            }
            register::QUEUE_NUM_MAX => {
                self.selected_queue().map_or(0, |queue| u32::from(queue.max_size()))
            }
            register::QUEUE_READY => {
                self.selected_queue().map_or(0, |queue| u32::from(queue.ready()))
            }
            register::INTERRUPT_STATUS => self.registers.interrupt_status,
            register::STATUS => self.registers.status,
            register::CONFIG_GENERATION => self.registers.config_generation,
            // A region that does not exist has length and base -1 (section 4.2.2).
            register::SHM_LEN_LOW..=register::SHM_BASE_HIGH => u32::MAX,
            _ => 0,
        }
    }

    fn write_register(&mut self, offset: u64, value: u32, memory: &mut dyn GuestMemory) {
        match offset {
            register::DEVICE_FEATURES_SEL => self.registers.device_features_sel = value,
            register::DRIVER_FEATURES => self.set_driver_features(value),
            register::DRIVER_FEATURES_SEL => self.registers.driver_features_sel = value,
            register::QUEUE_SEL => self.registers.queue_sel = value,
            register::QUEUE_NOTIFY => self.notify(value as usize, memory),
            register::INTERRUPT_ACK => self.registers.interrupt_status &= !value,
            register::STATUS => self.set_status(value),
            register::QUEUE_NUM..=register::QUEUE_READY
            | register::QUEUE_DESC_LOW..=register::QUEUE_DEVICE_HIGH => {
                self.set_up_queue(offset, value);
            }
            _ => {}
        }
    }

    fn set_driver_features(&mut self, value: u32) {
        if self.registers.status & status::FEATURES_OK == 0 {
            set_word(
                &mut self.registers.driver_features,
                self.registers.driver_features_sel,
                value,
            );
        }
    }

    /// The driver sets bits one after the other; zero resets (section 2.1.1).
    fn set_status(&mut self, value: u32) {
        if value == 0 {
            self.reset();
            return;
        }
        let mut accepted = value | self.registers.status & status::DEVICE_NEEDS_RESET;
        if self.registers.status & status::FEATURES_OK == 0 && !self.features_acceptable() {
            accepted &= !status::FEATURES_OK;
        }
        self.registers.status = accepted;
    }

    fn features_acceptable(&self) -> bool {
        self.registers.driver_features & !self.offered_features() == 0
            && self.required_features() & !self.registers.driver_features == 0
    }

    fn reset(&mut self) {
        self.registers.queues.iter_mut().for_each(Queue::reset);
        self.device.reset();
        self.registers.queue_sel = 0;
        self.registers.device_features_sel = 0;
        self.registers.driver_features_sel = 0;
        self.registers.driver_features = 0;
        self.registers.status = 0;
        self.registers.interrupt_status = 0;
        self.registers.fault = None;
    }

    fn set_up_queue(&mut self, offset: u64, value: u32) {
        let features = self.ring_features();
        let Some(queue) = self.selected_queue() else { return };
        match offset {
            register::QUEUE_READY if value == 0 => queue.reset(),
            register::QUEUE_READY => {
                let started = queue.start(features);
                self.check(started);
            }
            register::QUEUE_NUM => {
                if !queue.ready() {
                    // Sizes that do not fit are refused at start like other malformed ones.
                    queue.set_size(u16::try_from(value).unwrap_or(0));
                }
            }
            _ => {
                if let Some(addresses) = queue.addresses_mut() {
                    set_address(addresses, offset, value);
                }
            }
        }
    }

    fn notify(&mut self, queue: usize, memory: &mut dyn GuestMemory) {
        if queue < self.registers.queues.len() {
            self.serve(memory, |device, queues, memory| device.notify(queue, queues, memory));
        }
    }

    fn serve(
        &mut self,
        memory: &mut dyn GuestMemory,
        work: impl FnOnce(&mut D, &mut [Queue], &mut dyn GuestMemory) -> Result<(), QueueError>,
    ) {
        if !self.running() {
            return;
        }
        self.registers.queues.iter_mut().for_each(Queue::activate);
        let worked = work(&mut self.device, &mut self.registers.queues, memory);
        self.check(worked);
        let interrupts = self.raise_used_buffer(memory);
        self.check(interrupts);
    }

    fn raise_used_buffer(&mut self, memory: &dyn GuestMemory) -> Result<(), QueueError> {
        for queue in &mut self.registers.queues {
            if queue.wants_interrupt(memory)? {
                self.registers.interrupt_status |= USED_BUFFER;
            }
        }
        Ok(())
    }

    /// Section 2.1.2: a device that cannot go on says so with a configuration change interrupt.
    fn check(&mut self, result: Result<(), QueueError>) {
        if let Err(error) = result {
            self.registers.fault = Some(error);
            self.registers.status |= status::DEVICE_NEEDS_RESET;
            if self.registers.status & status::DRIVER_OK != 0 {
                self.registers.interrupt_status |= CONFIGURATION_CHANGE;
            }
        }
    }

    fn read_config(&self, offset: u64, size: u8) -> u64 {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.device.config().get(start..).unwrap_or_default();
        let mut value = [0; 8];
        value.iter_mut().zip(bytes.iter().take(usize::from(size))).for_each(|(to, from)| {
            *to = *from;
        });
        u64::from_le_bytes(value)
    }
}

fn feature_word(features: u64, select: u32) -> u32 {
    match select {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}

/// Replaces the low (0) or high (1) word.
fn set_word(target: &mut u64, select: u32, value: u32) {
    match select {
        0 => *target = *target & !0xffff_ffff | u64::from(value),
        1 => *target = *target & 0xffff_ffff | u64::from(value) << 32,
        _ => {}
    }
}

fn set_address(addresses: &mut RingAddresses, offset: u64, value: u32) {
    match offset {
        register::QUEUE_DESC_LOW => set_word(&mut addresses.desc, 0, value),
        register::QUEUE_DESC_HIGH => set_word(&mut addresses.desc, 1, value),
        register::QUEUE_DRIVER_LOW => set_word(&mut addresses.driver, 0, value),
        register::QUEUE_DRIVER_HIGH => set_word(&mut addresses.driver, 1, value),
        register::QUEUE_DEVICE_LOW => set_word(&mut addresses.device, 0, value),
        register::QUEUE_DEVICE_HIGH => set_word(&mut addresses.device, 1, value),
        _ => {}
    }
}

impl<D: VirtioDevice> MmioDevice for MmioTransport<D> {
    fn read(&mut self, offset: u64, size: u8, _memory: &mut dyn GuestMemory) -> u64 {
        match offset.checked_sub(register::CONFIG) {
            Some(offset) => self.read_config(offset, size),
            None if size == 4 => u64::from(self.read_register(offset)),
            None => 0,
        }
    }

    fn write(&mut self, offset: u64, size: u8, value: u64, memory: &mut dyn GuestMemory) {
        if size == 4 {
            self.write_register(offset, value as u32, memory);
        }
    }

    fn poll(&mut self, memory: &mut dyn GuestMemory) {
        self.serve(memory, D::poll);
    }

    fn irq(&self) -> bool {
        self.registers.interrupt_status != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::test_support::{
        DATA, Driver, EVENT_IDX, INTERRUPT_ACK, INTERRUPT_STATUS, NEEDS_RESET, STATUS, Writable,
        avail_at, counting_rng,
    };

    // Table 4.1 of the specification.
    const DEVICE_FEATURES: u64 = 0x10;
    const DEVICE_FEATURES_SEL: u64 = 0x14;
    const QUEUE_READY: u64 = 0x44;

    #[test]
    fn the_registers_identify_a_version_2_device() {
        let mut driver = Driver::stopped(counting_rng());
        assert_eq!(driver.get(0x00), u64::from(u32::from_le_bytes(*b"virt")));
        assert_eq!(driver.get(0x04), 2);
        assert_eq!(driver.get(0xb0), 0xffff_ffff, "no shared memory");
        assert_eq!(driver.get(0xfc), 0, "the configuration never changes");
        let byte = driver.transport.read(0, 1, &mut driver.ram);
        assert_eq!(byte, 0, "registers are words");
    }

    #[test]
    fn ring_features_and_version_1_are_offered() {
        let mut driver = Driver::stopped(counting_rng());
        for (select, word) in [(0, 1 << 28 | 1 << 29), (1, 1), (2, 0)] {
            driver.set(DEVICE_FEATURES_SEL, select);
            assert_eq!(driver.get(DEVICE_FEATURES), word);
        }
    }

    #[test]
    fn features_that_were_not_offered_are_refused() {
        for features in [1 << 32 | 1 << 33, 1 << 32 | 1, EVENT_IDX] {
            let mut driver = Driver::stopped(counting_rng());
            driver.set(STATUS, 3);
            driver.accept(features);
            driver.set(STATUS, 3 | 8);
            assert_eq!(driver.get(STATUS), 3, "{features:#x}");
        }
    }

    #[test]
    fn buffers_wait_until_the_driver_is_ok() {
        let mut driver = Driver::start(counting_rng());
        driver.set(STATUS, 1 | 2 | 8);
        driver.send(0, &[Writable(DATA, 1)]);
        assert_eq!(driver.used(0), []);
        driver.set(STATUS, 1 | 2 | 8 | 4);
        driver.notify(0);
        assert_eq!(driver.used(0).len(), 1);
    }

    #[test]
    fn a_used_buffer_interrupts_until_acknowledged() {
        let mut driver = Driver::start_with(counting_rng(), 0);
        assert!(!driver.transport.irq());
        driver.send(0, &[Writable(DATA, 1)]);
        assert!(driver.transport.irq());
        assert_eq!(driver.get(INTERRUPT_STATUS), 1);
        driver.set(INTERRUPT_ACK, 1);
        assert!(!driver.transport.irq());
        driver.poll();
        assert!(!driver.transport.irq(), "one interrupt for each buffer");
    }

    #[test]
    fn a_driver_that_polls_gets_no_interrupts() {
        let mut flags = Driver::start_with(counting_rng(), 0);
        flags.ram.store(avail_at(0), &1_u16.to_le_bytes());
        flags.send(0, &[Writable(DATA, 1)]);
        assert!(!flags.transport.irq());
        let mut events = Driver::start_with(counting_rng(), EVENT_IDX);
        let used_event = avail_at(0) + 4 + 2 * 8;
        events.ram.store(used_event, &1_u16.to_le_bytes());
        events.send(0, &[Writable(DATA, 1)]);
        assert!(!events.transport.irq(), "asked for the second buffer");
        events.send(0, &[Writable(DATA, 1)]);
        assert!(events.transport.irq());
    }

    #[test]
    fn a_broken_protocol_asks_for_a_reset_which_repairs_the_device() {
        let mut driver = Driver::start(counting_rng());
        driver.ram.store(avail_at(0) + 2, &999_u16.to_le_bytes());
        driver.notify(0);
        assert_eq!(driver.get(STATUS) & NEEDS_RESET, NEEDS_RESET);
        assert_eq!(driver.get(INTERRUPT_STATUS), 2);
        driver.set(STATUS, 15);
        assert_eq!(driver.get(STATUS) & NEEDS_RESET, NEEDS_RESET, "only a reset clears it");
        driver.ram.store(avail_at(0) + 2, &0_u16.to_le_bytes());
        driver.notify(0);
        assert_eq!(driver.used(0), []);

        driver.initialise(1 << 32);
        assert!(!driver.transport.irq());
        driver.send(0, &[Writable(DATA, 1)]);
        assert_eq!(driver.used(0), [(0, 1)]);
    }

    #[test]
    fn queues_that_do_not_exist_are_ignored() {
        let mut driver = Driver::start(counting_rng());
        for queue in [1, 0xffff_ffff] {
            driver.set(0x30, queue);
            driver.set(QUEUE_READY, 1);
            assert_eq!(driver.get(QUEUE_READY), 0);
            driver.notify(queue);
        }
        assert!(!driver.failed());
    }

    #[test]
    fn a_malformed_queue_needs_a_reset() {
        let mut driver = Driver::stopped(counting_rng());
        driver.set(0x38, 0x1_0008);
        driver.set(QUEUE_READY, 1);
        assert!(driver.failed());
        assert_eq!(driver.get(QUEUE_READY), 0);
        assert!(!driver.transport.irq(), "no interrupts before the driver is ok");
    }

    #[test]
    fn a_stopped_queue_serves_nothing() {
        let mut driver = Driver::start(counting_rng());
        driver.post(0, &[Writable(DATA, 1)]);
        driver.set(0x30, 0);
        driver.set(QUEUE_READY, 0);
        driver.notify(0);
        assert_eq!(driver.used(0), []);
        assert!(!driver.failed());
    }

    #[test]
    fn a_resumed_transport_goes_on_and_tells_of_its_new_configuration() {
        let mut driver = Driver::start(counting_rng());
        driver.send(0, &[Writable(DATA, 4)]);
        let registers = driver.transport.registers().clone();
        driver.transport = MmioTransport::resume(counting_rng(), &registers);
        driver.set(INTERRUPT_ACK, 3);
        let generation = driver.get(0xfc);
        driver.transport.announce_config_change();
        assert_eq!(driver.get(INTERRUPT_STATUS), 2);
        assert_ne!(driver.get(0xfc), generation);
        driver.send(0, &[Writable(DATA + 8, 4)]);
        assert_eq!(driver.used(0).len(), 2);
        assert_eq!(driver.ram.bytes(DATA + 8, 4), [1, 2, 3, 4]);
    }
}
