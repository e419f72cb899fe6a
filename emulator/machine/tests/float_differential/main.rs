//! Floating-point semantics against QEMU's: every instruction of the F and D extensions that
//! computes, on corner cases and random operands, in every rounding mode, with result and flags.
//!
//! `LITHIFY_FLOAT_CASES` sets the number of cases.

mod instructions;
mod operands;
mod oracle;

use instructions::{Instruction, instructions};
use lithify_machine::float::{Flags, RoundingMode};
use operands::Random;
use oracle::{Oracle, Outcome, Record};

/// What `make test` compares, and `make test-full`.
const CASES: usize = 1_500_000;
const ALL_CASES: usize = 30_000_000;
const SEED: u64 = 0x5eed_f10a_7000_0001;
/// Cases per exchange with the oracle, which bounds memory however many are asked for.
const BATCH: usize = 1 << 18;

#[test]
fn results_and_flags_equal_qemu() {
    compare("float_differential", CASES);
}

#[test]
#[ignore = "slow: minutes of random operands"]
fn results_and_flags_equal_qemu_thirty_million_times() {
    compare("float_differential_all", ALL_CASES);
}

fn compare(name: &str, cases: usize) {
    let instructions = instructions();
    let Some(oracle) = Oracle::build(name, &instructions) else {
        return;
    };
    let cases = std::env::var("LITHIFY_FLOAT_CASES")
        .map_or(cases, |cases| cases.parse().expect("LITHIFY_FLOAT_CASES is a number"));
    let mut random = Random::new(SEED);
    let mut left = cases;
    while left > 0 {
        let batch: Vec<Record> =
            (0..left.min(BATCH)).map(|_| record(&instructions, &mut random)).collect();
        left -= batch.len();
        for (record, expected) in batch.iter().zip(oracle.execute(&batch)) {
            check(&instructions[record.instruction as usize], record, &expected);
        }
    }
}

fn record(instructions: &[Instruction], random: &mut Random) -> Record {
    let instruction = random.below(instructions.len() as u64);
    let operands = random.operands(instructions[instruction as usize].operands);
    Record { instruction, rounding_mode: random.below(5), operands }
}

/// Compares from clear flags, which takes the exactness tests, and with inexact already set,
/// which takes the host's arithmetic wherever it serves.
fn check(instruction: &Instruction, record: &Record, expected: &Outcome) {
    let rm = RoundingMode::from_frm(record.rounding_mode as u8).expect("generated below 5");
    for before in [Flags::default(), Flags::NX] {
        let mut flags = before;
        let result = (instruction.ours)(record.operands, rm, &mut flags);
        let expected_flags = before | Flags::from_bits(expected.flags as u8);
        assert!(
            (result, flags) == (expected.result(instruction), expected_flags),
            "{} of {:#x?} with {rm:?} and {before:?}: got {result:#x} {flags:?}, QEMU has {:#x} {expected_flags:?}",
            instruction.assembly,
            record.operands,
            expected.result(instruction),
        );
    }
}
