//! Which branches are seldom taken, for compilers that put what follows such a branch out of the way: the section
//! of the branch hinting proposal.

use wasm_encoder::{BranchHint, BranchHints, Module};

pub(crate) const SECTION: &str = "metadata.code.branch_hint";

const NOT_TAKEN: u32 = 0;

/// Puts the section in front of the code that comes next: functions, by index, and byte offsets of branches in their
/// bodies, locals included, in order.
pub(crate) fn put<'a>(to: &mut Module, unlikely: impl Iterator<Item = (u32, &'a [u32])>) {
    let mut section = BranchHints::new();
    for (function, offsets) in unlikely.filter(|(_, offsets)| !offsets.is_empty()) {
        let hints = offsets
            .iter()
            .map(|at| BranchHint { branch_func_offset: *at, branch_hint_value: NOT_TAKEN });
        section.function_hints(function, hints);
    }
    if !section.is_empty() {
        to.section(&section);
    }
}
