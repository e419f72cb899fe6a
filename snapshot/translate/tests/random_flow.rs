//! Random control flow, translated and interpreted, in both modes: blocks that branch, jump, call, return, go back
//! from exceptions and compute where to jump, in no order that a compiler would make. After every grant of instructions both machines are in
//! the same state and have retired the same number.

#[allow(dead_code, reason = "shared with the comparison with QEMU, which uses all of it")]
#[path = "../../../emulator/machine/tests/rv64_differential/encode.rs"]
mod encode;
#[allow(dead_code, reason = "shared with the comparison with QEMU, which uses all of it")]
#[path = "../../../emulator/machine/tests/rv64_differential/random.rs"]
mod random;
mod support;

use encode::{addi, auipc, jal, ld, sd, with_b, with_i};
use lithify_isa::translation::PAGE_SIZE;
use lithify_machine::bare::{BASE, Hart, State};
use lithify_translate::{Block, Budget, Page, translate};
use random::Random;
use support::engine::Translated;

const PROGRAMS: u64 = 40;
const ALL_PROGRAMS: u64 = 2000;
const INSTRUCTIONS: u64 = 20_000;
const SEED: u64 = 0x5eed_f100_0000_0001;

const CODE_PAGES: usize = 3;
/// Two pages, on whose border the pointers are.
const DATA: [usize; 2] = [CODE_PAGES, CODE_PAGES + 1];
const MIDDLE: u64 = BASE + (DATA[1] * PAGE_SIZE) as u64;
const PAGES: usize = CODE_PAGES + 2;

/// Registers that hold addresses of blocks: two for links, one for computed jumps.
const RA: u32 = 1;
const T0: u32 = 5;
const T1: u32 = 6;
/// Registers that point to data.
const POINTERS: [u32; 2] = [8, 9];

struct Program {
    code: Vec<u8>,
    blocks: Vec<u64>,
    /// Addresses of all instructions.
    starts: Vec<u64>,
}

/// Addresses of blocks, each with room for some instructions.
fn layout(random: &mut Random) -> Vec<(u64, usize)> {
    let end = BASE + (CODE_PAGES * PAGE_SIZE) as u64;
    let mut blocks = Vec::new();
    let mut at = BASE;
    while at + 4 <= end {
        let room = (3 + random.below(14)).min((end - at) / 4);
        blocks.push((at, room as usize));
        at += 4 * room;
        // From here on to the next time, instructions may lie on two pages.
        if random.one_in(20) {
            at += 2;
        }
    }
    // A block must hold its last instructions; the page's very end may be too short for one.
    if blocks.last().is_some_and(|(_, room)| *room < 3) {
        let (_, rest) = blocks.pop().expect("there is one");
        blocks.last_mut().expect("there are many").1 += rest;
    }
    blocks
}

fn program(random: &mut Random) -> Program {
    let layout = layout(random);
    let blocks: Vec<u64> = layout.iter().map(|(at, _)| *at).collect();
    let mut code = Vec::new();
    for &(at, room) in &layout {
        // Nothing falls through to a gap.
        code.resize((at - BASE) as usize, 0);
        let mut words: Vec<u32> = Vec::new();
        while words.len() + 3 < room {
            words.push(computation(random));
        }
        let here = at + 4 * words.len() as u64;
        words.extend(ending(random, here, &blocks));
        words.resize(room, addi(0, 0, 0));
        code.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
    code.resize(CODE_PAGES * PAGE_SIZE, 0);
    let starts = layout.iter().flat_map(|&(at, room)| (at..).step_by(4).take(room)).collect();
    Program { code, blocks, starts }
}

const SRET: u32 = 0x1020_0073;
/// `csrrs rd, fflags, x0` and `csrrw rd, fflags, rs1`.
const FRFLAGS: u32 = 0x0010_2073;
const FSFLAGS: u32 = 0x0010_1073;

fn data_register(random: &mut Random) -> u32 {
    10 + random.below(8) as u32
}

/// An instruction that does not jump.
fn computation(random: &mut Random) -> u32 {
    const OPERATIONS: [u32; 10] = [
        0x33,
        0x4000_0033,
        0x4033,
        0x0200_0033,
        0x0200_3033,
        0x3b,
        0x0200_4033,
        0x5033,
        0x2033,
        0x13,
    ];
    let (rd, rs1, rs2) = (data_register(random), data_register(random), data_register(random));
    let pointer = *random.pick(&POINTERS);
    let offset = random.below(160) as i32 - 80;
    match random.below(8) {
        0 | 1 => ld(rd, pointer, offset),
        2 => sd(rs2, pointer, offset),
        3 if random.one_in(3) => system(random),
        3 => addi(9, 8, random.below(64) as i32 - 32),
        4 if random.one_in(8) => FRFLAGS | rd << 7,
        4 if random.one_in(8) => FSFLAGS | rd << 7 | rs1 << 15,
        _ => *random.pick(&OPERATIONS) | rd << 7 | rs1 << 15 | rs2 << 20,
    }
}

/// Registers that hold bits of `sstatus`, and those.
const STATUS_BITS: [(u32, u64); 6] = [
    (18, 1 << 18),                       // SUM
    (19, 1 << 18 | 1 << 13),             // SUM, and the float unit is not dirty
    (20, 1 << 1),                        // SIE
    (21, 1 << 1 | 1 << 5 | 1 << 8 | 6),  // those of interrupts, SPP, and what cannot be written
    (22, 0b11 << 13 | 1 << 8 | 1 << 18), // the float unit is dirty, SPP, SUM
    (23, 0b11 << 13 | 1 << 19),          // MXR
];

/// An instruction that the architecture has of its own.
fn system(random: &mut Random) -> u32 {
    const FENCE_I: u32 = 0x100f;
    const CBO_ZERO: u32 = 0x0040_200f;
    const SSTATUS: u32 = 0x100;
    const SEPC: u32 = 0x141;
    let destination = if random.one_in(2) { 0 } else { data_register(random) } << 7;
    let csr = |number: u32, source: u32, funct3: u32| {
        number << 20 | source << 15 | funct3 << 12 | destination | 0x73
    };
    let (bits, _) = *random.pick(&STATUS_BITS);
    let changes = 2 + random.below(2) as u32;
    let any_access = 1 + random.below(3) as u32 + 4 * random.below(2) as u32;
    match random.below(10) {
        0..=3 => csr(SSTATUS, *random.pick(&[bits, 18, 18, 18, 0]), changes),
        // `csrrw` takes all, or nothing but what is always there.
        4 => csr(SSTATUS, 22, 1),
        5 => csr(SSTATUS, *random.pick(&[2, 2, 3, 0x1d]), 4 + changes),
        // Where to go back to is a block.
        6 => csr(SEPC, *random.pick(&[RA, T0, T1]), 1),
        7 => csr(SEPC, 0, 2),
        8 => csr(*random.pick(&[0x140, 0x142, 0x143]), random.below(32) as u32, any_access),
        _ if random.one_in(8) => CBO_ZERO | *random.pick(&POINTERS) << 15,
        _ => FENCE_I,
    }
}

/// `register` becomes the address of `target`.
fn point(register: u32, here: u64, target: u64) -> [u32; 2] {
    let distance = target.wrapping_sub(here) as i32;
    let low = distance << 20 >> 20;
    [auipc(register) | (distance - low) as u32, addi(register, register, low)]
}

/// The last instructions of a block, three at most, which never fall through to the next.
fn ending(random: &mut Random, here: u64, blocks: &[u64]) -> Vec<u32> {
    let near: Vec<u64> =
        blocks.iter().copied().filter(|at| at / 4096 == here / 4096 || at % 5 == 0).collect();
    let pick = |random: &mut Random| *random.pick(&near);
    let offset = |from: u64, to: u64| to.wrapping_sub(from) as i32;
    let (a, b) = (data_register(random), data_register(random));
    let target = pick(random);
    let onward = pick(random);
    match random.below(10) {
        0..=4 => {
            let condition = *random.pick(&[0x63, 0x1063, 0x4063, 0x5063, 0x6063, 0x7063]);
            let reach = offset(here, target);
            let reach = if reach.abs() < 4096 { reach } else { 8 };
            let branch = condition | a << 15 | b << 20 | with_b(reach);
            let link = if random.one_in(4) { RA } else { 0 };
            vec![branch, jal(link, offset(here + 4, onward)), jal(0, offset(here + 8, onward))]
        }
        5 | 6 => vec![jal(RA, offset(here, target)), jal(0, offset(here + 4, onward))],
        7 if random.one_in(4) => vec![SRET],
        7 => vec![0x67 | RA << 15],
        8 => {
            let [high, low] = point(T1, here, target);
            let link = *random.pick(&[0, 0, RA, T0]);
            vec![high, low, 0x67 | T1 << 15 | link << 7 | with_i(0)]
        }
        _ => vec![0x67 | *random.pick(&[RA, T0, T1]) << 15],
    }
}

impl Program {
    fn pages(&self, random: &mut Random, drop: u64) -> Vec<Page> {
        let (pages, _) = self.code.as_chunks::<PAGE_SIZE>();
        let mut pages: Vec<_> = pages
            .iter()
            .enumerate()
            .map(|(number, bytes)| {
                // Some are where they are, some somewhere else as well, of some nothing is known.
                let at = |place: usize| BASE + (place * PAGE_SIZE) as u64;
                let mut places = vec![at(number)];
                if random.one_in(4) {
                    places.clear();
                }
                if random.one_in(4) {
                    places.push(at(random.below(CODE_PAGES as u64) as usize));
                }
                Page { bytes: Box::new(*bytes), blocks: Vec::new(), places }
            })
            .collect();
        for &at in &self.starts {
            // Behind branches and calls blocks start as well, wherever those are.
            let wanted = self.blocks.contains(&at) || random.one_in(2);
            if wanted && !(drop > 0 && random.one_in(drop)) {
                let offset = (at - BASE) as usize;
                let block = Block { offset: (offset % PAGE_SIZE) as u16, count: 100_000 };
                pages[offset / PAGE_SIZE].blocks.push(block);
            }
        }
        pages
    }

    /// Blocks that exceptions can lead to.
    fn handlers(&self) -> Vec<u64> {
        self.blocks.iter().copied().filter(|at| at % 4 == 0).collect()
    }

    fn hart(&self, random: &mut Random) -> Hart {
        let mut hart = Hart::new(PAGES);
        for (number, chunk) in self.code.chunks(PAGE_SIZE).enumerate() {
            hart.cpu().page(number).copy_from_slice(chunk);
        }
        let mut x: [u64; 32] = std::array::from_fn(|_| random.integer());
        x[0] = 0;
        for register in [RA, T0, T1] {
            x[register as usize] = *random.pick(&self.blocks);
        }
        for register in POINTERS {
            x[register as usize] = MIDDLE + 8;
        }
        for (register, bits) in STATUS_BITS {
            x[register as usize] = bits;
        }
        hart.handle_exceptions_at(*random.pick(&self.handlers()));
        let trap = [random.next(), *random.pick(&self.blocks), 0, 0];
        let state = State { x, pc: BASE, trap, ..hart.cpu().state() };
        hart.cpu().set_state(&state);
        hart
    }
}

fn assert_equal(ours: &mut Hart, oracle: &mut Hart, from: &State, seed: u64) {
    let (got, expected) = (ours.cpu().state(), oracle.cpu().state());
    assert_eq!(got, expected, "seed {seed:#x} from {from:x?}");
    for page in DATA {
        assert!(*ours.cpu().page(page) == *oracle.cpu().page(page), "seed {seed:#x}: page {page}");
    }
}

/// Returns how many instructions were executed, and how many of them by translated code.
fn compare(seed: u64) -> (u64, u64) {
    let mut random = Random::new(seed);
    let program = program(&mut random);
    let (drop, missing) = (*random.pick(&[0, 0, 8, 3]), *random.pick(&[0, 50, 4]));
    let pages = program.pages(&mut random, drop);
    let translation = translate(&pages, &support::LINK, Budget::large(usize::MAX));
    let executor = Translated::new(&translation, &[0, 1, 2], &DATA, missing, seed);
    let start = random.next();
    let [mut ours, mut oracle] = [(); 2].map(|()| program.hart(&mut Random::new(start)));
    ours.translate(&translation.table(&pages, &support::LINK), Box::new(executor));
    let most = *random.pick(&[50, 1000, 5000]);
    let mut executed = 0;
    while executed < INSTRUCTIONS {
        let from = oracle.cpu().state();
        let granted = 1 + random.below(most);
        let expected = oracle.run(granted);
        let got = ours.run(granted);
        assert_equal(&mut ours, &mut oracle, &from, seed);
        assert_eq!(got, expected, "seed {seed:#x}: retired from {from:x?}");
        executed += got;
    }
    (executed, ours.translated_instructions())
}

fn compare_all(programs: u64) {
    let (mut executed, mut translated) = (0, 0);
    for number in 0..programs {
        let (all, ours) = compare(SEED + number);
        executed += all;
        translated += ours;
    }
    println!("{executed} instructions, {translated} of them translated");
    assert!(translated * 4 > executed, "{translated} of {executed} were translated");
}

#[test]
fn random_flow_ends_in_the_same_state_translated_and_interpreted() {
    compare_all(PROGRAMS);
}

#[test]
#[ignore = "slow: minutes of random programs"]
fn two_thousand_random_flows_end_in_the_same_state() {
    compare_all(ALL_PROGRAMS);
}
