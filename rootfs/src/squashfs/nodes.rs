//! What the image will hold. Inodes are written last: before that, nobody knows how many names a
//! file will have.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::data::FileData;
use super::fits_u32;
use super::format::{FileType, NAME_BYTES};
use crate::Error;
use crate::node::check_len;

/// A node's place in the list of them. A directory's is lower than those of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(u32);

impl NodeId {
    pub(super) const ROOT: Self = Self(0);

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Metadata as an inode has it.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    pub(super) mode: u16,
    pub(super) uid: u16,
    pub(super) gid: u16,
    pub(super) mtime: u32,
    pub(super) xattr: Option<u32>,
}

/// A node with all its names.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) attributes: Attributes,
    pub(super) nlink: u32,
    pub(super) file_type: FileType,
    pub(super) body: Body,
}

/// What a node has depending on its type.
#[derive(Debug)]
pub(super) enum Body {
    Directory(Directory),
    Regular(FileData),
    Symlink(Box<[u8]>),
    /// A device's number as the kernel packs it.
    Device(u32),
    Ipc,
}

/// A directory's entries and the directory above, which for the root is itself.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) entries: BTreeMap<Box<[u8]>, NodeId>,
    pub(super) parent: NodeId,
}

/// All nodes, the root directory first.
#[derive(Debug)]
pub(super) struct Nodes(Vec<Node>);

impl Nodes {
    /// An empty root directory.
    pub(super) fn new(root: Attributes) -> Self {
        Self(vec![directory(root, NodeId::ROOT)])
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, id: NodeId) -> &Node {
        &self.0[id.index()]
    }

    /// Every directory after those in it.
    pub(super) fn directories_bottom_up(&self) -> impl Iterator<Item = (NodeId, &Directory)> {
        self.0.iter().enumerate().rev().filter_map(|(index, node)| match &node.body {
            Body::Directory(directory) => Some((NodeId(index as u32), directory)),
            _ => None,
        })
    }

    pub(super) fn set_root(&mut self, attributes: Attributes) {
        self.0[0].attributes = attributes;
    }

    pub(super) fn add_directory(
        &mut self,
        path: &Path,
        attributes: Attributes,
    ) -> Result<(), Error> {
        let parent = self.parent(path)?;
        self.put(path, parent, directory(attributes, parent))?;
        // Its `..`.
        self.0[parent.index()].nlink += 1;
        Ok(())
    }

    pub(super) fn add(
        &mut self,
        path: &Path,
        attributes: Attributes,
        file_type: FileType,
        body: Body,
    ) -> Result<(), Error> {
        let parent = self.parent(path)?;
        self.put(path, parent, Node { attributes, nlink: 1, file_type, body })
    }

    /// Gives what is at `existing` the further name `path`.
    pub(super) fn link(&mut self, path: &Path, existing: &Path) -> Result<(), Error> {
        let id = self.resolve(existing)?;
        if matches!(self.get(id).body, Body::Directory(_)) {
            return Err(Error::LinkToDirectory(existing.to_owned()));
        }
        let parent = self.parent(path)?;
        self.name(path, parent, id)?;
        self.0[id.index()].nlink += 1;
        Ok(())
    }

    fn put(&mut self, path: &Path, parent: NodeId, node: Node) -> Result<(), Error> {
        // Numbers go from 1 to the count, and 2^32 - 1 must be left for the root's `..`.
        fits_u32("the number of inodes", self.len() as u64 + 2, "inodes")?;
        let id = NodeId(self.len() as u32);
        self.0.push(node);
        self.name(path, parent, id)
    }

    fn name(&mut self, path: &Path, parent: NodeId, id: NodeId) -> Result<(), Error> {
        let name = path.file_name().ok_or_else(|| Error::NoName(path.to_owned()))?.as_bytes();
        check_len("a name", name.len(), NAME_BYTES)?;
        match &mut self.0[parent.index()].body {
            Body::Directory(directory) => directory.entries.insert(name.into(), id),
            _ => return Err(Error::NotADirectory(path.to_owned())),
        };
        Ok(())
    }

    fn parent(&self, path: &Path) -> Result<NodeId, Error> {
        self.resolve(path.parent().ok_or_else(|| Error::NoName(path.to_owned()))?)
    }

    /// The node at `path`, which goes through no symbolic links.
    fn resolve(&self, path: &Path) -> Result<NodeId, Error> {
        let mut id = NodeId::ROOT;
        for component in path.components() {
            let Component::Normal(name) = component else { continue };
            let Body::Directory(directory) = &self.get(id).body else {
                return Err(Error::NotADirectory(path.to_owned()));
            };
            let found = directory.entries.get(name.as_bytes());
            id = *found.ok_or_else(|| Error::NotFound(path.to_owned()))?;
        }
        Ok(id)
    }
}

/// An empty directory: its name and its `.` make two links.
fn directory(attributes: Attributes, parent: NodeId) -> Node {
    let body = Body::Directory(Directory { entries: BTreeMap::new(), parent });
    Node { attributes, nlink: 2, file_type: FileType::Directory, body }
}
