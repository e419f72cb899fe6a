//! What is common to all places that file data can go: how files are cut into blocks, and the
//! fragments that short files share.

use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use super::fits_u32;
use super::format::{BLOCK_BYTES, FragmentEntry};
use super::metadata::MetadataTable;
use crate::limits::MAX_DATA_BLOCKS;
use crate::{Content, Error, holes};

/// Takes the data of files, in the order of the image.
pub(super) trait DataSink {
    /// Stores the file at `path`. One shorter than a block goes into a fragment, where the guest
    /// reads it together with its neighbours; the end of a longer one is a short block.
    fn file(&mut self, path: &Path, content: &Content) -> Result<FileData, Error>;

    /// Completes the data.
    fn finish(&mut self) -> Result<DataEnd, Error>;
}

/// Where a file's bytes are.
#[derive(Clone, Debug)]
pub(super) struct FileData {
    /// The first block, in bytes from the image's start.
    pub(super) start: u64,
    /// Length of the file.
    pub(super) len: u64,
    /// Bytes in holes.
    pub(super) sparse: u64,
    /// Lengths of the blocks as the format has them.
    pub(super) blocks: Rc<[u32]>,
    /// Number of the fragment that holds all of a short file, and the offset in it.
    pub(super) fragment: Option<(u32, u32)>,
}

/// What the tables need to know of the data.
#[derive(Debug)]
pub(super) struct DataEnd {
    /// Where the data ends, in bytes from the image's start.
    pub(super) position: u64,
    pub(super) fragments: u32,
    pub(super) fragment_table: MetadataTable,
}

/// Whether a file of `len` bytes lies in a fragment.
pub(super) fn is_short(len: u64) -> bool {
    len < BLOCK_BYTES as u64
}

/// The blocks of a file, the last of which may be short.
pub(super) fn blocks(len: u64) -> impl Iterator<Item = Range<u64>> {
    holes::blocks(len, BLOCK_BYTES as u64)
}

/// Counts the blocks of all files, holes included, against the cap.
#[derive(Debug, Default)]
pub(super) struct BlockCount(u64);

impl BlockCount {
    pub(super) fn add(&mut self, path: &Path, len: u64) -> Result<(), Error> {
        self.0 = self.0.saturating_add(len.div_ceil(BLOCK_BYTES as u64));
        if self.0 > MAX_DATA_BLOCKS {
            let what = format!("with `{}`, the data of all files, holes included,", path.display());
            return Err(Error::TooLarge { what, limit: MAX_DATA_BLOCKS as usize, unit: "blocks" });
        }
        Ok(())
    }
}

/// The table of fragments and how full the current one is.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    count: u32,
    fill: usize,
    table: MetadataTable,
}

impl Fragments {
    /// Whether the current fragment must be written before `len` more bytes.
    pub(super) fn is_full(&self, len: usize) -> bool {
        self.fill + len > BLOCK_BYTES
    }

    /// Bytes in the current fragment.
    pub(super) fn fill(&self) -> usize {
        self.fill
    }

    /// Takes `len` bytes, for which there is room; says where they are. Nothing is nowhere.
    pub(super) fn take(&mut self, len: usize) -> Option<(u32, u32)> {
        let place = (self.count, self.fill as u32);
        self.fill += len;
        (len > 0).then_some(place)
    }

    /// The current fragment lies from byte `start` of the image on; what follows is the next one.
    pub(super) fn end(&mut self, start: u64) -> Result<(), Error> {
        self.table.push(&FragmentEntry { start, len: self.fill }.encode());
        let count = u64::from(self.count) + 1;
        self.count = fits_u32("the number of fragments", count, "fragments")?;
        self.fill = 0;
        Ok(())
    }

    /// What the tables need to know, once all is written and the data ends at `position`.
    pub(super) fn finish(&mut self, position: u64) -> DataEnd {
        let fragment_table = std::mem::take(&mut self.table);
        DataEnd { position, fragments: self.count, fragment_table }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_cut_into_blocks() {
        let block = BLOCK_BYTES as u64;
        for (len, last) in [
            (1, 0..1),
            (block, 0..block),
            (block + 1, block..block + 1),
            (3 * block - 1, 2 * block..3 * block - 1),
        ] {
            assert_eq!(blocks(len).last(), Some(last), "{len}");
        }
        assert_eq!(blocks(0).count(), 0);
    }
}
