//! From a difference between two subjects to the instruction that makes it.

use std::fmt::Write as _;

use lithify_isa::riscv64;

use crate::generate::{Sequence, length, mnemonic};
use crate::layout::{State, WINDOW};
use crate::subjects::{Outcome, Subject};

/// Runs `sequences` on both, and describes the first difference.
pub(crate) fn difference(
    oracle: &dyn Subject,
    ours: &dyn Subject,
    sequences: &[Sequence],
) -> Option<String> {
    let (expected, got) = (oracle.run(sequences), ours.run(sequences));
    if expected.is_ok() && expected == got {
        return None;
    }
    let sequence = culprit(oracle, ours, sequences, &expected, &got);
    Some(describe(oracle, ours, sequence))
}

/// The first sequence that differs, or that one of the two cannot run.
fn culprit<'a>(
    oracle: &dyn Subject,
    ours: &dyn Subject,
    sequences: &'a [Sequence],
    expected: &Outcome,
    got: &Outcome,
) -> &'a Sequence {
    if let (Ok(expected), Ok(got)) = (expected, got) {
        let at = expected.iter().zip(got).position(|(a, b)| a != b);
        return &sequences[at.expect("the outcomes differ")];
    }
    let mut suspects = sequences;
    while suspects.len() > 1 {
        let (left, right) = suspects.split_at(suspects.len() / 2);
        let fails = oracle.run(left).is_err() || ours.run(left).is_err();
        suspects = if fails { left } else { right };
    }
    &suspects[0]
}

/// Runs ever longer beginnings of `sequence` up to the first that differs.
fn describe(oracle: &dyn Subject, ours: &dyn Subject, sequence: &Sequence) -> String {
    let mut before = sequence.before.clone();
    for len in 1..=sequence.items.len() {
        let beginning =
            Sequence { before: sequence.before.clone(), items: sequence.items[..len].to_vec() };
        let batch = [beginning];
        match (oracle.run(&batch), ours.run(&batch)) {
            (Ok(expected), Ok(got)) if expected == got => before = expected[0].clone(),
            (expected, got) => {
                let text = listing(&batch[0]);
                return text + &outcomes(&before, &expected, &got);
            }
        }
    }
    "no beginning of the sequence differs when it runs alone:\n".to_owned() + &listing(sequence)
}

fn listing(sequence: &Sequence) -> String {
    let mut text = String::new();
    for instruction in sequence.items.iter().flat_map(|item| &item.instructions) {
        let digits = 2 * length(*instruction);
        let name = mnemonic(*instruction);
        let op = riscv64::lift(*instruction, 0);
        writeln!(text, "  {instruction:0digits$x} {name} {op:?}").expect("in memory");
    }
    text
}

fn outcomes(before: &State, expected: &Outcome, got: &Outcome) -> String {
    let (expected, got) = match (expected, got) {
        (Ok(expected), Ok(got)) => (&expected[0], &got[0]),
        (expected, got) => {
            let what = |outcome: &Outcome| outcome.as_ref().err().cloned().unwrap_or_default();
            return format!("{}\n{}\n", what(expected), what(got));
        }
    };
    let mut text = "without the last: registers before it\n".to_owned();
    for (name, value) in names().zip(before.words()) {
        writeln!(text, "  {name:8} {value:016x}").expect("in memory");
    }
    text += "with it\n";
    for ((name, expected), got) in names().zip(expected.words()).zip(got.words()) {
        if expected != got {
            writeln!(text, "  {name:8} QEMU {expected:016x}, machine {got:016x}")
                .expect("in memory");
        }
    }
    text
}

fn names() -> impl Iterator<Item = String> {
    let x = (0..32).map(|n| if n == 0 { "code".to_owned() } else { format!("x{n}") });
    let f = (0..32).map(|n| format!("f{n}"));
    let memory = (0..).map(|n| format!("{:x}", WINDOW + 8 * n));
    x.chain(f).chain(["fcsr".to_owned()]).chain(memory)
}
