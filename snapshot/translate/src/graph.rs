//! Control flow graphs: reverse postorder and dominators
//! (Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm, 2001).

/// Number of a node; the root is 0.
pub(crate) type Node = usize;

/// The order and the dominator tree of a graph whose nodes the root all reaches.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Place of each node in reverse postorder.
    pub(crate) place: Vec<usize>,
    /// Nodes in reverse postorder.
    pub(crate) order: Vec<Node>,
    /// Immediate dominators; the root's is itself.
    pub(crate) dominator: Vec<Node>,
}

impl Flow {
    pub(crate) fn new(successors: &[Vec<Node>]) -> Self {
        let order = reverse_postorder(successors);
        let mut place = vec![usize::MAX; successors.len()];
        for (at, &node) in order.iter().enumerate() {
            place[node] = at;
        }
        let dominator = dominators(successors, &order, &place);
        Self { place, order, dominator }
    }

    /// Whether the edge leads backwards, or to itself.
    pub(crate) fn is_retreating(&self, from: Node, to: Node) -> bool {
        self.place[to] <= self.place[from]
    }

    pub(crate) fn dominates(&self, above: Node, mut node: Node) -> bool {
        while self.place[node] > self.place[above] {
            node = self.dominator[node];
        }
        node == above
    }
}

fn reverse_postorder(successors: &[Vec<Node>]) -> Vec<Node> {
    let mut seen = vec![false; successors.len()];
    let mut order = Vec::with_capacity(successors.len());
    let mut stack = vec![(0, 0)];
    seen[0] = true;
    while let Some((node, next)) = stack.last_mut() {
        match successors[*node].get(*next) {
            Some(&to) => {
                *next += 1;
                if !std::mem::replace(&mut seen[to], true) {
                    stack.push((to, 0));
                }
            }
            None => {
                order.push(*node);
                stack.pop();
            }
        }
    }
    order.reverse();
    order
}

fn dominators(successors: &[Vec<Node>], order: &[Node], place: &[usize]) -> Vec<Node> {
    const UNKNOWN: Node = Node::MAX;
    let mut predecessors = vec![Vec::new(); successors.len()];
    for &node in order {
        for &to in &successors[node] {
            predecessors[to].push(node);
        }
    }
    let mut dominator = vec![UNKNOWN; successors.len()];
    dominator[0] = 0;
    let mut changed = true;
    while changed {
        changed = false;
        for &node in &order[1..] {
            let known = predecessors[node].iter().copied().filter(|&p| dominator[p] != UNKNOWN);
            let found = known.reduce(|a, b| common(&dominator, place, a, b));
            let found = found.expect("the node was reached from one before it");
            changed |= dominator[node] != found;
            dominator[node] = found;
        }
    }
    dominator
}

fn common(dominator: &[Node], place: &[usize], mut a: Node, mut b: Node) -> Node {
    while a != b {
        if place[a] > place[b] {
            a = dominator[a];
        } else {
            b = dominator[b];
        }
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_with_a_diamond_is_dominated_by_its_head() {
        // 0 -> 1 -> {2, 3} -> 4 -> {1, 5}
        let flow = Flow::new(&[vec![1], vec![2, 3], vec![4], vec![4], vec![1, 5], vec![]]);
        assert_eq!(flow.dominator, [0, 0, 1, 1, 1, 4]);
        assert!(flow.is_retreating(4, 1) && !flow.is_retreating(1, 2));
        assert!(flow.dominates(1, 5) && !flow.dominates(2, 4));
    }

    #[test]
    fn a_loop_with_two_heads_is_dominated_by_neither() {
        let flow = Flow::new(&[vec![1, 2], vec![2], vec![1]]);
        assert_eq!(flow.dominator, [0, 0, 0]);
        let retreating = [(1, 2), (2, 1)].map(|(a, b)| flow.is_retreating(a, b));
        assert_eq!(retreating.iter().filter(|&&r| r).count(), 1);
    }
}
