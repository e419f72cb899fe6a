//! Random instructions, translated and interpreted: after every grant of instructions both machines are
//! in the same state and have retired the same number.
//!
//! `LITHIFY_DIFF_INSTRUCTIONS` sets how many instructions are executed, `LITHIFY_DIFF_SEED` where
//! the generator starts.

#[path = "../../../emulator/machine/tests/rv64_differential/encode.rs"]
mod encode;
#[allow(dead_code, reason = "shared with the comparison with QEMU, which uses all of it")]
#[path = "../../../emulator/machine/tests/rv64_differential/generate.rs"]
mod generate;
#[allow(dead_code, reason = "shared with the comparison with QEMU, which uses all of it")]
#[path = "../../../emulator/machine/tests/rv64_differential/layout.rs"]
mod layout;
#[path = "../../../emulator/machine/tests/rv64_differential/random.rs"]
mod random;
mod support;

use generate::{Generator, Sequence, length};
use layout::WINDOW;
use lithify_isa::translation::PAGE_SIZE;
use lithify_machine::bare::{BASE, Hart, State};
use lithify_translate::{Block, Budget, Page, translate};
use random::Random;
use support::engine::Translated;

const INSTRUCTIONS: u64 = 1_000_000;
const ALL_INSTRUCTIONS: u64 = 100_000_000;
const DEFAULT_SEED: u64 = 0x5eed_0007_0000_0001;
/// Sequences translated together.
const BATCH: usize = 60;
/// Times each is executed, on what it left the last time.
const PASSES: usize = 12;

/// Where sequences expect to be left: the hart waits for an interrupt there.
const SAVE: u64 = layout::BASE + 64;
const WFI: u64 = 0x1050_0073;
const SAVED: u64 = SAVE + 4;
const CODE: u64 = layout::BASE + 0x2000;
/// Where a sequence finds its own pointers at the start.
const RECORD: u64 = WINDOW & !0xfff;

const fn page_of(address: u64) -> usize {
    (address - BASE) as usize / PAGE_SIZE
}

fn setting(name: &str, default: u64) -> u64 {
    let parse = |text: String| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).expect("hexadecimal"),
        None => text.parse().expect("decimal"),
    };
    std::env::var(name).map_or(default, parse)
}

/// Sequences with their code at [`CODE`].
struct Program {
    sequences: Vec<(u64, Sequence)>,
    code: Vec<u8>,
    /// Addresses where instructions start.
    starts: Vec<u64>,
}

fn program(seed: u64) -> Program {
    let mut generator = Generator::new(seed);
    let mut program = Program { sequences: Vec::new(), code: Vec::new(), starts: Vec::new() };
    for _ in 0..BATCH {
        let at = CODE + program.code.len() as u64;
        let sequence = generator.sequence();
        let code = sequence.code(at, SAVE);
        let mut offset = 0;
        while offset < code.len() {
            program.starts.push(at + offset as u64);
            let half = u16::from_le_bytes([code[offset], code[offset + 1]]);
            offset += length(half.into());
        }
        program.code.extend(code);
        program.sequences.push((at, sequence));
    }
    program
}

impl Program {
    fn code_pages(&self) -> Vec<usize> {
        let first = page_of(CODE);
        (first..first + self.code.len().div_ceil(PAGE_SIZE)).collect()
    }

    /// The pages, of whose instructions one in `every` starts a block; `drop` is one in how many
    /// blocks is left out.
    fn profile(&self, random: &mut Random, every: u64, drop: u64) -> Vec<Page> {
        let mut pages: Vec<Page> = self
            .code
            .chunks(PAGE_SIZE)
            .map(|chunk| {
                let mut bytes = Box::new([0; PAGE_SIZE]);
                bytes[..chunk.len()].copy_from_slice(chunk);
                Page { bytes, blocks: Vec::new(), places: Vec::new() }
            })
            .collect();
        let entries: Vec<u64> = self.sequences.iter().map(|(at, _)| *at).collect();
        for start in &self.starts {
            let wanted = entries.contains(start) || random.one_in(every);
            if wanted && !(drop > 0 && random.one_in(drop)) {
                let offset = (start - CODE) as usize;
                let block = Block { offset: (offset % PAGE_SIZE) as u16, count: 100_000 };
                pages[offset / PAGE_SIZE].blocks.push(block);
            }
        }
        pages
    }

    fn load(&self, hart: &mut Hart) {
        for (chunk, page) in self.code.chunks(PAGE_SIZE).zip(self.code_pages()) {
            hart.cpu().page(page)[..chunk.len()].copy_from_slice(chunk);
        }
    }
}

const DATA: [usize; 2] = [page_of(WINDOW), page_of(WINDOW) + 1];

fn hart(program: &Program) -> Hart {
    let mut hart = Hart::new(DATA[1] + 1);
    program.load(&mut hart);
    write_word(&mut hart, SAVE, WFI);
    hart
}

fn write_word(hart: &mut Hart, at: u64, value: u64) {
    let offset = at as usize % PAGE_SIZE;
    hart.cpu().page(page_of(at))[offset..][..8].copy_from_slice(&value.to_le_bytes());
}

fn read_word(hart: &mut Hart, at: u64) -> u64 {
    let offset = at as usize % PAGE_SIZE;
    let mut cpu = hart.cpu();
    let bytes = cpu.page(page_of(at))[offset..].first_chunk();
    u64::from_le_bytes(*bytes.expect("eight bytes on the page"))
}

/// Puts what a sequence starts from in place.
fn begin(hart: &mut Hart, at: u64, sequence: &Sequence) {
    let before = &sequence.before;
    let mut state = State {
        x: before.x,
        f: before.f,
        fflags: before.fcsr as u8 & 0x1f,
        frm: (before.fcsr >> 5) as u8 & 7,
        pc: at,
        reservation: None,
        ..hart.cpu().state()
    };
    state.x[0] = 0;
    state.x[31] = RECORD;
    for (at, word) in (WINDOW..).step_by(8).zip(before.window) {
        write_word(hart, at, word);
    }
    write_word(hart, RECORD + 30 * 8, before.x[30]);
    write_word(hart, RECORD + 31 * 8, before.x[31]);
    hart.cpu().set_state(&state);
}

/// From the end of a sequence to its start.
fn again(hart: &mut Hart, at: u64) {
    let mut state = hart.cpu().state();
    write_word(hart, RECORD + 30 * 8, state.x[30]);
    let last = read_word(hart, layout::LAST_REGISTER);
    write_word(hart, RECORD + 31 * 8, last);
    state.x[31] = RECORD;
    state.pc = at;
    hart.cpu().set_state(&state);
}

fn assert_equal(ours: &mut Hart, oracle: &mut Hart, from: &State, seed: u64) {
    let (got, expected) = (ours.cpu().state(), oracle.cpu().state());
    let memory = DATA.iter().all(|&page| *ours.cpu().page(page) == *oracle.cpu().page(page));
    if got == expected && memory {
        return;
    }
    panic!(
        "LITHIFY_DIFF_SEED={seed:#x}: memory equal: {memory}\n{from:x?}\ngot      {got:x?}\nexpected \
         {expected:x?}"
    );
}

/// Executes one sequence on both, in grants of random size. Returns how many instructions.
fn compare(
    ours: &mut Hart,
    oracle: &mut Hart,
    (at, sequence): (u64, &Sequence),
    random: &mut Random,
    seed: u64,
) -> u64 {
    let mut executed = 0;
    begin(ours, at, sequence);
    begin(oracle, at, sequence);
    let most = [50, 300, 3000][random.below(3) as usize];
    for _ in 0..PASSES {
        loop {
            let from = oracle.cpu().state();
            if from.pc == SAVED {
                break;
            }
            let granted = 1 + random.below(most);
            let expected = oracle.run(granted);
            let got = ours.run(granted);
            assert_equal(ours, oracle, &from, seed);
            assert_eq!(got, expected, "LITHIFY_DIFF_SEED={seed:#x}: retired from {from:x?}");
            executed += got;
        }
        again(ours, at);
        again(oracle, at);
    }
    executed
}

/// One batch of sequences; returns how many instructions were executed, and how many of them by translated
/// code.
fn batch(seed: u64) -> (u64, u64) {
    let program = program(seed);
    let mut random = Random::new(seed);
    let every = [1, 3, 10][random.below(3) as usize];
    let drop = [0, 8, 3][random.below(3) as usize];
    let missing = [0, 50, 4][random.below(3) as usize];
    let pages = program.profile(&mut random, every, drop);
    let translation = translate(&pages, &support::LINK, Budget::large(usize::MAX));
    let executor = Translated::new(&translation, &program.code_pages(), &DATA, missing, seed);
    let (mut ours, mut oracle) = (hart(&program), hart(&program));
    ours.translate(&translation.table(&pages, &support::LINK), Box::new(executor));
    let mut executed = 0;
    for (at, sequence) in &program.sequences {
        executed += compare(&mut ours, &mut oracle, (*at, sequence), &mut random, seed);
    }
    (executed, ours.translated_instructions())
}

fn compare_all(instructions: u64) {
    let seed = setting("LITHIFY_DIFF_SEED", DEFAULT_SEED);
    let wanted = setting("LITHIFY_DIFF_INSTRUCTIONS", instructions);
    let (mut executed, mut translated) = (0, 0);
    for seed in seed.. {
        let (all, ours) = batch(seed);
        executed += all;
        translated += ours;
        if executed >= wanted {
            break;
        }
    }
    println!("{executed} instructions, {translated} of them translated");
    assert!(translated * 10 > executed, "{translated} of {executed} were translated");
}

#[test]
fn random_sequences_leave_the_same_state_translated_and_interpreted() {
    compare_all(INSTRUCTIONS);
}

#[test]
#[ignore = "slow: minutes of random instructions"]
fn a_hundred_million_random_instructions_leave_the_same_state() {
    compare_all(ALL_INSTRUCTIONS);
}
