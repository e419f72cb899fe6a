//! The freeze and thaw of a native machine, as plain data.
//!
//! What is frozen is what the guest can see: the hart, RAM, the registers of devices. Decoded
//! code and translations are made anew, and everything of the host is given anew, so one frozen
//! machine is shared by threads and thawed as often as they like.

use std::rc::Rc;
use std::sync::Arc;

use crate::arch::Arch;
use crate::arch::riscv64::Riscv64;
use crate::arch::riscv64::board::{Board, FrozenBoard};
use crate::arena::PAGE_SIZE;
use crate::core::{Core, SLOTS};
use crate::devices::GENERATION_ID_LEN;
use crate::float::Flags;
use crate::host;
use crate::low::Low;
use crate::machine::{Hosts, Machine};
use crate::pace::Pace;
use crate::ram::{FrozenRam, Ram};
use crate::time::{FrozenTime, Timekeeper};

/// A machine that stands still, without anything of its host.
#[derive(Debug)]
pub struct Frozen {
    hart: Hart<Riscv64>,
    ram: Arc<FrozenRam>,
    board: FrozenBoard,
    time: FrozenTime,
}

/// What instructions can see of a hart, and how many it has retired. A reservation is lost, which
/// is a thing that reservations do.
#[derive(Debug, Clone)]
struct Hart<A> {
    x: [u64; SLOTS],
    f: [u64; SLOTS],
    fflags: Flags,
    frm: u8,
    float_ready: bool,
    pc: u64,
    arch: A,
    instret: u64,
}

impl<A: Arch + Copy> Hart<A> {
    fn of(core: &Core<A>) -> Self {
        Self {
            x: core.x,
            f: core.f,
            fflags: core.fflags,
            frm: core.frm,
            float_ready: core.float_ready,
            pc: core.pc,
            arch: core.arch,
            instret: core.instret(),
        }
    }

    fn restore(&self, core: &mut Core<A>) {
        core.x = self.x;
        core.f = self.f;
        core.fflags = self.fflags;
        core.frm = self.frm;
        core.float_ready = self.float_ready;
        core.pc = self.pc;
        core.set_instret(self.instret);
    }
}

impl Machine {
    /// A copy of the machine as it stands between two slices.
    ///
    /// # Panics
    /// If the machine was thawed: its time is its host's then.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        assert!(self.time.is_virtual(), "a machine on its host's time cannot be frozen");
        Frozen {
            hart: Hart::of(&self.core),
            ram: Arc::new(self.core.ram.freeze()),
            board: self.core.bus.freeze(),
            time: self.time.freeze(),
        }
    }
}

impl Frozen {
    /// Goes on as one of many copies, on the host's time. The guest learns from the new generation
    /// ID that its random state is not its own, and from an interrupt that its disk is another.
    #[must_use]
    pub fn thaw(
        &self,
        hosts: Hosts,
        clock: Box<dyn host::Clock>,
        generation: [u8; GENERATION_ID_LEN],
    ) -> Machine {
        let time = Rc::new(Timekeeper::resume(self.time));
        let board = Board::thaw(&self.board, hosts, &time);
        let ram = Ram::thaw(&self.ram);
        let mut core = Low::new(Core::new(ram, board, Rc::clone(&time), self.hart.arch));
        self.hart.restore(&mut core);
        core.resume();
        let mut machine = Machine { core, time, pace: Pace::new() };
        machine.thaw(clock, generation);
        machine
    }

    /// Whether RAM page `index` holds `bytes`.
    pub(crate) fn holds(&self, index: usize, bytes: &[u8; PAGE_SIZE]) -> bool {
        self.ram.page(index).map_or(*bytes == [0; PAGE_SIZE], |page| page == bytes)
    }

    /// Bytes of RAM that are kept: pages that hold anything but zeros.
    #[must_use]
    pub fn ram_bytes(&self) -> usize {
        self.ram.len()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::absent::Absent;
    use crate::host::{BlockSource, BootFile, Clock, NoDisk};
    use crate::pace::SLICE;
    use crate::{MIN_MEMORY, Setup};

    struct Bytes(Vec<u8>);

    impl BootFile for Bytes {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        fn read(&mut self, offset: u64, into: &mut [u8]) {
            into.copy_from_slice(&self.0[offset as usize..][..into.len()]);
        }
    }

    impl Clock for Absent {
        fn monotonic_ns(&mut self) -> u64 {
            7
        }

        fn realtime_ns(&mut self) -> u64 {
            7
        }
    }

    fn hosts(disk: Box<dyn BlockSource>) -> Hosts {
        Hosts {
            console: Box::new(Absent),
            entropy: Box::new(Absent),
            disk,
            kernel_log: Box::new(Absent),
            link: None,
        }
    }

    /// Counts in x5 and stores it above itself, for ever.
    const COUNT: [u32; 4] = [
        0x0000_0317, // auipc x6, 0
        0x0012_8293, // addi x5, x5, 1
        0x7e53_3823, // sd x5, 2032(x6)
        0xff9f_f06f, // j -8
    ];

    fn counting_machine() -> Machine {
        looping_machine(COUNT)
    }

    pub(crate) fn thawed(frozen: &Frozen) -> Machine {
        frozen.thaw(hosts(Box::new(NoDisk)), Box::new(Absent), [1; 16])
    }

    /// A machine whose kernel jumps to its byte 64, where this code is.
    pub(crate) fn looping_machine(code: [u32; 4]) -> Machine {
        const CODE: usize = 64;
        let mut image = vec![0; 4096];
        image[..4].copy_from_slice(&0x0400_006f_u32.to_le_bytes()); // j 64
        image[16..24].copy_from_slice(&4096_u64.to_le_bytes());
        image[56..60].copy_from_slice(b"RSC\x05");
        for (to, word) in image[CODE..].chunks_exact_mut(4).zip(code) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        Machine::new(Setup {
            memory_bytes: MIN_MEMORY,
            epoch_ns: 0,
            kernel: &mut Bytes(image),
            initramfs: &mut Bytes(Vec::new()),
            kernel_args: "",
            rng_seed: &[],
            ports: &["a"],
            hosts: hosts(Box::new(NoDisk)),
        })
        .expect("the image fits")
    }

    fn state(machine: &mut Machine) -> (u64, u64, Vec<u8>) {
        let core = &mut machine.core;
        (core.instret(), core.x[5], core.ram.bytes(0).to_vec())
    }

    /// Slices of the same length, whatever the time is.
    fn run(machine: &mut Machine) {
        machine.restrict(SLICE, 0);
        (0..10).for_each(|_| {
            machine.run_slice();
        });
    }

    #[test]
    fn thawed_copies_go_on_where_the_machine_stood_and_apart_from_each_other() {
        let mut machine = counting_machine();
        run(&mut machine);
        let frozen = machine.freeze();
        let before = state(&mut machine);
        run(&mut machine);
        let after = state(&mut machine);
        assert!(after.1 > before.1);
        for _ in 0..2 {
            let mut copy = thawed(&frozen);
            assert_eq!(state(&mut copy), before);
            run(&mut copy);
            assert_eq!(state(&mut copy), after);
        }
    }

    #[test]
    fn frozen_machines_are_shared_by_threads() {
        let frozen = counting_machine().freeze();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut copy = thawed(&frozen);
                    run(&mut copy);
                    assert!(copy.core.x[5] > 0);
                });
            }
        });
    }

    #[test]
    fn pages_of_zeros_are_not_kept() {
        let mut machine = counting_machine();
        let kept = machine.freeze().ram_bytes();
        machine.core.ram.bytes(100);
        assert_eq!(machine.freeze().ram_bytes(), kept);
        machine.core.ram.bytes(100)[5] = 1;
        assert_eq!(machine.freeze().ram_bytes(), kept + 4096);
    }
}
