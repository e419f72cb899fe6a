//! What to have in locals at the head of a loop: what its body reads before it writes it.

use crate::blocks::{BasicBlock, End};
use crate::effects::{Set, of_block};
use crate::graph::{Flow, Node};

/// For each node that is the head of a loop, what to load in front of it.
pub(crate) fn preloads(
    blocks: &[BasicBlock],
    members: &[usize],
    successors: &[Vec<Node>],
    flow: &Flow,
) -> Vec<Set> {
    let effects: Vec<_> = members.iter().map(|&member| of_block(&blocks[member])).collect();
    let calls = |node: Node| {
        let last = blocks[members[node - 1]].last;
        matches!(last, End::Call { .. } | End::CallRegister { .. })
    };
    let mut predecessors = vec![Vec::new(); successors.len()];
    for (from, onward) in successors.iter().enumerate().skip(1) {
        for &to in onward {
            predecessors[to].push(from);
        }
    }
    let mut sets = vec![Set::EMPTY; successors.len()];
    for head in 1..successors.len() {
        let ends = predecessors[head]
            .iter()
            .copied()
            .filter(|&from| flow.is_retreating(from, head) && flow.dominates(head, from));
        let body = body(head, ends, &predecessors);
        if body.is_empty() {
            continue;
        }
        let mut exposed = vec![Set::EMPTY; successors.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for &node in body.iter().rev() {
                let (read, written) = effects[node - 1];
                let after = if calls(node) {
                    Set::EMPTY
                } else {
                    let onward = successors[node].iter().filter(|&&to| to != head);
                    onward.fold(Set::EMPTY, |set, &to| set.or(exposed[to]))
                };
                let before = read.or(after.without(written));
                changed |= exposed[node] != before;
                exposed[node] = before;
            }
        }
        sets[head] = exposed[head];
    }
    sets
}

/// The nodes of the natural loop, sorted; empty if there is none.
pub(crate) fn body(
    head: Node,
    ends: impl Iterator<Item = Node>,
    predecessors: &[Vec<Node>],
) -> Vec<Node> {
    let mut body = std::collections::BTreeSet::new();
    let mut left: Vec<Node> = ends.collect();
    if left.is_empty() {
        return Vec::new();
    }
    body.insert(head);
    while let Some(node) = left.pop() {
        if body.insert(node) {
            left.extend(&predecessors[node]);
        }
    }
    body.into_iter().collect()
}
