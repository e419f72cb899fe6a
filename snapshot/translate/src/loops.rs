//! Loops, and what to have in locals at their heads: what the body reads before it writes it.

use std::collections::{BTreeMap, BTreeSet};

use crate::blocks::{BasicBlock, End};
use crate::effects::{Set, of_block};
use crate::graph::{Flow, Node};

/// For each node that is the head of a loop, what to load in front of it. Node `n` executes `code[n - 1]`.
pub(crate) fn preloads(
    code: &[&BasicBlock],
    successors: &[Vec<Node>],
    loops: &BTreeMap<Node, BTreeSet<Node>>,
) -> Vec<Set> {
    let effects: Vec<_> = code.iter().map(|block| of_block(block)).collect();
    let calls =
        |node: Node| matches!(code[node - 1].last, End::Call { .. } | End::CallRegister { .. });
    let mut sets = vec![Set::EMPTY; successors.len()];
    for (&head, body) in loops {
        let mut exposed = vec![Set::EMPTY; successors.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for &node in body.iter().rev() {
                let (read, written) = effects[node - 1];
                let after = if calls(node) {
                    Set::EMPTY
                } else {
                    let onward = successors[node].iter();
                    let inside = onward.filter(|&&to| to != head && body.contains(&to));
                    inside.fold(Set::EMPTY, |set, &to| set.or(exposed[to]))
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

/// The natural loops: for each head, the nodes.
pub(crate) fn all(successors: &[Vec<Node>], flow: &Flow) -> BTreeMap<Node, BTreeSet<Node>> {
    let predecessors = predecessors(successors);
    let ends = |head: Node| {
        let before = predecessors[head].iter().copied();
        before.filter(move |&from| flow.is_retreating(from, head) && flow.dominates(head, from))
    };
    let loops = (1..successors.len()).map(|head| (head, body(head, ends(head), &predecessors)));
    loops.filter(|(_, body)| !body.is_empty()).collect()
}

/// Of all nodes but the root, which does not count.
fn predecessors(successors: &[Vec<Node>]) -> Vec<Vec<Node>> {
    let mut predecessors = vec![Vec::new(); successors.len()];
    for (from, onward) in successors.iter().enumerate().skip(1) {
        for &to in onward {
            predecessors[to].push(from);
        }
    }
    predecessors
}

/// The nodes of the natural loop; none if no edge leads back to its head.
fn body(
    head: Node,
    ends: impl Iterator<Item = Node>,
    predecessors: &[Vec<Node>],
) -> BTreeSet<Node> {
    let mut left: Vec<Node> = ends.collect();
    let mut body: BTreeSet<Node> = left.first().map(|_| head).into_iter().collect();
    while let Some(node) = left.pop() {
        if body.insert(node) {
            left.extend(&predecessors[node]);
        }
    }
    body
}
