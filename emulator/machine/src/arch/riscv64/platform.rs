//! The riscv64 platform: where devices are, which interrupts they have, and the device tree that
//! tells the guest.

use std::ops::Range;

use crate::GuestPhysAddr;
use crate::fdt::{self, Node};

/// Start of RAM.
pub const RAM_BASE: u64 = 0x8000_0000;
/// Nanoseconds are the unit of the `time` register.
pub const TIMEBASE_HZ: u32 = 1_000_000_000;
/// What `cbo.zero` clears: a page, so that Linux clears a page with one instruction.
pub const CBOZ_BLOCK_LEN: u32 = 4096;

/// Window of the interrupt controller.
pub const PLIC: Range<u64> = 0x0c00_0000..0x0c00_0000 + (64 << 20);
/// Length of every other device's window.
pub const DEVICE_WINDOW: u64 = 0x1000;
/// Window start of the real-time clock.
pub const RTC_BASE: u64 = 0x0010_1000;
/// Interrupt of the real-time clock.
pub const RTC_IRQ: u32 = 11;
/// Window start of the generation ID.
pub const VMGENID_BASE: u64 = 0x0010_2000;
/// Interrupt of the generation ID.
pub const VMGENID_IRQ: u32 = 12;
/// Window start of virtio slot 0.
pub const VIRTIO_BASE: u64 = 0x1000_1000;
/// Number of virtio slots.
pub const VIRTIO_SLOTS: u32 = 8;

/// Slot of the console.
pub const CONSOLE_SLOT: u32 = 0;
/// Slot of the entropy device.
pub const RNG_SLOT: u32 = 1;
/// Slot of the disk with the root file system.
pub const ROOT_DISK_SLOT: u32 = 2;
/// Slot of the network device.
pub const NET_SLOT: u32 = 3;
/// Slot of the 9P device.
pub const FILES_SLOT: u32 = 4;

/// Highest interrupt source of the interrupt controller.
const PLIC_SOURCES: u32 = 31;
/// `scause` code of a supervisor external interrupt.
const SUPERVISOR_EXTERNAL: u32 = 9;
/// What an interrupt controller context is connected to if it does not exist.
const NO_CONTEXT: u32 = 0xffff_ffff;

const INTC_PHANDLE: u32 = 1;
const PLIC_PHANDLE: u32 = 2;

const ISA_BASE: &str = "rv64i";
/// What the hart implements, in canonical order: single letters, then names.
const SINGLE_LETTER_EXTENSIONS: [&str; 6] = ["i", "m", "a", "f", "d", "c"];
const NAMED_EXTENSIONS: [&str; 11] = [
    "zicboz", "zicntr", "zicond", "zicsr", "zifencei", "zba", "zbb", "zbs", "sstc", "svadu",
    "svvptc",
];

/// Window start of virtio slot `slot`.
#[must_use]
pub const fn virtio_base(slot: u32) -> u64 {
    VIRTIO_BASE + slot as u64 * DEVICE_WINDOW
}

/// Interrupt of virtio slot `slot`.
#[must_use]
pub const fn virtio_irq(slot: u32) -> u32 {
    slot + 1
}

/// What differs between the device trees of two machines.
#[derive(Debug, Clone, Copy)]
pub struct DeviceTree<'a> {
    /// Length of RAM.
    pub memory_bytes: u64,
    /// Kernel command line.
    pub bootargs: &'a str,
    /// First byte and end of the initramfs.
    pub initrd: Option<(GuestPhysAddr, GuestPhysAddr)>,
    /// Entropy for the guest's random number generator; Linux overwrites it once read.
    pub rng_seed: &'a [u8],
    /// Virtio slots that hold a device.
    pub virtio_slots: &'a [u32],
}

impl DeviceTree<'_> {
    /// The flattened device tree.
    #[must_use]
    pub fn blob(&self) -> Vec<u8> {
        fdt::device_tree(|root| {
            root.u32("#address-cells", 2);
            root.u32("#size-cells", 2);
            root.str("compatible", "lithify,riscv64");
            root.str("model", "lithify,riscv64");
            root.node("chosen", |chosen| self.chosen(chosen));
            root.node(&format!("memory@{RAM_BASE:x}"), |memory| {
                memory.str("device_type", "memory");
                memory.u64s("reg", &[RAM_BASE, self.memory_bytes]);
            });
            root.node("cpus", cpus);
            root.node("soc", |soc| self.soc(soc));
        })
    }

    fn chosen(&self, chosen: &mut Node<'_>) {
        chosen.str("bootargs", self.bootargs);
        chosen.bytes("rng-seed", self.rng_seed);
        if let Some((start, end)) = self.initrd {
            chosen.u64s("linux,initrd-start", &[start.0]);
            chosen.u64s("linux,initrd-end", &[end.0]);
        }
    }

    fn soc(&self, soc: &mut Node<'_>) {
        soc.u32("#address-cells", 2);
        soc.u32("#size-cells", 2);
        soc.str("compatible", "simple-bus");
        soc.flag("ranges");
        soc.u32("interrupt-parent", PLIC_PHANDLE);
        device(soc, "rtc", RTC_BASE, RTC_IRQ, "google,goldfish-rtc");
        device(soc, "rng", VMGENID_BASE, VMGENID_IRQ, "microsoft,vmgenid");
        soc.node(&format!("interrupt-controller@{:x}", PLIC.start), plic);
        for &slot in self.virtio_slots {
            device(soc, "virtio", virtio_base(slot), virtio_irq(slot), "virtio,mmio");
        }
    }
}

fn device(soc: &mut Node<'_>, name: &str, base: u64, irq: u32, compatible: &str) {
    soc.node(&format!("{name}@{base:x}"), |device| {
        device.str("compatible", compatible);
        device.u64s("reg", &[base, DEVICE_WINDOW]);
        device.u32("interrupts", irq);
    });
}

fn cpus(cpus: &mut Node<'_>) {
    cpus.u32("#address-cells", 1);
    cpus.u32("#size-cells", 0);
    cpus.u32("timebase-frequency", TIMEBASE_HZ);
    cpus.node("cpu@0", |cpu| {
        cpu.str("device_type", "cpu");
        cpu.str("compatible", "riscv");
        cpu.u32("reg", 0);
        cpu.str("status", "okay");
        cpu.str("mmu-type", "riscv,sv39");
        cpu.str("riscv,isa", &isa_string());
        cpu.str("riscv,isa-base", ISA_BASE);
        cpu.strs("riscv,isa-extensions", &extensions());
        cpu.u32("riscv,cboz-block-size", CBOZ_BLOCK_LEN);
        cpu.node("interrupt-controller", |intc| {
            intc.str("compatible", "riscv,cpu-intc");
            intc.u32("#interrupt-cells", 1);
            intc.u32("#address-cells", 0);
            intc.flag("interrupt-controller");
            intc.u32("phandle", INTC_PHANDLE);
        });
    });
}

fn extensions() -> Vec<&'static str> {
    SINGLE_LETTER_EXTENSIONS.into_iter().chain(NAMED_EXTENSIONS).collect()
}

/// The deprecated form, for guests older than `riscv,isa-extensions`.
fn isa_string() -> String {
    let letters = SINGLE_LETTER_EXTENSIONS.concat();
    format!("rv64{letters}_{}", NAMED_EXTENSIONS.join("_"))
}

/// Context 0 would be M-mode, which this machine does not have.
fn plic(plic: &mut Node<'_>) {
    plic.str("compatible", "sifive,plic-1.0.0");
    plic.u64s("reg", &[PLIC.start, PLIC.end - PLIC.start]);
    plic.u32("#address-cells", 0);
    plic.u32("#interrupt-cells", 1);
    plic.flag("interrupt-controller");
    plic.cells(
        "interrupts-extended",
        &[INTC_PHANDLE, NO_CONTEXT, INTC_PHANDLE, SUPERVISOR_EXTERNAL],
    );
    plic.u32("riscv,ndev", PLIC_SOURCES);
    plic.u32("phandle", PLIC_PHANDLE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fdt::tests::decompile;

    fn tree() -> DeviceTree<'static> {
        DeviceTree {
            memory_bytes: 256 << 20,
            bootargs: "console=hvc0 quiet",
            initrd: Some((GuestPhysAddr(0x8700_0000), GuestPhysAddr(0x8710_0000))),
            rng_seed: &[0xaa; 32],
            virtio_slots: &[0, 1, 2, 3],
        }
    }

    /// The lines of the node called `name`, without those of its subnodes.
    fn node<'a>(source: &'a str, name: &str) -> Vec<&'a str> {
        let mut lines = source.lines().map(str::trim);
        let opening = format!("{name} {{");
        lines.find(|line| *line == opening).unwrap_or_else(|| panic!("no node {name}"));
        let mut own = Vec::new();
        let mut depth = 0;
        for line in lines {
            match line {
                "};" if depth == 0 => break,
                "};" => depth -= 1,
                _ if line.ends_with('{') => depth += 1,
                _ if depth == 0 && !line.is_empty() => own.push(line),
                _ => {}
            }
        }
        own
    }

    #[test]
    fn devices_are_where_the_architecture_says() {
        let Some(source) = decompile(&tree().blob()) else { return };
        for (name, reg, interrupt) in [
            ("rtc@101000", "<0x00 0x101000 0x00 0x1000>", "<0x0b>"),
            ("rng@102000", "<0x00 0x102000 0x00 0x1000>", "<0x0c>"),
            ("virtio@10001000", "<0x00 0x10001000 0x00 0x1000>", "<0x01>"),
            ("virtio@10002000", "<0x00 0x10002000 0x00 0x1000>", "<0x02>"),
            ("virtio@10003000", "<0x00 0x10003000 0x00 0x1000>", "<0x03>"),
            ("virtio@10004000", "<0x00 0x10004000 0x00 0x1000>", "<0x04>"),
        ] {
            let lines = node(&source, name);
            assert!(lines.contains(&&*format!("reg = {reg};")), "{name}: {lines:?}");
            assert!(lines.contains(&&*format!("interrupts = {interrupt};")), "{name}: {lines:?}");
        }
        assert!(!source.contains("virtio@10005000"), "slot 4 is empty");
    }

    #[test]
    fn the_interrupt_controller_has_only_the_second_context() {
        let Some(source) = decompile(&tree().blob()) else { return };
        let lines = node(&source, "interrupt-controller@c000000");
        for line in [
            "compatible = \"sifive,plic-1.0.0\";",
            "reg = <0x00 0xc000000 0x00 0x4000000>;",
            "interrupts-extended = <0x01 0xffffffff 0x01 0x09>;",
            "riscv,ndev = <0x1f>;",
        ] {
            assert!(lines.contains(&line), "{line} not in {lines:?}");
        }
        assert!(node(&source, "interrupt-controller").contains(&"phandle = <0x01>;"));
        assert!(node(&source, "soc").contains(&"interrupt-parent = <0x02>;"));
    }

    #[test]
    fn the_hart_is_described_in_both_forms() {
        let Some(source) = decompile(&tree().blob()) else { return };
        let lines = node(&source, "cpu@0");
        for line in [
            "mmu-type = \"riscv,sv39\";",
            "riscv,isa = \"rv64imafdc_zicboz_zicntr_zicond_zicsr_zifencei_zba_zbb_zbs_sstc_svadu_svvptc\";",
            "riscv,isa-base = \"rv64i\";",
            "riscv,cboz-block-size = <0x1000>;",
        ] {
            assert!(lines.contains(&line), "{line} not in {lines:?}");
        }
        assert!(node(&source, "cpus").contains(&"timebase-frequency = <0x3b9aca00>;"));
    }

    #[test]
    fn the_kernel_finds_its_arguments_and_memory() {
        let Some(source) = decompile(&tree().blob()) else { return };
        let chosen = node(&source, "chosen");
        for line in [
            "bootargs = \"console=hvc0 quiet\";",
            "linux,initrd-start = <0x00 0x87000000>;",
            "linux,initrd-end = <0x00 0x87100000>;",
        ] {
            assert!(chosen.contains(&line), "{line} not in {chosen:?}");
        }
        assert!(
            node(&source, "memory@80000000").contains(&"reg = <0x00 0x80000000 0x00 0x10000000>;")
        );
        assert_eq!(tree().blob().windows(32).filter(|window| *window == [0xaa; 32]).count(), 1);
    }
}
