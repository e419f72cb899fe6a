//! Unprivileged instructions against QEMU's: random sequences of RV64GC, Zba, Zbb and Zbs run by
//! `qemu-riscv64` and by our machine, at the same addresses and in the same harness, must leave
//! the same registers, float status and memory.
//!
//! `LITHIFY_DIFF_INSTRUCTIONS` sets how many instructions are generated, `LITHIFY_DIFF_SEED` where
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

use std::collections::BTreeMap;

use generate::{Generator, LEFT_OUT, Sequence};
use lithify_isa::riscv64::all_encodings;
use subjects::{Ours, Qemu, tools_are_there};

const DEFAULT_INSTRUCTIONS: u64 = 1_500_000;
const DEFAULT_SEED: u64 = 0x5eed_0064_0000_0001;
/// Sequences per run of a subject: their code stays within reach of the harness.
const BATCH: usize = 2000;

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
    if !tools_are_there() {
        return;
    }
    let wanted = setting("LITHIFY_DIFF_INSTRUCTIONS", DEFAULT_INSTRUCTIONS);
    let seed = setting("LITHIFY_DIFF_SEED", DEFAULT_SEED);
    let (oracle, ours) = (Qemu::new("random"), Ours::new("random"));
    let mut seen = BTreeMap::new();
    let mut generated = 0;
    for batch_seed in seed.. {
        let batch = batch(batch_seed);
        if let Some(report) = report::difference(&oracle, &ours, &batch) {
            panic!("LITHIFY_DIFF_SEED={batch_seed:#x}\n{report}");
        }
        generated += count(&batch, &mut seen);
        if generated >= wanted {
            break;
        }
    }
    println!("{generated} instructions from seed {seed:#x}");
    assert_all_seen(&seen);
}

fn batch(seed: u64) -> Vec<Sequence> {
    let mut generator = Generator::new(seed);
    (0..BATCH).map(|_| generator.sequence()).collect()
}

fn count(batch: &[Sequence], seen: &mut BTreeMap<&'static str, u64>) -> u64 {
    let mut instructions = 0;
    for item in batch.iter().flat_map(|sequence| &sequence.items) {
        *seen.entry(item.mnemonic).or_default() += 1;
        instructions += item.instructions.len() as u64;
    }
    instructions
}

fn assert_all_seen(seen: &BTreeMap<&'static str, u64>) {
    let missing: Vec<_> = all_encodings()
        .map(|encoding| encoding.mnemonic)
        .filter(|mnemonic| !seen.contains_key(mnemonic) && !LEFT_OUT.contains(mnemonic))
        .collect();
    assert!(missing.is_empty(), "never generated: {missing:?}");
}
