//! Inodes, each in the smaller of its two forms that can hold it.

use super::{Fields, IndexEntry, MetadataRef, NONE};

/// The numbers of the basic inodes, which directories use for both forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(in super::super) enum FileType {
    Directory = 1,
    Regular = 2,
    Symlink = 3,
    BlockDevice = 4,
    CharDevice = 5,
    Fifo = 6,
    Socket = 7,
}

/// From a basic type to the extended one.
const EXTENDED: u16 = 7;

/// `struct squashfs_base_inode`, without the type.
#[derive(Debug)]
pub(in super::super) struct InodeHeader {
    /// The low 12 bits of `st_mode`: the type says the rest.
    pub(in super::super) mode: u16,
    /// Index of the user's number.
    pub(in super::super) uid: u16,
    /// Index of the group's number.
    pub(in super::super) guid: u16,
    /// Seconds since the epoch.
    pub(in super::super) mtime: u32,
    /// From 1.
    pub(in super::super) inode_number: u32,
}

/// An inode of either form.
#[derive(Debug)]
pub(in super::super) struct Inode<'a> {
    pub(in super::super) file_type: FileType,
    pub(in super::super) header: InodeHeader,
    pub(in super::super) nlink: u32,
    /// Index of the extended attributes.
    pub(in super::super) xattr: Option<u32>,
    pub(in super::super) body: InodeBody<'a>,
}

/// What an inode has depending on its type.
#[derive(Debug)]
pub(in super::super) enum InodeBody<'a> {
    Directory {
        listing: MetadataRef,
        /// Bytes of the listing and 3 more, for `.` and `..`, which it does not contain.
        file_size: u32,
        /// The inode number of the directory above; of the root, one more than there are.
        parent_inode: u32,
        index: &'a [IndexEntry],
    },
    Regular {
        /// Where the first block is, in bytes from the image's start.
        start_block: u64,
        file_size: u64,
        /// Bytes in holes.
        sparse: u64,
        /// Number of the fragment that holds what is in no block, and the offset in it.
        fragment: Option<(u32, u32)>,
        /// Lengths of the blocks.
        block_list: &'a [u32],
    },
    Symlink(&'a [u8]),
    /// A device's number as the kernel packs it.
    Device(u32),
    Ipc,
}

impl Inode<'_> {
    pub(in super::super) fn encode(&self) -> Vec<u8> {
        let extended = self.xattr.is_some() || self.needs_extended();
        let basic_type = self.file_type as u16;
        let fields = Fields::default()
            .u16(if extended { basic_type + EXTENDED } else { basic_type })
            .u16(self.header.mode)
            .u16(self.header.uid)
            .u16(self.header.guid)
            .u32(self.header.mtime)
            .u32(self.header.inode_number);
        let fields = if extended { self.extended(fields) } else { self.basic(fields) };
        fields.done()
    }

    fn needs_extended(&self) -> bool {
        match &self.body {
            InodeBody::Directory { file_size, index, .. } => {
                *file_size > u32::from(u16::MAX) || !index.is_empty()
            }
            InodeBody::Regular { start_block, file_size, sparse, .. } => {
                let wide = *start_block.max(file_size) > u64::from(u32::MAX);
                wide || *sparse > 0 || self.nlink > 1
            }
            _ => false,
        }
    }

    fn basic(&self, fields: Fields) -> Fields {
        match &self.body {
            InodeBody::Directory { listing, file_size, parent_inode, .. } => fields
                .u32(listing.block)
                .u32(self.nlink)
                .u16(*file_size as u16)
                .u16(listing.offset)
                .u32(*parent_inode),
            InodeBody::Regular { start_block, file_size, fragment, block_list, .. } => {
                let (fragment, offset) = fragment.unwrap_or((NONE, 0));
                let fields = fields.u32(*start_block as u32).u32(fragment).u32(offset);
                blocks(fields.u32(*file_size as u32), block_list)
            }
            InodeBody::Symlink(target) => {
                fields.u32(self.nlink).u32(target.len() as u32).bytes(target)
            }
            InodeBody::Device(rdev) => fields.u32(self.nlink).u32(*rdev),
            InodeBody::Ipc => fields.u32(self.nlink),
        }
    }

    fn extended(&self, fields: Fields) -> Fields {
        let xattr = self.xattr.unwrap_or(NONE);
        match &self.body {
            InodeBody::Directory { listing, file_size, parent_inode, index } => {
                let fields = fields
                    .u32(self.nlink)
                    .u32(*file_size)
                    .u32(listing.block)
                    .u32(*parent_inode)
                    .u16(index.len() as u16)
                    .u16(listing.offset)
                    .u32(xattr);
                index.iter().fold(fields, |fields, entry| fields.bytes(&entry.encode()))
            }
            InodeBody::Regular { start_block, file_size, sparse, fragment, block_list } => {
                let (fragment, offset) = fragment.unwrap_or((NONE, 0));
                let fields = fields.u64(*start_block).u64(*file_size).u64(*sparse).u32(self.nlink);
                blocks(fields.u32(fragment).u32(offset).u32(xattr), block_list)
            }
            // The other types differ only in that the attributes' index follows.
            _ => self.basic(fields).u32(xattr),
        }
    }
}

fn blocks(fields: Fields, list: &[u32]) -> Fields {
    list.iter().fold(fields, |fields, len| fields.u32(*len))
}
