//! Unprivileged instructions against QEMU's: random sequences of RV64GC, Zba, Zbb and Zbs run by
//! `qemu-riscv64` and by our machine, at the same addresses and in the same harness, must leave
//! the same registers, float status and memory.
//!
//! `LITHIFY_DIFF_INSTRUCTIONS` sets how many instructions are executed, `LITHIFY_DIFF_SEED` where
//! the generator starts.

mod by_hand;
mod encode;
mod generate;
mod layout;
mod random;
mod report;
#[path = "../rv64_support/mod.rs"]
mod rv64_support;
mod subjects;

use std::collections::BTreeSet;

use generate::{Generator, LEFT_OUT, Sequence};
use layout::PASSES;
use lithify_isa::OpCode;
use lithify_isa::riscv64::{self, all_encodings};
use subjects::{Ours, Qemu, tools_are_there};

/// What `make test` compares, and `make test-full`.
const INSTRUCTIONS: u64 = 4_000_000;
const ALL_INSTRUCTIONS: u64 = 100_000_000;
const DEFAULT_SEED: u64 = 0x5eed_0064_0000_0001;
/// Sequences per run of a subject: their code stays within reach of the harness.
const BATCH: usize = 2000;

/// Ops that no instruction of the random sequences becomes.
const OPS_LEFT_OUT: &[OpCode] = &[
    // Unknown to the oracle: by_hand.rs.
    OpCode::CzeroEqz,
    OpCode::CzeroNez,
    // Always an exception: rv64_differential_privileged.
    OpCode::Illegal,
    // Of the interpreter's own making, at the end of every page and of every long block.
    OpCode::Next,
];

fn setting(name: &str, default: u64) -> u64 {
    let parse = |text: String| {
        let number = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number.unwrap_or_else(|error| panic!("{name}={text}: {error}"))
    };
    std::env::var(name).map_or(default, parse)
}

#[test]
fn random_sequences_leave_the_same_state_as_in_qemu() {
    compare("random", INSTRUCTIONS);
}

#[test]
#[ignore = "slow: minutes of random instructions"]
fn a_hundred_million_random_instructions_leave_the_same_state_as_in_qemu() {
    compare("random-all", ALL_INSTRUCTIONS);
}

fn compare(name: &str, instructions: u64) {
    if !tools_are_there() {
        return;
    }
    let wanted = setting("LITHIFY_DIFF_INSTRUCTIONS", instructions);
    let seed = setting("LITHIFY_DIFF_SEED", DEFAULT_SEED);
    let (oracle, ours) = (Qemu::new(name), Ours::new(name));
    let mut seen = Seen::default();
    for batch_seed in seed.. {
        let batch = batch(batch_seed);
        if let Some(report) = report::difference(&oracle, &ours, &batch) {
            panic!("LITHIFY_DIFF_SEED={batch_seed:#x}\n{report}");
        }
        seen.count(&batch);
        if seen.executed >= wanted {
            break;
        }
    }
    println!("{} instructions from seed {seed:#x}", seen.executed);
    seen.assert_complete();
}

fn batch(seed: u64) -> Vec<Sequence> {
    let mut generator = Generator::new(seed);
    (0..BATCH).map(|_| generator.sequence()).collect()
}

/// What the sequences have executed for certain.
#[derive(Default)]
struct Seen {
    executed: u64,
    mnemonics: BTreeSet<&'static str>,
    ops: BTreeSet<OpCode>,
}

impl Seen {
    fn count(&mut self, batch: &[Sequence]) {
        for item in batch.iter().flat_map(Sequence::surely_executed) {
            self.executed += PASSES * item.instructions.len() as u64;
            self.mnemonics.insert(item.mnemonic);
            self.ops.extend(item.instructions.iter().map(|word| riscv64::lift(*word, 0).code));
        }
    }

    /// Every instruction and every op was there, but those that are left out and nothing else.
    fn assert_complete(&self) {
        let missing: Vec<_> = all_encodings()
            .map(|encoding| encoding.mnemonic)
            .filter(|mnemonic| !self.mnemonics.contains(mnemonic))
            .filter(|mnemonic| !LEFT_OUT.contains(mnemonic))
            .collect();
        assert!(missing.is_empty(), "instructions never executed: {missing:?}");
        let missing: BTreeSet<_> =
            OpCode::ALL.iter().copied().filter(|op| !self.ops.contains(op)).collect();
        assert_eq!(missing, OPS_LEFT_OUT.iter().copied().collect(), "ops never executed");
    }
}
