//! A whole machine: boot, run in slices, thaw.

use std::rc::Rc;

use lithify_isa::translation::Layout;

use crate::arch::riscv64::Riscv64;
use crate::arch::riscv64::board::Board;
use crate::arch::riscv64::platform::RAM_BASE;
use crate::boot::{self, BootError, Kernel};
use crate::core::{Core, Halt, Pause, Translated};
use crate::devices::GENERATION_ID_LEN;
use crate::footprint::Footprint;
use crate::host;
use crate::low::Low;
use crate::pace::Pace;
use crate::pages::{Call, Translations};
use crate::profile::PageCounts;
use crate::ram::Ram;
use crate::time::Timekeeper;

/// What a machine is made of and starts from.
pub struct Setup<'a> {
    /// RAM in bytes, a multiple of 4096.
    pub memory_bytes: u64,
    /// Wall clock at power-on, nanoseconds since the Unix epoch.
    pub epoch_ns: u64,
    /// The kernel `Image`.
    pub kernel: &'a mut dyn host::BootFile,
    /// The initramfs, a cpio archive.
    pub initramfs: &'a mut dyn host::BootFile,
    /// The kernel's command line.
    pub kernel_args: &'a str,
    /// Randomness for the kernel's first use.
    pub rng_seed: &'a [u8],
    /// Names of the console's ports, by port number.
    pub ports: &'a [&'a str],
    /// The host's side.
    pub hosts: Hosts,
}

/// The host's side of the devices.
pub struct Hosts {
    /// Of the console ports.
    pub console: Box<dyn host::Console>,
    /// Of the entropy device.
    pub entropy: Box<dyn host::Entropy>,
    /// The read-only disk, `/dev/vda`.
    pub disk: Box<dyn host::BlockSource>,
    /// Where the kernel's messages go.
    pub kernel_log: Box<dyn host::KernelLog>,
    /// The far end of the network device's cable, if it is connected.
    pub link: Option<Box<dyn host::Link>>,
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosts").field("disk_bytes", &self.disk.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Setup<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("memory_bytes", &self.memory_bytes)
            .field("kernel_args", &self.kernel_args)
            .finish_non_exhaustive()
    }
}

/// What a machine does after a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It has more to do.
    Running,
    /// Nothing to do before console input or a frame arrives or this many nanoseconds have passed.
    Idle {
        /// `None`: only input can wake the guest.
        wake_ns: Option<u64>,
    },
    /// The guest ended it.
    Halted(Halt),
}

/// A riscv64 machine.
#[derive(Debug)]
pub struct Machine {
    /// Stays where it is: translated code names the place.
    pub(crate) core: Low<Core<Riscv64>>,
    pub(crate) time: Rc<Timekeeper>,
    pub(crate) pace: Pace,
}

impl Machine {
    /// Powers a machine on: RAM holds kernel, initramfs and device tree, the hart stands at the
    /// kernel's entry.
    ///
    /// # Errors
    /// If the kernel is not a riscv64 `Image`, or RAM is too small for the boot files.
    pub fn new(setup: Setup<'_>) -> Result<Self, BootError> {
        let time = Rc::new(Timekeeper::new(setup.epoch_ns));
        let mut kernel = Kernel {
            image: setup.kernel,
            initramfs: setup.initramfs,
            args: setup.kernel_args,
            rng_seed: setup.rng_seed,
            virtio_slots: &Board::SLOTS,
        };
        let ram = Ram::new(RAM_BASE, setup.memory_bytes);
        let board = Board::new(setup.hosts, setup.ports, &time);
        let mut core = Low::new(Core::new(ram, board, Rc::clone(&time), Riscv64::new()));
        let entry = boot::load(&mut core.ram, setup.memory_bytes, &mut kernel)?;
        core.reset(entry.pc, entry.device_tree);
        Ok(Self { core, time, pace: Pace::new() })
    }

    /// Executes one slice.
    pub fn run_slice(&mut self) -> Status {
        self.core.trim_code();
        self.core.poll_devices();
        let now = self.core.now_ns();
        self.core.arch.update_timer(now);
        let granted = self.granted(now);
        match self.core.run(granted) {
            Pause::Granted => Status::Running,
            Pause::Halted(halt) => Status::Halted(halt),
            Pause::Idle => self.idle(),
        }
    }

    /// Instructions until the next timer is due, or a slice.
    fn granted(&mut self, now: u64) -> u64 {
        let instret = self.core.instret();
        let slice = match self.time.is_virtual() {
            true => self.pace.steady(),
            false => self.pace.begin(now, instret),
        };
        self.next_deadline(now)
            .and_then(|deadline| self.time.instructions_until(deadline, instret))
            .map_or(slice, |instructions| instructions.clamp(1, slice))
    }

    /// Guest time of the next event that no input causes.
    fn next_deadline(&mut self, now: u64) -> Option<u64> {
        let alarm = self.core.bus.rtc.ns_until_alarm().map(|ns| now.saturating_add(ns));
        [alarm, self.core.arch.next_deadline()].into_iter().flatten().min()
    }

    fn idle(&mut self) -> Status {
        let now = self.core.now_ns();
        let wake_ns = self.next_deadline(now).map(|deadline| deadline.saturating_sub(now));
        Status::Idle { wake_ns }
    }

    /// Lets the `wake_ns` of [`Status::Idle`] pass at once. Without effect after the thaw, when
    /// time passes by itself.
    pub fn skip_idle(&mut self, ns: u64) {
        self.time.skip(ns);
    }

    /// Takes slices of at most so many instructions and a TLB of so many pages from now on, as far as
    /// they are not 0. In virtual time a guest cannot notice it, but for the time that the run takes.
    pub fn restrict(&mut self, slice: u64, tlb: u32) {
        if slice != 0 {
            self.pace.restrict(slice);
        }
        self.core.tlb.limit(tlb);
    }

    /// Goes on as one of many copies: time is the host's from now on, and the guest's kernel
    /// learns from the new generation ID that its random state is not its own.
    pub fn thaw(&mut self, clock: Box<dyn host::Clock>, generation: [u8; GENERATION_ID_LEN]) {
        self.time.thaw(clock, self.core.instret());
        self.core.bus.renew_generation(generation);
    }

    /// Gives back decoded code.
    pub fn release_code(&mut self) {
        self.core.release_code();
    }

    /// Gives back what the frozen machine does not need: pages of zeros or of a regular content,
    /// and decoded code. What `used` names lies together, and its code is decoded. The guest notices
    /// nothing.
    pub fn compact(&mut self, used: &Footprint) {
        self.core.compact(used);
    }

    /// Takes everything of the host out of a thawed machine, which can be frozen then and
    /// [thawed](Self::thaw) again.
    pub fn suspend(&mut self) {
        self.time.suspend(self.core.instret());
        self.pace = Pace::new();
        self.connect(None);
        self.serve_files(None);
    }

    /// The guest's time in nanoseconds since power-on.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.core.now_ns()
    }

    /// The wall clock that the guest is shown, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn realtime_ns(&self) -> u64 {
        self.time.publish(self.core.instret());
        self.time.realtime_ns()
    }

    /// Puts the network device's cable into this far end, or takes it out.
    pub fn connect(&mut self, link: Option<Box<dyn host::Link>>) {
        self.core.bus.net.device_mut().connect(link);
    }

    /// Puts this server, or none, behind the 9P device.
    pub fn serve_files(&mut self, server: Option<Box<dyn host::FileServer>>) {
        self.core.bus.files.device_mut().connect(server);
    }

    /// Console ports for which the guest has room and the host had nothing so far.
    pub fn wanted_input(&self) -> impl Iterator<Item = u32> + '_ {
        self.core.bus.console.device().wants_input()
    }

    /// Whether the host refused output that is still to be delivered.
    #[must_use]
    pub fn has_pending_output(&self) -> bool {
        self.core.bus.console.device().has_pending_output()
    }

    /// Instructions retired since power-on.
    #[must_use]
    pub fn instret(&self) -> u64 {
        self.core.instret()
    }

    /// Where translated code finds what it uses; the same for as long as the machine lives.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.core.layout()
    }

    /// Looks up translated code in `table` from now on (its form is
    /// [`lithify_isa::translation::table`]'s) and calls it by `call`. `None` if the table is
    /// damaged.
    ///
    /// # Safety
    /// `call` calls functions that obey the contract of [`lithify_isa::translation`] and were
    /// translated for this machine's [`layout`](Self::layout).
    pub unsafe fn translate(&mut self, table: &[u8], call: Call) -> Option<()> {
        self.core.translate(Translations::parse(table)?, call);
        Some(())
    }

    /// Counts executions of blocks from now on.
    pub fn count_blocks(&mut self) {
        self.core.count_blocks();
    }

    /// What was counted, in the order of the pages' bytes.
    pub fn block_counts(&mut self) -> Vec<PageCounts> {
        self.core.code.counters().map_or(Vec::new(), |counters| counters.pages())
    }

    /// What translated code has done.
    #[must_use]
    pub fn translated(&self) -> Translated {
        self.core.translated
    }

    /// Pages of RAM that were ever touched.
    #[must_use]
    pub fn touched_pages(&self) -> usize {
        self.core.ram.touched_pages()
    }
}
