//! The riscv64 platform's devices on their bus.

use super::platform::{
    CONSOLE_SLOT, DEVICE_WINDOW, PLIC, RNG_SLOT, ROOT_DISK_SLOT, RTC_BASE, RTC_IRQ, VIRTIO_SLOTS,
    VMGENID_BASE, VMGENID_IRQ, virtio_base, virtio_irq,
};
use crate::bus::{GuestMemory, MmioDevice};
use crate::core::Bus;
use crate::devices::virtio::{Block, Console, MmioTransport, Rng};
use crate::devices::{GoldfishRtc, Plic, VmGenId};

/// All devices and the wires between them and the interrupt controller.
#[derive(Debug)]
pub(crate) struct Board {
    plic: Plic,
    pub(crate) rtc: GoldfishRtc,
    vmgenid: VmGenId,
    pub(crate) console: MmioTransport<Console>,
    rng: MmioTransport<Rng>,
    disks: Vec<MmioTransport<Block>>,
}

/// A device's place: window and interrupt.
#[derive(Debug, Clone, Copy)]
enum Place {
    Rtc,
    VmGenId,
    Virtio(u32),
}

impl Place {
    /// The device whose window holds `at`, and the offset in it.
    fn find(at: u64) -> Option<(Self, u64)> {
        let inside = |base| at.checked_sub(base).filter(|offset| *offset < DEVICE_WINDOW);
        if let Some(offset) = inside(RTC_BASE) {
            return Some((Self::Rtc, offset));
        }
        if let Some(offset) = inside(VMGENID_BASE) {
            return Some((Self::VmGenId, offset));
        }
        (0..VIRTIO_SLOTS).find_map(|slot| Some((Self::Virtio(slot), inside(virtio_base(slot))?)))
    }

    const fn irq(self) -> u32 {
        match self {
            Self::Rtc => RTC_IRQ,
            Self::VmGenId => VMGENID_IRQ,
            Self::Virtio(slot) => virtio_irq(slot),
        }
    }
}

impl Board {
    pub(crate) fn new(
        rtc: GoldfishRtc,
        console: Console,
        rng: Rng,
        disks: impl IntoIterator<Item = Block>,
    ) -> Self {
        Self {
            plic: Plic::new(),
            rtc,
            vmgenid: VmGenId::new([0; 16]),
            console: MmioTransport::new(console),
            rng: MmioTransport::new(rng),
            disks: disks.into_iter().map(MmioTransport::new).collect(),
        }
    }

    /// Virtio slots that hold a device.
    pub(crate) fn slots(disks: usize) -> Vec<u32> {
        let last = ROOT_DISK_SLOT + disks as u32;
        [CONSOLE_SLOT, RNG_SLOT].into_iter().chain(ROOT_DISK_SLOT..last).collect()
    }

    /// Tells the guest that it is a copy.
    pub(crate) fn renew_generation(&mut self, id: [u8; 16]) {
        self.vmgenid.renew(id);
        self.update_line(Place::VmGenId);
    }

    fn device(&mut self, place: Place) -> Option<&mut dyn MmioDevice> {
        Some(match place {
            Place::Rtc => &mut self.rtc,
            Place::VmGenId => &mut self.vmgenid,
            Place::Virtio(CONSOLE_SLOT) => &mut self.console,
            Place::Virtio(RNG_SLOT) => &mut self.rng,
            Place::Virtio(slot) => self.disks.get_mut((slot - ROOT_DISK_SLOT) as usize)?,
        })
    }

    fn update_line(&mut self, place: Place) {
        let level = self.device(place).is_some_and(|device| device.irq());
        self.plic.set_level(place.irq(), level);
    }
}

impl Bus for Board {
    fn read(&mut self, at: u64, size: u8, memory: &mut dyn GuestMemory) -> Option<u64> {
        if PLIC.contains(&at) {
            return Some(self.plic.read(at - PLIC.start, size, memory));
        }
        let (place, offset) = Place::find(at)?;
        let value = self.device(place)?.read(offset, size, memory);
        self.update_line(place);
        Some(value)
    }

    fn write(&mut self, at: u64, size: u8, value: u64, memory: &mut dyn GuestMemory) -> Option<()> {
        if PLIC.contains(&at) {
            self.plic.write(at - PLIC.start, size, value, memory);
            return Some(());
        }
        let (place, offset) = Place::find(at)?;
        self.device(place)?.write(offset, size, value, memory);
        self.update_line(place);
        Some(())
    }

    /// Only the clock and the console wait on something outside the guest.
    fn poll(&mut self, memory: &mut dyn GuestMemory) {
        for place in [Place::Rtc, Place::Virtio(CONSOLE_SLOT)] {
            if let Some(device) = self.device(place) {
                device.poll(memory);
            }
            self.update_line(place);
        }
    }

    fn external_interrupt(&self) -> bool {
        self.plic.external_interrupt()
    }
}
