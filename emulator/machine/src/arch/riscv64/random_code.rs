//! Random pages as code, from random registers and CSRs, among random page tables: whatever runs,
//! the machine neither panics nor hangs, and its state stays one that the manual allows.

use std::rc::Rc;

use lithify_isa::riscv64::all_encodings;

use super::board::Board;
use super::platform::{PLIC, RAM_BASE, RTC_BASE, VMGENID_BASE, virtio_base};
use super::{Mode, Riscv64, csr};
use crate::absent::Absent;
use crate::arena::PAGE_SIZE;
use crate::bus::{GuestMemory, GuestPhysAddr};
use crate::core::{Core, Pause};
use crate::ram::Ram;
use crate::time::Timekeeper;

const PAGES: u64 = 32;
/// The page-table root of machines that begin with paging on.
const ROOT: u64 = RAM_BASE + (PAGES - 1) * PAGE_SIZE as u64;
/// Instructions of one run, and runs of one machine.
const GRANTED: u64 = 2000;
const RUNS: usize = 8;
const MACHINES: u64 = 300;
const ALL_MACHINES: u64 = 20_000;
const SEED: u64 = 0x5eed_c0de_0000_0001;

/// A splitmix64 generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// An address in RAM, of a device, or anywhere.
    fn address(&mut self) -> u64 {
        match self.below(8) {
            0 => self.next(),
            1 => {
                let devices = [PLIC.start, RTC_BASE, VMGENID_BASE, virtio_base(0), virtio_base(3)];
                self.pick(&devices) + self.below(0x1000)
            }
            2 => RAM_BASE + (self.below(PAGES) << 12) + 0xff0 + self.below(16),
            _ => RAM_BASE + self.below(PAGES << 12),
        }
    }

    /// An instruction that exists, a CSR access to a CSR that exists, or noise.
    fn instruction(&mut self) -> u32 {
        const CSRS: [u32; 20] = [
            0x001, 0x002, 0x003, 0x100, 0x104, 0x105, 0x106, 0x10a, 0x140, 0x141, 0x142, 0x143,
            0x144, 0x14d, 0x180, 0xc00, 0xc01, 0xc02, 0x7c0, 0xf11,
        ];
        let noise = self.next() as u32;
        match self.below(16) {
            0 => noise,
            1 => self.pick(&CSRS) << 20 | (noise & 0xf_8f80) | (1 + noise % 7) << 12 | 0x73,
            _ => {
                let count = all_encodings().count() as u64;
                let encoding = all_encodings().nth(self.below(count) as usize).expect("counted");
                encoding.bits | noise & !encoding.mask
            }
        }
    }
}

fn machine(random: &mut Random) -> Core<Riscv64> {
    let time = Rc::new(Timekeeper::new(0));
    let board = Board::new(Absent::hosts(), &["port"], &time);
    let ram = Ram::new(RAM_BASE, PAGES * PAGE_SIZE as u64);
    let mut core = Core::new(ram, board, time, Riscv64::new());
    fill(&mut core, random);
    let entry = RAM_BASE + (random.below(PAGES << 12) & !1);
    core.reset(entry, random.address());
    for register in 1..32 {
        core.x[register] = if random.below(4) == 0 { random.next() } else { random.address() };
        core.f[register] = random.next();
    }
    set_csrs(&mut core, random);
    core
}

/// Code, and on the last page entries of a page table: gigapages over all of RAM, and noise.
fn fill(core: &mut Core<Riscv64>, random: &mut Random) {
    let mut page = Vec::with_capacity(PAGE_SIZE + 4);
    for number in 0..PAGES - 1 {
        page.clear();
        while page.len() < PAGE_SIZE {
            let instruction = random.instruction();
            let length = if instruction & 3 == 3 { 4 } else { 2 };
            page.extend_from_slice(&instruction.to_le_bytes()[..length]);
        }
        let at = GuestPhysAddr(RAM_BASE + (number << 12));
        core.ram.write(at, &page[..PAGE_SIZE]).expect("inside RAM");
    }
    for entry in 0..512 {
        let gigapage = RAM_BASE >> 12 << 10;
        let pte = match random.below(4) {
            0 => random.next(),
            1 => ((RAM_BASE >> 12) + random.below(PAGES)) << 10 | random.below(256),
            _ => gigapage | 0xcf | random.below(2) << 4,
        };
        core.ram.write(GuestPhysAddr(ROOT + 8 * entry), &pte.to_le_bytes()).expect("inside RAM");
    }
}

fn set_csrs(core: &mut Core<Riscv64>, random: &mut Random) {
    if random.below(3) == 0 {
        core.arch.satp = csr::SATP_SV39 << 60 | ROOT >> 12;
        csr::enter_space(core);
    }
    // Through the guest's own instruction: only what a guest can write gets there.
    for number in [0x100u32, 0x104, 0x105, 0x106, 0x10a, 0x140, 0x141, 0x14d, 0x003] {
        const CSRRW_A0: u32 = 10 << 15 | 1 << 12 | 0x73;
        core.x[10] = if number == 0x105 { random.address() } else { random.next() };
        // An access that is not allowed now is a case as well.
        let _ = csr::execute(core, number << 20 | CSRRW_A0);
    }
    if random.below(4) == 0 {
        core.arch.mode = Mode::User;
    }
    csr::select_view(core);
    // Setting the timer asks for a pause.
    core.run(0);
}

/// One grant at a time, as the machine's slices are.
fn run(core: &mut Core<Riscv64>) {
    for _ in 0..RUNS {
        let before = core.instret();
        core.poll_devices();
        let now = core.now_ns();
        core.arch.update_timer(now);
        let pause = core.run(GRANTED);
        assert_legal(core);
        let retired = core.instret() - before;
        match pause {
            Pause::Halted(_) => return,
            Pause::Idle => core.time.skip(1_000_000),
            Pause::Granted => assert!(retired > 0, "nothing retired at {:#x}", core.pc),
        }
        assert!(retired < 2 * GRANTED, "{retired} instructions for {GRANTED}");
        core.trim_code();
    }
}

fn assert_legal(core: &mut Core<Riscv64>) {
    assert_eq!(core.x[0], 0, "x0");
    assert_eq!(core.pc & 1, 0, "pc {:#x}", core.pc);
    assert!(core.frm < 8 && core.fflags.bits() < 32, "fcsr");
    csr::assert_legal(core);
    for page in 0..PAGES as usize {
        if core.ram.has_code(page) {
            let host = core.ram.page(page);
            assert!(!core.tlb.lets_write(host), "stores to code on page {page} would go unseen");
        }
    }
}

fn survive(machines: u64) {
    for number in 0..machines {
        let mut random = Random(SEED.wrapping_add(number << 32));
        run(&mut machine(&mut random));
    }
}

#[test]
fn random_code_and_csrs_leave_a_legal_state() {
    survive(MACHINES);
}

#[test]
#[ignore = "slow: minutes of random code"]
fn random_code_and_csrs_leave_a_legal_state_twenty_thousand_times() {
    survive(ALL_MACHINES);
}

/// What a guest can see of a hart without paging.
fn visible(core: &Core<Riscv64>) -> (u64, u64, Vec<u64>, u8) {
    let registers = core.x[..32].iter().chain(&core.f[..32]).copied().collect();
    (core.instret(), core.pc, registers, core.fflags.bits())
}

/// How a machine differs that must not differ.
#[derive(Debug, Clone, Copy)]
enum Variant {
    /// Blocks are cut at each branch.
    Counted,
    /// All decoded code is dropped before some grants.
    Forgetful,
}

fn grant(core: &mut Core<Riscv64>, instructions: u64) -> Pause {
    core.poll_devices();
    let now = core.now_ns();
    core.arch.update_timer(now);
    core.run(instructions)
}

/// Without paging: what a page table says is looked up when code is decoded.
fn flat_machine(random: &mut Random) -> Core<Riscv64> {
    let mut core = machine(random);
    core.arch.satp = 0;
    core.tlb.flush();
    core.code.forget_jumps();
    core
}

fn compare(number: u64, variant: Variant) {
    let seed = SEED.wrapping_add(number << 32);
    let [mut plain, mut other] = [(); 2].map(|()| flat_machine(&mut Random(seed)));
    let mut random = Random(!seed);
    if matches!(variant, Variant::Counted) {
        other.count_blocks();
    }
    for grants in 0..200 {
        if matches!(variant, Variant::Forgetful) && random.below(3) == 0 {
            for page in other.code.flush() {
                other.ram.set_code(page, false);
            }
        }
        let instructions = 1 + random.below(50);
        let pauses = [&mut plain, &mut other].map(|core| grant(core, instructions));
        if plain.arch.satp != 0 || matches!(pauses[0], Pause::Halted(_)) {
            return;
        }
        assert_eq!(pauses[0], pauses[1], "{number}, {variant:?}, grant {grants}");
        assert_eq!(visible(&plain), visible(&other), "{number}, {variant:?}, grant {grants}");
        if pauses[0] == Pause::Idle {
            plain.time.skip(1_000_000);
            other.time.skip(1_000_000);
        }
    }
    for page in 0..PAGES as usize {
        assert_eq!(plain.ram.bytes(page), other.ram.bytes(page), "{number}, page {page}");
    }
}

#[test]
fn stops_depend_on_the_instructions_alone() {
    for number in 0..MACHINES {
        for variant in [Variant::Counted, Variant::Forgetful] {
            compare(number, variant);
        }
    }
}
