//! Directory listings and the index of large ones.

use super::{Fields, FileType};

/// `struct squashfs_dir_header`: what a run of entries has in common.
#[derive(Debug)]
pub(in super::super) struct DirectoryHeader {
    pub(in super::super) count: u32,
    /// The metadata block that all inodes of the run start in.
    pub(in super::super) start_block: u32,
    /// What the entries' inode numbers are relative to.
    pub(in super::super) inode_number: u32,
}

impl DirectoryHeader {
    pub(in super::super) const BYTES: usize = 12;
    /// Entries under one header.
    pub(in super::super) const MAX_COUNT: u32 = 256;

    pub(in super::super) fn encode(&self) -> Vec<u8> {
        Fields::default().u32(self.count - 1).u32(self.start_block).u32(self.inode_number).done()
    }
}

/// `struct squashfs_dir_entry`.
#[derive(Debug)]
pub(in super::super) struct DirectoryEntry<'a> {
    /// The inode's offset in its metadata block.
    pub(in super::super) offset: u16,
    /// Its number, relative to the header's.
    pub(in super::super) inode_number: i16,
    pub(in super::super) file_type: FileType,
    pub(in super::super) name: &'a [u8],
}

impl DirectoryEntry<'_> {
    pub(in super::super) fn encode(&self) -> Vec<u8> {
        Fields::default()
            .u16(self.offset)
            .bytes(&self.inode_number.to_le_bytes())
            .u16(self.file_type as u16)
            .u16(self.name.len() as u16 - 1)
            .bytes(self.name)
            .done()
    }
}

/// `struct squashfs_dir_index`: where in the listing a metadata block starts, and with which name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct IndexEntry {
    /// Bytes from the listing's start to a header.
    pub(in super::super) index: u32,
    /// The metadata block that the header starts in, as in [`super::MetadataRef`].
    pub(in super::super) start_block: u32,
    /// The first name after that header.
    pub(in super::super) name: Box<[u8]>,
}

impl IndexEntry {
    pub(super) fn encode(&self) -> Vec<u8> {
        Fields::default()
            .u32(self.index)
            .u32(self.start_block)
            .u32(self.name.len() as u32 - 1)
            .bytes(&self.name)
            .done()
    }
}
