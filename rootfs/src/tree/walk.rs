//! Iterating over a tree: sorted, parents first, without recursion.

use std::collections::{HashMap, btree_map};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Follow, NodeId, Tree};
use crate::{Error, Node};

/// A name in the tree.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The absolute path, without symbolic links.
    pub path: PathBuf,
    /// What is there.
    pub node: &'a Node,
    /// The first path of the same node in this walk, if this is a further hard link.
    pub link_of: Option<PathBuf>,
}

/// Iterates over the entries of a tree or a part of it.
#[derive(Debug)]
pub struct Walk<'a> {
    tree: &'a Tree,
    start: Option<(PathBuf, NodeId)>,
    stack: Vec<(PathBuf, btree_map::Iter<'a, OsString, NodeId>)>,
    first_paths: HashMap<NodeId, PathBuf>,
    links: Vec<u32>,
}

impl Tree {
    /// All entries, the root first; the entries of a directory follow it, sorted by name.
    pub fn walk(&self) -> Walk<'_> {
        self.walk_at(PathBuf::from("/"), super::ROOT)
    }

    /// The entry at `path`, symbolic links followed, and all that is below it.
    pub fn walk_from(&self, path: &Path) -> Result<Walk<'_>, Error> {
        let trail = self.trail(path, Follow::Yes)?;
        let id = trail.node().ok_or_else(|| Error::NotFound(path.to_owned()))?;
        Ok(self.walk_at(trail.path(), id))
    }

    fn walk_at(&self, path: PathBuf, id: NodeId) -> Walk<'_> {
        Walk {
            tree: self,
            start: Some((path, id)),
            stack: Vec::new(),
            first_paths: HashMap::new(),
            links: self.names_per_node(),
        }
    }

    /// How many names each node has. Names below removed directories count as well: too high a
    /// number costs an entry in a map, no more.
    fn names_per_node(&self) -> Vec<u32> {
        let mut names = vec![0; self.slots.len()];
        for id in self.slots.iter().flat_map(|slot| slot.entries.values()) {
            names[id.0 as usize] += 1;
        }
        names
    }
}

impl<'a> Walk<'a> {
    fn entry(&mut self, path: PathBuf, id: NodeId) -> Entry<'a> {
        let slot = self.tree.slot(id);
        if slot.node.kind.is_directory() {
            self.stack.push((path.clone(), slot.entries.iter()));
        }
        let link_of = self.first_path(&path, id);
        Entry { path, node: &slot.node, link_of }
    }

    fn first_path(&mut self, path: &Path, id: NodeId) -> Option<PathBuf> {
        if self.links[id.0 as usize] < 2 {
            return None;
        }
        let first = self.first_paths.get(&id).cloned();
        if first.is_none() {
            self.first_paths.insert(id, path.to_owned());
        }
        first
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        if let Some((path, id)) = self.start.take() {
            return Some(self.entry(path, id));
        }
        loop {
            let (dir, entries) = self.stack.last_mut()?;
            if let Some((name, id)) = entries.next() {
                let path = dir.join(name);
                return Some(self.entry(path, *id));
            }
            self.stack.pop();
        }
    }
}
