//! A directory's listing: entries in runs with a common header, and an index by which the kernel
//! finds the metadata block of a name without reading those before it.

use super::fits_u32;
use super::format::{
    DirectoryEntry, DirectoryHeader, FileType, IndexEntry, METADATA_BYTES, MetadataRef,
};
use super::metadata::block_start;
use crate::Error;

/// An entry of a directory whose inode is written already.
#[derive(Debug)]
pub(super) struct Child<'a> {
    pub(super) name: &'a [u8],
    pub(super) inode: MetadataRef,
    pub(super) inode_number: u32,
    pub(super) file_type: FileType,
}

/// The bytes of a listing.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) bytes: Vec<u8>,
    /// Empty where one metadata block could hold the listing.
    pub(super) index: Vec<IndexEntry>,
}

/// Builds the listing that starts at byte `start` of the directory table. `children` are sorted
/// by the bytes of their names.
pub(super) fn listing<'a>(
    start: u64,
    children: impl Iterator<Item = Child<'a>>,
) -> Result<Listing, Error> {
    let mut builder = Builder { start, bytes: Vec::new(), index: Vec::new(), run: None };
    children.into_iter().try_for_each(|child| builder.push(&child))?;
    fits_u32("a directory", builder.bytes.len() as u64 + 3, "bytes")?;
    Ok(Listing { index: useful(builder.bytes.len(), builder.index), bytes: builder.bytes })
}

/// A listing that is being built.
struct Builder {
    start: u64,
    bytes: Vec<u8>,
    index: Vec<IndexEntry>,
    run: Option<Run>,
}

/// The current header.
struct Run {
    header: DirectoryHeader,
    /// Its offset in the listing.
    at: usize,
    /// The metadata block of the directory table that it starts in.
    block: u64,
}

impl Run {
    fn accepts(&self, child: &Child<'_>, block: u64) -> bool {
        self.header.count < DirectoryHeader::MAX_COUNT
            && self.header.start_block == child.inode.block
            && self.block == block
            && self.delta(child).is_some()
    }

    fn delta(&self, child: &Child<'_>) -> Option<i16> {
        let delta = i64::from(child.inode_number) - i64::from(self.header.inode_number);
        i16::try_from(delta).ok()
    }
}

impl Builder {
    fn push(&mut self, child: &Child<'_>) -> Result<(), Error> {
        let block = (self.start + self.bytes.len() as u64) / METADATA_BYTES as u64;
        let mut run = match self.run.take() {
            Some(run) if run.accepts(child, block) => run,
            last => self.begin_run(child, block, last.map(|run| run.block))?,
        };
        run.header.count += 1;
        let entry = DirectoryEntry {
            offset: child.inode.offset,
            inode_number: run.delta(child).expect("a run accepts only what is near"),
            file_type: child.file_type,
            name: child.name,
        };
        self.bytes.extend(entry.encode());
        let header = run.header.encode();
        self.bytes[run.at..][..header.len()].copy_from_slice(&header);
        self.run = Some(run);
        Ok(())
    }

    /// Makes room for a header. The first one in a metadata block gets an index entry.
    fn begin_run(
        &mut self,
        child: &Child<'_>,
        block: u64,
        last_block: Option<u64>,
    ) -> Result<Run, Error> {
        let at = self.bytes.len();
        if last_block.is_some_and(|last| last != block) {
            self.index.push(IndexEntry {
                index: fits_u32("a directory", at as u64, "bytes")?,
                start_block: fits_u32(
                    "the table of directories",
                    block_start(self.start + at as u64),
                    "bytes",
                )?,
                name: child.name.into(),
            });
        }
        self.bytes.resize(at + DirectoryHeader::BYTES, 0);
        let (start_block, inode_number) = (child.inode.block, child.inode_number);
        let header = DirectoryHeader { count: 0, start_block, inode_number };
        Ok(Run { header, at, block })
    }
}

/// The index without what does not help: all of it for a short listing that happens to lie across
/// two blocks; and so many entries as exceed the inode's 16 bits for their number.
fn useful(listing_bytes: usize, index: Vec<IndexEntry>) -> Vec<IndexEntry> {
    if listing_bytes <= METADATA_BYTES {
        return Vec::new();
    }
    let step = index.len().div_ceil(usize::from(u16::MAX)).max(1);
    index.into_iter().step_by(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: u32 = 20_000;

    fn big(start: u64, count: u32) -> (Vec<String>, Listing) {
        let names: Vec<String> = (0..count).map(|i| format!("name-{i:05}")).collect();
        let children = names.iter().zip(0..).map(|(name, i)| Child {
            name: name.as_bytes(),
            inode: MetadataRef { block: i / 256 * 8194, offset: (i % 256 * 32) as u16 },
            inode_number: i + 1,
            file_type: FileType::Regular,
        });
        let listing = listing(start, children).unwrap();
        (names, listing)
    }

    fn number(bytes: &[u8]) -> u32 {
        u32::from_le_bytes(bytes[..4].try_into().unwrap())
    }

    /// The names of a listing and the offsets of its headers, as the kernel reads them.
    fn read(bytes: &[u8]) -> Vec<(usize, String)> {
        let (mut names, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let (header, count) = (at, number(&bytes[at..]) + 1);
            assert!(count <= 256);
            at += 12;
            for _ in 0..count {
                let len = usize::from(u16::from_le_bytes([bytes[at + 6], bytes[at + 7]])) + 1;
                let name = String::from_utf8(bytes[at + 8..][..len].to_vec()).unwrap();
                names.push((header, name));
                at += 8 + len;
            }
        }
        names
    }

    #[test]
    fn the_index_leads_to_every_metadata_block() {
        for start in [0, 5, 8185, 8192 + 8191] {
            let (names, listing) = big(start, NAMES);
            let read = read(&listing.bytes);
            assert!(read.iter().map(|(_, name)| name).eq(&names));
            let blocks = (start + listing.bytes.len() as u64) / 8192 - start / 8192;
            assert!(listing.index.len() as u64 >= blocks - 1, "{start}");
            for entry in &listing.index {
                let name = String::from_utf8(entry.name.to_vec()).unwrap();
                let first = read.iter().find(|(header, _)| *header == entry.index as usize);
                assert_eq!(first.unwrap().1, name);
                let block = (start + u64::from(entry.index)) / 8192;
                assert_eq!(u64::from(entry.start_block), block * 8194);
            }
        }
    }

    #[test]
    fn short_listings_have_no_index() {
        for start in [0, 8192 - 20, 8192] {
            assert!(big(start, 100).1.index.is_empty());
        }
    }

    #[test]
    fn far_inode_numbers_begin_a_new_run() {
        let child = |name, inode_number| Child {
            name,
            inode: MetadataRef::default(),
            inode_number,
            file_type: FileType::Fifo,
        };
        for (second, headers) in
            [(100_000 + 32_767, 1), (100_000 + 32_768, 2), (67_232, 1), (67_231, 2)]
        {
            let children = [child(b"a", 100_000), child(b"b", second)];
            let listing = listing(0, children.into_iter()).unwrap();
            assert_eq!(listing.bytes.len(), 2 * 9 + headers * 12, "{second}");
        }
    }
}
