//! The merged tree: what a container of the image would see, in memory.
//!
//! Invariants: every name leads to an existing node, only directories have entries, the root is a
//! directory, and all caps of [`crate::limits`] hold. Symbolic links are resolved here, inside the
//! root; the host's file system is never asked.

mod edit;
mod lookup;
mod walk;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use crate::limits::MAX_NODES;
use crate::{Error, Metadata, Node};

pub use lookup::Follow;
pub use walk::{Entry, Walk};

/// A node's place in the tree's list. Names with equal numbers are hard links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(u32);

const ROOT: NodeId = NodeId(0);

/// A file system tree. Cloning is cheap: nodes are shared until one of the trees changes them.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Nodes that lost their last name stay: trees are short-lived and their number is capped.
    slots: Vec<Arc<Slot>>,
}

#[derive(Clone, Debug)]
struct Slot {
    node: Node,
    /// Sorted, which makes everything that is written from a tree deterministic.
    entries: BTreeMap<OsString, NodeId>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// An empty root directory: mode 0755, owned by root.
    pub fn new() -> Self {
        let root = Node::directory(Metadata::dir());
        Self { slots: vec![Arc::new(Slot { node: root, entries: BTreeMap::new() })] }
    }

    fn slot(&self, id: NodeId) -> &Slot {
        &self.slots[id.0 as usize]
    }

    fn slot_mut(&mut self, id: NodeId) -> &mut Slot {
        Arc::make_mut(&mut self.slots[id.0 as usize])
    }

    fn child(&self, dir: NodeId, name: &OsStr) -> Option<NodeId> {
        self.slot(dir).entries.get(name).copied()
    }

    fn is_directory(&self, id: NodeId) -> bool {
        self.slot(id).node.kind.is_directory()
    }

    fn add_slot(&mut self, node: Node) -> Result<NodeId, Error> {
        if self.slots.len() >= MAX_NODES {
            let what = "the number of files".to_owned();
            return Err(Error::TooLarge { what, limit: MAX_NODES, unit: "nodes" });
        }
        let id = NodeId(u32::try_from(self.slots.len()).expect("the cap is below 2^32"));
        self.slots.push(Arc::new(Slot { node, entries: BTreeMap::new() }));
        Ok(id)
    }
}

#[cfg(test)]
mod tests;
