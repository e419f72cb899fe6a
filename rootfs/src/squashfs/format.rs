//! Squashfs 4.0 as it lies on disk: constants, structures and their bytes, nothing else. All
//! numbers are little endian, all structures packed. The format has no specification; what counts
//! is `fs/squashfs` of Linux, whose names are used here.

mod directory;
mod inode;

pub(super) use directory::{DirectoryEntry, DirectoryHeader, IndexEntry};
pub(super) use inode::{FileType, Inode, InodeBody, InodeHeader};

/// Bytes of a data block. The guest reads and copies whole blocks, and a start touches scattered
/// small files: large blocks read in vain. Below this, the cost of a request to the disk outweighs
/// the copying.
pub(super) const BLOCK_BYTES: usize = 1 << BLOCK_LOG;
const BLOCK_LOG: u16 = 16;

/// Bytes of a full metadata block without its two bytes of header.
pub(super) const METADATA_BYTES: usize = 8192;

/// Set in the header of a metadata block that is not compressed.
pub(super) const METADATA_STORED: u16 = 1 << 15;

/// Set in the length of a data or fragment block that is not compressed.
const DATA_STORED: u32 = 1 << 24;

/// The length of a block of zeros, which takes no space.
pub(super) const HOLE: u32 = 0;

/// "No fragment" and "no extended attributes" in an inode.
const NONE: u32 = u32::MAX;

/// The start of a table that does not exist.
pub(super) const NO_TABLE: u64 = u64::MAX;

/// Longest name in a directory. Linux' `NAME_MAX` is one less.
pub(super) const NAME_BYTES: usize = 256;

/// Distinct user and group numbers. Indexes of 16 bits allow one more, their count in the
/// superblock does not.
pub(super) const MAX_IDS: usize = u16::MAX as usize;

/// The length field of a block with `len` bytes, which are stored as they are.
pub(super) fn stored(len: usize) -> u32 {
    u32::try_from(len).expect("blocks have at most 64 KiB") | DATA_STORED
}

/// Appends numbers as the format has them.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<u8>);

impl Fields {
    pub(super) fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Where something is in a table of metadata blocks: where its block starts, counted on disk from
/// the table's start, and its offset in that block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MetadataRef {
    pub(super) block: u32,
    pub(super) offset: u16,
}

impl MetadataRef {
    /// Both in one number, as other tables refer to it.
    pub(super) fn packed(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }
}

/// `struct squashfs_super_block`. Fields that are the same in all our images are not in it.
#[derive(Debug)]
pub(super) struct Superblock {
    pub(super) inodes: u32,
    pub(super) fragments: u32,
    pub(super) ids: u16,
    pub(super) root_inode: MetadataRef,
    pub(super) bytes_used: u64,
    pub(super) id_table_start: u64,
    pub(super) xattr_id_table_start: u64,
    pub(super) inode_table_start: u64,
    pub(super) directory_table_start: u64,
    pub(super) fragment_table_start: u64,
    pub(super) lookup_table_start: u64,
}

impl Superblock {
    /// Where the data starts.
    pub(super) const BYTES: usize = 96;

    const MAGIC: u32 = 0x7371_7368;
    const MAJOR: u16 = 4;
    const MINOR: u16 = 0;
    /// Every kernel accepts it, and no block uses it.
    const ZLIB_COMPRESSION: u16 = 1;

    const UNCOMPRESSED_INODES: u16 = 1 << 0;
    const UNCOMPRESSED_DATA: u16 = 1 << 1;
    const UNCOMPRESSED_FRAGMENTS: u16 = 1 << 3;
    const DUPLICATES_REMOVED: u16 = 1 << 6;
    const EXPORTABLE: u16 = 1 << 7;
    const UNCOMPRESSED_XATTRS: u16 = 1 << 8;
    const NO_XATTRS: u16 = 1 << 9;
    const UNCOMPRESSED_IDS: u16 = 1 << 11;

    pub(super) fn encode(&self) -> Vec<u8> {
        Fields::default()
            .u32(Self::MAGIC)
            .u32(self.inodes)
            .u32(0) // mkfs_time: nothing that depends on when it was made
            .u32(BLOCK_BYTES as u32)
            .u32(self.fragments)
            .u16(Self::ZLIB_COMPRESSION)
            .u16(BLOCK_LOG)
            .u16(self.flags())
            .u16(self.ids)
            .u16(Self::MAJOR)
            .u16(Self::MINOR)
            .u64(self.root_inode.packed())
            .u64(self.bytes_used)
            .u64(self.id_table_start)
            .u64(self.xattr_id_table_start)
            .u64(self.inode_table_start)
            .u64(self.directory_table_start)
            .u64(self.fragment_table_start)
            .u64(self.lookup_table_start)
            .done()
    }

    /// For tools: kernels obey the mark on each block instead.
    fn flags(&self) -> u16 {
        let xattrs = match self.xattr_id_table_start {
            NO_TABLE => Self::NO_XATTRS,
            _ => 0,
        };
        xattrs
            | Self::UNCOMPRESSED_INODES
            | Self::UNCOMPRESSED_DATA
            | Self::UNCOMPRESSED_FRAGMENTS
            | Self::DUPLICATES_REMOVED
            | Self::EXPORTABLE
            | Self::UNCOMPRESSED_XATTRS
            | Self::UNCOMPRESSED_IDS
    }
}

/// `struct squashfs_fragment_entry`: a block that several files share.
#[derive(Clone, Copy, Debug)]
pub(super) struct FragmentEntry {
    /// Bytes from the image's start.
    pub(super) start: u64,
    pub(super) len: usize,
}

impl FragmentEntry {
    pub(super) fn encode(&self) -> Vec<u8> {
        Fields::default().u64(self.start).u32(stored(self.len)).u32(0).done()
    }
}

/// `struct squashfs_xattr_id`: a set of extended attributes that inodes share.
#[derive(Clone, Copy, Debug)]
pub(super) struct XattrId {
    /// Its first attribute.
    pub(super) xattr: MetadataRef,
    pub(super) count: u32,
    /// Bytes of all names in full with a zero after each, and of all values, as `mksquashfs` counts.
    pub(super) size: u32,
}

impl XattrId {
    pub(super) fn encode(&self) -> Vec<u8> {
        Fields::default().u64(self.xattr.packed()).u32(self.count).u32(self.size).done()
    }
}

/// The head of the extended attributes' lookup table, `struct squashfs_xattr_id_table`.
#[derive(Debug)]
pub(super) struct XattrIdTable {
    /// Where the attributes themselves start, in bytes from the image's start.
    pub(super) xattr_table_start: u64,
    pub(super) xattr_ids: u32,
}

impl XattrIdTable {
    pub(super) fn encode(&self) -> Vec<u8> {
        Fields::default().u64(self.xattr_table_start).u32(self.xattr_ids).u32(0).done()
    }
}

/// Name spaces of extended attributes, by their numbers on disk. There are no others.
pub(super) const XATTR_PREFIXES: [(u16, &[u8]); 3] =
    [(0, b"user."), (1, b"trusted."), (2, b"security.")];

/// `struct squashfs_xattr_entry` and `squashfs_xattr_val`: one attribute. `name` is without its
/// prefix.
pub(super) fn encode_xattr(prefix: u16, name: &[u8], value: &[u8]) -> Vec<u8> {
    let name_len = u16::try_from(name.len()).expect("names have at most 255 bytes");
    let value_len = u32::try_from(value.len()).expect("values have at most 64 KiB");
    Fields::default().u16(prefix).u16(name_len).bytes(name).u32(value_len).bytes(value).done()
}

#[cfg(test)]
mod tests;
