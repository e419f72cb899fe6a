//! Metadata blocks: tables of 8 KiB blocks, and the lookup tables that list where blocks are.

use super::fits_u32;
use super::format::{METADATA_BYTES, METADATA_STORED, MetadataRef};
use crate::Error;

/// Bytes of a full block on disk.
const STORED_BYTES: u64 = METADATA_BYTES as u64 + 2;

/// A table of metadata blocks, collected in memory. As the blocks are not compressed, places in it
/// are known at once.
#[derive(Debug, Default)]
pub(super) struct MetadataTable(Vec<u8>);

impl MetadataTable {
    /// Bytes collected.
    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Where the next byte will be. `what` names the table if it is too large for that.
    pub(super) fn end(&self, what: &str) -> Result<MetadataRef, Error> {
        Ok(MetadataRef {
            block: fits_u32(what, block_start(self.len()), "bytes")?,
            offset: (self.0.len() % METADATA_BYTES) as u16,
        })
    }
}

/// Where the block with byte `position` of a table starts, on disk from the table's start.
pub(super) fn block_start(position: u64) -> u64 {
    position / METADATA_BYTES as u64 * STORED_BYTES
}

/// Collects tables as they lie in the image, one after another.
#[derive(Debug)]
pub(super) struct TableWriter {
    start: u64,
    bytes: Vec<u8>,
}

impl TableWriter {
    /// Tables that lie from byte `start` of the image on.
    pub(super) fn new(start: u64) -> Self {
        Self { start, bytes: Vec::new() }
    }

    /// Bytes from the image's start.
    pub(super) fn position(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Adds the table's blocks and returns where each starts.
    pub(super) fn blocks(&mut self, table: &MetadataTable) -> Vec<u64> {
        let mut starts = Vec::new();
        for block in table.0.chunks(METADATA_BYTES) {
            starts.push(self.position());
            self.bytes.extend_from_slice(&(block.len() as u16 | METADATA_STORED).to_le_bytes());
            self.bytes.extend_from_slice(block);
        }
        starts
    }

    /// Adds the table's blocks and after them `head` and the list of where they start. Returns
    /// where `head` is, which is what the superblock refers to.
    pub(super) fn lookup(&mut self, table: &MetadataTable, head: &[u8]) -> u64 {
        let starts = self.blocks(table);
        let start = self.position();
        self.bytes.extend_from_slice(head);
        starts.iter().for_each(|block| self.bytes.extend_from_slice(&block.to_le_bytes()));
        start
    }

    /// Zeros up to a multiple of `unit` bytes from the image's start.
    pub(super) fn pad(&mut self, unit: u64) {
        let padding = self.position().next_multiple_of(unit) - self.position();
        self.bytes.resize(self.bytes.len() + padding as usize, 0);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_skip_the_headers_of_blocks() {
        let mut table = MetadataTable::default();
        for (len, block, offset) in
            [(0, 0, 0), (1, 0, 1), (8190, 0, 8191), (1, 8194, 0), (8192 + 5, 16_388, 5)]
        {
            table.push(&vec![0; len]);
            assert_eq!(table.end("t").unwrap(), MetadataRef { block, offset }, "{}", table.len());
        }
    }
}
