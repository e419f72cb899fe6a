//! Tight loops: those that call nothing and do not change what of the memory can be accessed. What they compute stays in locals, over all iterations, and is written to memory
//! where execution leaves them.

use crate::blocks::{BasicBlock, End};
use crate::effects::{Set, of_block};
use crate::graph::Node;
use crate::region::Region;
use crate::system;

use lithify_isa::{Op, OpCode};

/// The tight loops of a region: the outermost ones, with those inside.
#[derive(Debug)]
pub(crate) struct Tight {
    /// For each node, the head of the tight loop that it is in.
    heads: Vec<Option<Node>>,
    /// For each head, what the loop writes.
    written: Vec<Set>,
    /// For each node, integer registers that the innermost loop around it leaves alone or moves in constant steps.
    steady: Vec<u32>,
}

impl Tight {
    pub(crate) fn new(blocks: &[BasicBlock], region: &Region) -> Self {
        let nodes = region.doors.successors.len();
        let mut found = Self {
            heads: vec![None; nodes],
            written: vec![Set::EMPTY; nodes],
            steady: vec![0; nodes],
        };
        let mut loops: Vec<_> = region.loops.iter().collect();
        loops.sort_by_key(|(_, body)| std::cmp::Reverse(body.len()));
        for (&head, body) in loops {
            let blocks = || body.iter().map(|&node| &blocks[region.members[node - 1]]);
            if blocks().any(|block| calls(block) || changes_view(block)) {
                continue;
            }
            let steady = blocks().map(steady).fold(u32::MAX, |all, block| all & block);
            body.iter().for_each(|&node| found.steady[node] = steady);
            if found.heads[head].is_none() {
                body.iter().for_each(|&node| found.heads[node] = Some(head));
                found.written[head] = blocks().map(written).fold(Set::EMPTY, Set::or);
            }
        }
        found
    }

    /// The head of the tight loop that `node` is in.
    pub(crate) fn head(&self, node: Node) -> Option<Node> {
        self.heads[node]
    }

    pub(crate) fn is_head(&self, node: Node) -> bool {
        self.heads[node] == Some(node)
    }

    /// What the tight loop at `head` writes; nothing if there is none.
    pub(crate) fn written(&self, head: Node) -> Set {
        self.written[head]
    }

    /// Integer registers that the innermost loop around `node` leaves alone or moves in constant steps.
    pub(crate) fn steady(&self, node: Node) -> u32 {
        self.steady[node]
    }
}

/// What is called finds registers in memory.
const fn calls(block: &BasicBlock) -> bool {
    matches!(block.last, End::Call { .. } | End::CallRegister { .. })
}

/// What was asked for in front of the loop holds no more.
fn changes_view(block: &BasicBlock) -> bool {
    system::change_view(&block.ops)
}

fn written(block: &BasicBlock) -> Set {
    let (_, written) = of_block(block);
    let last = match block.last {
        End::Jump { op: Some(op), .. } if op.rd < 32 => 1 << op.rd,
        _ => 0,
    };
    Set { x: (written.x | last) & !1, ..written }
}

fn steady(block: &BasicBlock) -> u32 {
    let is_step = |op: &Op| matches!(op.code, OpCode::AddI | OpCode::AddIW) && op.rd == op.rs1;
    let moved = block.ops.iter().filter(|op| !is_step(op));
    let all = BasicBlock { ops: moved.copied().collect(), ..block.clone() };
    !written(&all).x
}
