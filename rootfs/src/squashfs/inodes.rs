//! The tables of inodes and directories.
//!
//! Inodes lie directory by directory, each directory's own after those of its files: to list or
//! search a directory touches few metadata blocks. What is in a directory comes before it, as a
//! listing refers to inodes by their places.

use super::data::FileData;
use super::fits_u32;
use super::format::{Inode, InodeBody, InodeHeader, MetadataRef};
use super::listing::{Child, listing};
use super::metadata::MetadataTable;
use super::nodes::{Body, Directory, Node, NodeId, Nodes};
use crate::Error;

/// The tables that describe all nodes.
#[derive(Debug)]
pub(super) struct InodeTables {
    pub(super) inodes: MetadataTable,
    pub(super) directories: MetadataTable,
    /// Where each inode is, by number, for file handles of the kernel (`squashfs_export_iget`).
    pub(super) lookup: MetadataTable,
    pub(super) root: MetadataRef,
    pub(super) count: u32,
}

/// Builds the tables.
pub(super) fn inode_tables(nodes: &Nodes) -> Result<InodeTables, Error> {
    let count = fits_u32("the number of inodes", nodes.len() as u64, "inodes")?;
    let order = order(nodes);
    let mut numbers = vec![0; nodes.len()];
    for (number, id) in (1..).zip(&order) {
        numbers[id.index()] = number;
    }
    let mut builder = Builder {
        nodes,
        numbers,
        places: vec![MetadataRef::default(); nodes.len()],
        inodes: MetadataTable::default(),
        directories: MetadataTable::default(),
        lookup: MetadataTable::default(),
    };
    order.iter().try_for_each(|id| builder.add(*id))?;
    let root = builder.places[NodeId::ROOT.index()];
    let Builder { inodes, directories, lookup, .. } = builder;
    Ok(InodeTables { inodes, directories, lookup, root, count })
}

/// The order of inodes in the table and of their numbers. Entries of a directory get neighbouring
/// numbers, so that they can share a header.
fn order(nodes: &Nodes) -> Vec<NodeId> {
    let mut order = Vec::with_capacity(nodes.len());
    let mut placed = vec![false; nodes.len()];
    for (id, directory) in nodes.directories_bottom_up() {
        for entry in directory.entries.values() {
            // A directory has its place already, as has a file with another name elsewhere.
            if !std::mem::replace(&mut placed[entry.index()], true) {
                order.push(*entry);
            }
        }
        placed[id.index()] = true;
        order.push(id);
    }
    order
}

struct Builder<'a> {
    nodes: &'a Nodes,
    numbers: Vec<u32>,
    places: Vec<MetadataRef>,
    inodes: MetadataTable,
    directories: MetadataTable,
    lookup: MetadataTable,
}

impl Builder<'_> {
    fn add(&mut self, id: NodeId) -> Result<(), Error> {
        let node = self.nodes.get(id);
        let inode = match &node.body {
            Body::Directory(directory) => self.directory(id, node, directory)?,
            Body::Regular(data) => self.inode(id, node, regular(data)),
            Body::Symlink(target) => self.inode(id, node, InodeBody::Symlink(target)),
            Body::Device(number) => self.inode(id, node, InodeBody::Device(*number)),
            Body::Ipc => self.inode(id, node, InodeBody::Ipc),
        };
        let place = self.inodes.end("the table of inodes")?;
        self.places[id.index()] = place;
        self.inodes.push(&inode);
        self.lookup.push(&place.packed().to_le_bytes());
        Ok(())
    }

    fn directory(&mut self, id: NodeId, node: &Node, this: &Directory) -> Result<Vec<u8>, Error> {
        let children = this.entries.iter().map(|(name, id)| self.child(name, *id));
        let listing = listing(self.directories.len(), children)?;
        let body = InodeBody::Directory {
            listing: self.directories.end("the table of directories")?,
            file_size: listing.bytes.len() as u32 + 3,
            parent_inode: self.parent_number(id, this),
            index: &listing.index,
        };
        let inode = self.inode(id, node, body);
        self.directories.push(&listing.bytes);
        Ok(inode)
    }

    fn child<'b>(&self, name: &'b [u8], id: NodeId) -> Child<'b> {
        Child {
            name,
            inode: self.places[id.index()],
            inode_number: self.numbers[id.index()],
            file_type: self.nodes.get(id).file_type,
        }
    }

    /// Above the root is nothing, which the format says with a number that no inode has.
    fn parent_number(&self, id: NodeId, directory: &Directory) -> u32 {
        match id {
            NodeId::ROOT => self.numbers.len() as u32 + 1,
            _ => self.numbers[directory.parent.index()],
        }
    }

    fn inode(&self, id: NodeId, node: &Node, body: InodeBody<'_>) -> Vec<u8> {
        let attributes = &node.attributes;
        let header = InodeHeader {
            mode: attributes.mode,
            uid: attributes.uid,
            guid: attributes.gid,
            mtime: attributes.mtime,
            inode_number: self.numbers[id.index()],
        };
        let (file_type, nlink, xattr) = (node.file_type, node.nlink, attributes.xattr);
        Inode { file_type, header, nlink, xattr, body }.encode()
    }
}

fn regular(data: &FileData) -> InodeBody<'_> {
    InodeBody::Regular {
        start_block: data.start,
        file_size: data.len,
        sparse: data.sparse,
        fragment: data.fragment,
        block_list: &data.blocks,
    }
}
