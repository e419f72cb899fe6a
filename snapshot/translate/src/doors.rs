//! Where a region is entered, and the ways there.
//!
//! A loop is entered at its head alone, so that it stays one in the structured code and what it computes may stay in
//! locals: the way to a door inside leads through the heads of all loops around it, each of which sends on
//! who asks for that door. Who comes along otherwise asks for none.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Flow, Node};
use crate::loops;

/// The doors of a region and its graph with the ways to them.
#[derive(Debug)]
pub(crate) struct Doors {
    /// Sorted; the place is the entry's number.
    pub(crate) nodes: Vec<Node>,
    /// For the root and for the heads of loops: where to go for which door.
    ways: Vec<BTreeMap<usize, Node>>,
    pub(crate) successors: Vec<Vec<Node>>,
    pub(crate) flow: Flow,
}

impl Doors {
    /// The `wanted` doors and those that are needed besides: so that the root, which has no successors yet, reaches
    /// every node, and so that every cycle has a door. Those that are `called` are better reached from the root.
    pub(crate) fn new(
        direct: &[Vec<Node>],
        mut wanted: BTreeSet<Node>,
        called: &BTreeSet<Node>,
    ) -> Self {
        let roots = roots(direct, called);
        wanted.extend(&roots);
        loop {
            let found = Self::with(direct, &roots, &wanted);
            match found.missing() {
                missing if missing.is_empty() => return found,
                missing => wanted.extend(missing),
            }
        }
    }

    fn with(direct: &[Vec<Node>], roots: &[Node], doors: &BTreeSet<Node>) -> Self {
        let mut successors = direct.to_vec();
        successors[0] = roots.to_vec();
        let loops = loops::all(&successors, &Flow::new(&successors));
        let mut ways = vec![BTreeMap::new(); direct.len()];
        for (number, &door) in doors.iter().enumerate() {
            let mut around: Vec<_> = loops
                .iter()
                .filter(|(head, body)| **head != door && body.contains(&door))
                .collect();
            around.sort_by_key(|(_, body)| std::cmp::Reverse(body.len()));
            let mut at = 0;
            for next in around.into_iter().map(|(head, _)| *head).chain([door]) {
                ways[at].insert(number, next);
                at = next;
            }
        }
        for (node, ways) in ways.iter().enumerate() {
            let next: BTreeSet<Node> = ways.values().copied().collect();
            let next = next.into_iter().filter(|next| !direct[node].contains(next));
            let next: Vec<_> = next.collect();
            if node == 0 {
                successors[0] = next;
            } else {
                successors[node].extend(next);
            }
        }
        let flow = Flow::new(&successors);
        Self { nodes: doors.iter().copied().collect(), ways, successors, flow }
    }

    /// Targets of backward edges that are no doors.
    fn missing(&self) -> BTreeSet<Node> {
        let backward = (1..self.successors.len()).flat_map(|from| {
            let onward = self.successors[from].iter().copied();
            onward.filter(move |&to| self.flow.is_retreating(from, to))
        });
        backward.filter(|to| self.number(*to).is_none()).collect()
    }

    /// The number of the door at `node`.
    pub(crate) fn number(&self, node: Node) -> Option<usize> {
        self.nodes.binary_search(&node).ok()
    }

    /// From `node`, which is the root or the head of a loop, where to go for which door.
    pub(crate) fn ways(&self, node: Node) -> &BTreeMap<usize, Node> {
        &self.ways[node]
    }

    /// Whether the root leads to `node` directly.
    pub(crate) fn is_outermost(&self, node: Node) -> bool {
        self.successors[0].contains(&node)
    }
}

/// The fewest nodes from which all others are reached, or nearly so: none is inside a loop that has another
/// entry.
fn roots(direct: &[Vec<Node>], called: &BTreeSet<Node>) -> Vec<Node> {
    let mut has_predecessor = vec![false; direct.len()];
    for &to in direct.iter().flatten() {
        has_predecessor[to] = true;
    }
    let mut successors = direct.to_vec();
    successors[0] = (1..direct.len()).filter(|&node| !has_predecessor[node]).collect();
    loop {
        let flow = Flow::new(&successors);
        let is_left = |node: &Node| flow.place[*node] == usize::MAX;
        let next = called.iter().copied().find(is_left).or_else(|| (1..direct.len()).find(is_left));
        match next {
            None => return std::mem::take(&mut successors[0]),
            Some(next) => successors[0].push(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(direct: &[&[Node]], wanted: &[Node]) -> Doors {
        let direct: Vec<_> = direct.iter().map(|onward| onward.to_vec()).collect();
        Doors::new(&direct, wanted.iter().copied().collect(), &BTreeSet::new())
    }

    #[test]
    fn the_way_into_a_loop_leads_through_its_head() {
        // 1 -> 2 -> 3 -> 3, 4 -> 2, 5
        let found = doors(&[&[], &[2], &[3], &[3, 4], &[2, 5], &[]], &[4]);
        assert_eq!(found.nodes, [1, 2, 3, 4]);
        assert_eq!(found.ways(0), &BTreeMap::from([(0, 1), (1, 2), (2, 2), (3, 2)]));
        assert_eq!(found.ways(2), &BTreeMap::from([(2, 3), (3, 4)]));
        assert!(found.ways(3).is_empty());
        assert!(found.flow.dominates(2, 4) && !found.is_outermost(3));
    }

    #[test]
    fn a_cycle_with_two_entries_has_a_door() {
        // 1 -> 2, 3; 2 -> 3; 3 -> 2
        let found = doors(&[&[], &[2, 3], &[3], &[2]], &[]);
        let retreating = if found.flow.is_retreating(3, 2) { 2 } else { 3 };
        assert!(found.number(retreating).is_some());
        assert!(!found.flow.dominates(2, 3) && !found.flow.dominates(3, 2));
    }
}
