//! A loop accesses a page, and then the border of it and the page in front, through the same register: what the loop
//! remembers of the one page says nothing of the other.

#[allow(dead_code, reason = "shared with the comparison with QEMU, which uses all of it")]
#[path = "../../../emulator/machine/tests/rv64_differential/encode.rs"]
mod encode;
#[allow(dead_code, reason = "shared with the random tests, which use all of it")]
#[path = "../../../emulator/machine/tests/rv64_differential/random.rs"]
mod random;
#[allow(dead_code, reason = "shared with the random tests, which use all of it")]
mod support;

use encode::{addi, jal, ld, sd, with_b};
use lithify_isa::translation::PAGE_SIZE;
use lithify_machine::bare::{BASE, Hart, State};
use lithify_translate::{Block, Budget, Page, translate};
use support::LINK;
use support::engine::Translated;

const S0: u32 = 8;
const A0: u32 = 10;
const A1: u32 = 11;
const A2: u32 = 12;
const ROUNDS: u64 = 20;

const CODE: usize = 0;
/// Two neighbours, on whose border [`S0`] is.
const DATA: [usize; 2] = [1, 2];
const PAGES: usize = 3;

/// `bne rs1, rs2, reach`.
fn bne(rs1: u32, rs2: u32, reach: i32) -> u32 {
    0x1063 | rs1 << 15 | rs2 << 20 | with_b(reach)
}

/// A loop of `first` and `second`, in blocks of their own, and then nothing.
fn code(first: u32, second: u32) -> ([u8; PAGE_SIZE], Vec<Block>) {
    let words = [first, bne(A0, A0, 8), second, addi(A2, A2, -1), bne(A2, 0, -16), jal(0, 0)];
    let mut bytes = [0; PAGE_SIZE];
    let (places, _) = bytes.as_chunks_mut();
    for (place, word) in places.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    let blocks = [0, 8, 20].map(|offset| Block { offset, count: 100_000 });
    (bytes, blocks.to_vec())
}

fn hart(code: &[u8; PAGE_SIZE]) -> Hart {
    let mut hart = Hart::new(PAGES);
    hart.cpu().page(CODE).copy_from_slice(code);
    for (at, page) in DATA.into_iter().enumerate() {
        let bytes: [u8; PAGE_SIZE] = std::array::from_fn(|offset| (offset * 7 + at * 3) as u8);
        hart.cpu().page(page).copy_from_slice(&bytes);
    }
    let mut x = [0; 32];
    x[S0 as usize] = BASE + (DATA[1] * PAGE_SIZE) as u64;
    (x[A0 as usize], x[A2 as usize]) = (0x0123_4567_89ab_cdef, ROUNDS);
    let state = State { x, pc: BASE, ..hart.cpu().state() };
    hart.cpu().set_state(&state);
    hart
}

#[test]
fn a_remembered_page_does_not_stand_for_the_one_in_front() {
    let load = |offset| ld(A1, S0, offset);
    let store = |offset| sd(A0, S0, offset);
    for (first, second) in [
        (load(0), load(-4)),
        (load(-8), load(-1)),
        (store(0), store(-4)),
        (store(-8), store(-7)),
        (load(16), ld(A0, S0, -7)),
    ] {
        let (bytes, blocks) = code(first, second);
        let [mut ours, mut oracle] = [(); 2].map(|()| hart(&bytes));
        let pages = [Page { bytes: Box::new(bytes), blocks, places: vec![BASE] }];
        let translation = translate(&pages, &LINK, Budget::large(PAGE_SIZE));
        let executor = Translated::new(&translation, &[CODE], &DATA, 0, 0);
        ours.translate(&translation.table(&pages, &LINK), Box::new(executor));
        // With some to spare, which the endless loop behind takes: no round is left to the interpreter.
        let granted = 5 * ROUNDS + 100;
        assert_eq!(ours.run(granted), oracle.run(granted));
        assert!(ours.translated_instructions() > ROUNDS, "{first:#x}, {second:#x}");
        assert_eq!(ours.cpu().state(), oracle.cpu().state(), "{first:#x}, {second:#x}");
        for page in DATA {
            let (ours, oracle) = (ours.cpu().page(page).to_vec(), oracle.cpu().page(page).to_vec());
            assert!(ours == oracle, "{first:#x}, {second:#x}: page {page}");
        }
    }
}
