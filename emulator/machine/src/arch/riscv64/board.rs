//! The riscv64 platform's devices on their bus.

use std::rc::Rc;

use super::platform::{
    CONSOLE_SLOT, DEVICE_WINDOW, FILES_SLOT, NET_SLOT, PLIC, RNG_SLOT, ROOT_DISK_SLOT, RTC_BASE,
    RTC_IRQ, VIRTIO_SLOTS, VMGENID_BASE, VMGENID_IRQ, virtio_base, virtio_irq,
};
use crate::bus::{GuestMemory, MmioDevice};
use crate::core::Bus;
use crate::devices::virtio::{Block, Console, MmioTransport, Net, NineP, Port, Registers, Rng};
use crate::devices::{GoldfishRtc, Plic, RtcRegisters, VmGenId};
use crate::host::KernelLog;
use crate::machine::Hosts;
use crate::time::{DeviceClock, Timekeeper};

/// All devices and the wires between them and the interrupt controller.
#[derive(Debug)]
pub(crate) struct Board {
    plic: Plic,
    pub(crate) rtc: GoldfishRtc,
    vmgenid: VmGenId,
    pub(crate) console: MmioTransport<Console>,
    rng: MmioTransport<Rng>,
    disk: MmioTransport<Block>,
    pub(crate) net: MmioTransport<Net>,
    pub(crate) files: MmioTransport<NineP>,
    pub(crate) log: Log,
}

/// Sink of the firmware's debug console.
pub(crate) struct Log(pub(crate) Box<dyn KernelLog>);

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

/// The devices without their host.
#[derive(Debug)]
pub(crate) struct FrozenBoard {
    plic: Plic,
    rtc: RtcRegisters,
    vmgenid: VmGenId,
    ports: Vec<Port>,
    console: Registers,
    rng: Registers,
    disk: Registers,
    net: Registers,
    files: Registers,
}

/// What the guest mounts to reach the host's files.
const FILES_TAG: &str = "lithify";

/// Serial number of the disk.
const DISK_SERIAL: &str = "rootfs";

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
    /// Virtio slots that hold a device.
    pub(crate) const SLOTS: [u32; 5] =
        [CONSOLE_SLOT, RNG_SLOT, ROOT_DISK_SLOT, NET_SLOT, FILES_SLOT];

    /// The devices after reset; the console has a port for each of `ports`.
    pub(crate) fn new(hosts: Hosts, ports: &[&str], time: &Rc<Timekeeper>) -> Self {
        let ports = ports.iter().map(ToString::to_string).collect();
        Self {
            plic: Plic::new(),
            rtc: GoldfishRtc::new(Box::new(DeviceClock(Rc::clone(time)))),
            vmgenid: VmGenId::new([0; 16]),
            console: MmioTransport::new(Console::new(hosts.console, ports)),
            rng: MmioTransport::new(Rng::new(hosts.entropy)),
            disk: MmioTransport::new(Block::new(hosts.disk, DISK_SERIAL)),
            net: MmioTransport::new(Net::new(hosts.link)),
            files: MmioTransport::new(NineP::new(None, FILES_TAG)),
            log: Log(hosts.kernel_log),
        }
    }

    pub(crate) fn freeze(&self) -> FrozenBoard {
        FrozenBoard {
            plic: self.plic.clone(),
            rtc: self.rtc.registers(),
            vmgenid: self.vmgenid.clone(),
            ports: self.console.device().ports().to_vec(),
            console: self.console.registers().clone(),
            rng: self.rng.registers().clone(),
            disk: self.disk.registers().clone(),
            net: self.net.registers().clone(),
            files: self.files.registers().clone(),
        }
    }

    /// The frozen devices with another host, and so with another disk.
    pub(crate) fn thaw(frozen: &FrozenBoard, hosts: Hosts, time: &Rc<Timekeeper>) -> Self {
        let clock = Box::new(DeviceClock(Rc::clone(time)));
        let console = Console::resume(hosts.console, frozen.ports.clone());
        let disk = Block::new(hosts.disk, DISK_SERIAL);
        let mut board = Self {
            plic: frozen.plic.clone(),
            rtc: GoldfishRtc::resume(clock, frozen.rtc),
            vmgenid: frozen.vmgenid.clone(),
            console: MmioTransport::resume(console, &frozen.console),
            rng: MmioTransport::resume(Rng::new(hosts.entropy), &frozen.rng),
            disk: MmioTransport::resume(disk, &frozen.disk),
            net: MmioTransport::resume(Net::new(hosts.link), &frozen.net),
            files: MmioTransport::resume(NineP::new(None, FILES_TAG), &frozen.files),
            log: Log(hosts.kernel_log),
        };
        board.disk.announce_config_change();
        board.update_line(Place::Virtio(ROOT_DISK_SLOT));
        board
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
            Place::Virtio(ROOT_DISK_SLOT) => &mut self.disk,
            Place::Virtio(NET_SLOT) => &mut self.net,
            Place::Virtio(FILES_SLOT) => &mut self.files,
            Place::Virtio(_) => return None,
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

    /// Only the clock, the console and the network wait on something outside the guest.
    fn poll(&mut self, memory: &mut dyn GuestMemory) {
        for place in [Place::Rtc, Place::Virtio(CONSOLE_SLOT), Place::Virtio(NET_SLOT)] {
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
