//! Whatever a page holds and whatever a profile claims of it: the functions are valid wasm.

#[allow(dead_code, reason = "shared with the comparison with QEMU, which uses all of it")]
#[path = "../../../emulator/machine/tests/rv64_differential/random.rs"]
mod random;
#[allow(dead_code, reason = "only the module is needed")]
mod support;

use std::collections::BTreeSet;

use lithify_isa::riscv64::all_encodings;
use lithify_isa::translation::PAGE_SIZE;
use lithify_translate::{Block, Budget, Function, Page, translate};
use random::Random;
use wasmparser::{BinaryReader, FunctionBody, Operator};

/// Instructions that exist, most of them branches with a short way to go, and a profile of noise.
fn page(random: &mut Random) -> Page {
    let encodings: Vec<_> = all_encodings().collect();
    let mut bytes = Vec::new();
    while bytes.len() < PAGE_SIZE {
        let noise = random.next() as u32;
        let branch = 0x63 | noise & 0x01ff_f080 | (noise & 1) << 31;
        let word = match random.below(4) {
            0 => branch,
            1 => 0xa001 | noise & 0x1ffc,
            _ => {
                let encoding = random.pick(&encodings);
                encoding.bits | noise & !encoding.mask
            }
        };
        let length = if word & 3 == 3 { 4 } else { 2 };
        bytes.extend(&word.to_le_bytes()[..length]);
    }
    bytes.truncate(PAGE_SIZE);
    let blocks = (0..random.below(300))
        .map(|_| Block {
            offset: random.below(PAGE_SIZE as u64 + 8) as u16,
            count: random.next() >> 40,
        })
        .collect();
    let places = (0..3).map(|_| random.below(6) * PAGE_SIZE as u64).collect();
    Page { bytes: bytes.try_into().expect("cut to a page"), blocks, places }
}

#[test]
fn random_pages_become_valid_modules() {
    let mut random = Random::new(0x5eed_0007);
    let (mut instructions, mut unlikely) = (0, 0);
    for _ in 0..60 {
        let pages: Vec<_> = (0..3).map(|_| page(&mut random)).collect();
        let translation =
            translate(&pages, &support::LINK, Budget::large(1 + random.below(20_000) as usize));
        let module = support::module(&translation, 64);
        if let Err(error) = wasmparser::validate(&module) {
            panic!("{error}");
        }
        unlikely += translation.functions.iter().map(unlikely_branches).sum::<usize>();
        instructions += translation.instructions;
        assert!(translation.entries.is_sorted_by_key(|entry| (entry.page, entry.offset)));
    }
    assert!(instructions > 10_000, "{instructions} instructions were translated");
    assert!(unlikely > 1000, "{unlikely} branches are unlikely");
}

/// How many branches of the function are said to be unlikely; all of them have to be branches.
fn unlikely_branches(function: &Function) -> usize {
    let body = FunctionBody::new(BinaryReader::new(&function.body, 0));
    let operators = body.get_operators_reader().expect("valid").into_iter_with_offsets();
    let branches = operators.map(|operator| operator.expect("valid"));
    let branches: BTreeSet<_> = branches
        .filter(|(operator, _)| matches!(operator, Operator::BrIf { .. }))
        .map(|(_, at)| at as u32)
        .collect();
    assert!(function.unlikely.is_sorted());
    assert!(function.unlikely.iter().all(|at| branches.contains(at)));
    function.unlikely.len()
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let pages: Vec<_> = (0..4).map(|_| page(&mut Random::new(7))).collect();
    let [a, b] = [(); 2].map(|()| translate(&pages, &support::LINK, Budget::large(100_000)));
    assert_eq!(a.functions, b.functions);
    assert_eq!(a.entries, b.entries);
}

#[test]
fn the_budget_bounds_the_guest_code() {
    let pages: Vec<_> = (0..4).map(|at| page(&mut Random::new(at))).collect();
    for budget in [0, 1, 100, 5000] {
        let translation = translate(&pages, &support::LINK, Budget::large(budget));
        assert!(translation.guest_bytes <= budget, "{} of {budget}", translation.guest_bytes);
    }
}
