//! Sparse files: GNU's old header (type `S`) and the three PAX formats of GNU tar's manual,
//! appendix "Storing Sparse Files".

use std::ops::Range;

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::pax::{Pax, decimal};
use super::{BLOCK, TarData, TarEntries};
use crate::Error;
use crate::limits::{MAX_SPARSE_EXTENTS, MAX_TAR_META_BYTES};

/// A stored part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts in the file, in bytes.
    pub file_offset: u64,
    /// Where it starts in the archive, in bytes.
    pub blob_offset: u64,
    /// Its length in bytes, never zero.
    pub len: u64,
}

/// Offset in the file and length of each stored part.
type Map = Vec<(u64, u64)>;

impl TarEntries {
    /// The map of an old GNU sparse header and the blocks that continue it, and the file's length.
    pub(super) fn gnu_sparse_map(&mut self, at: u64, header: &Header) -> Result<(Map, u64), Error> {
        let gnu = header.as_gnu().ok_or_else(|| self.error(at, "sparse, but not a GNU header"))?;
        let len = gnu.real_size().map_err(|_| self.error(at, "unreadable real size"))?;
        let mut map = Map::new();
        self.push_gnu(at, &gnu.sparse, &mut map)?;
        let mut extended = gnu.is_extended();
        while extended {
            let mut block = GnuExtSparseHeader::new();
            self.read_at(block.as_mut_bytes(), self.position, at)?;
            self.position += BLOCK;
            self.push_gnu(at, block.sparse(), &mut map)?;
            extended = block.is_extended();
        }
        Ok((map, len))
    }

    fn push_gnu(&self, at: u64, parts: &[GnuSparseHeader], map: &mut Map) -> Result<(), Error> {
        for part in parts.iter().filter(|part| !part.is_empty()) {
            let numbers = part.offset().and_then(|offset| Ok((offset, part.length()?)));
            map.push(numbers.map_err(|_| self.error(at, "unreadable sparse map"))?);
        }
        if map.len() > MAX_SPARSE_EXTENTS {
            return Err(self.too_many_extents(at));
        }
        Ok(())
    }

    /// The map of a PAX sparse file, its length and where its data starts, or `None` for an
    /// ordinary file.
    pub(super) fn pax_sparse_map(
        &self,
        at: u64,
        pax: &Pax,
        stored: &Range<u64>,
    ) -> Result<Option<(Map, u64, Range<u64>)>, Error> {
        let sparse = &pax.sparse;
        let in_data = sparse.major == Some(1) && sparse.minor == Some(0);
        if !in_data && sparse.map.is_empty() {
            return Ok(None);
        }
        let len = sparse.real_size.ok_or_else(|| self.error(at, "sparse without a real size"))?;
        let (numbers, data) = match in_data {
            true => self.map_in_data(at, stored)?,
            false => (sparse.map.clone(), stored.clone()),
        };
        if !numbers.len().is_multiple_of(2) {
            return Err(self.error(at, "a sparse map of an odd length"));
        }
        Ok(Some((numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect(), len, data)))
    }

    /// Format 1.0: decimal lines at the start of the data, first their count, padded to a block.
    fn map_in_data(&self, at: u64, stored: &Range<u64>) -> Result<(Vec<u64>, Range<u64>), Error> {
        let malformed = || self.error(at, "unreadable sparse map");
        let mut head = vec![0; (stored.end - stored.start).min(MAX_TAR_META_BYTES) as usize];
        self.read_at(&mut head, stored.start, at)?;
        let mut lines = head.split_inclusive(|byte| *byte == b'\n');
        let mut used = 0;
        let mut next = || {
            let line = lines.next()?;
            used += line.len() as u64;
            decimal(line.strip_suffix(b"\n")?)
        };
        let count = next().ok_or_else(malformed)?;
        if count > MAX_SPARSE_EXTENTS as u64 {
            return Err(self.too_many_extents(at));
        }
        let numbers: Option<Vec<u64>> = (0..2 * count).map(|_| next()).collect();
        let numbers = numbers.ok_or_else(malformed)?;
        let start = stored.start + used.next_multiple_of(BLOCK);
        if start > stored.end {
            return Err(malformed());
        }
        Ok((numbers, start..stored.end))
    }

    /// Lays the parts of `map` onto the stored bytes `data`, which hold them back to back.
    pub(super) fn place(
        &self,
        at: u64,
        map: Map,
        len: u64,
        data: Range<u64>,
    ) -> Result<TarData, Error> {
        let mut extents = Vec::new();
        let (mut file_end, mut blob_offset) = (0, data.start);
        for (file_offset, part_len) in map {
            let part_end = file_offset.checked_add(part_len).filter(|end| *end <= len);
            let blob_end = blob_offset.checked_add(part_len).filter(|end| *end <= data.end);
            let (Some(part_end), Some(blob_end), true) =
                (part_end, blob_end, file_offset >= file_end)
            else {
                return Err(self.error(at, "a sparse map with overlaps or beyond the file's end"));
            };
            if part_len > 0 {
                extents.push(Extent { file_offset, blob_offset, len: part_len });
            }
            (file_end, blob_offset) = (part_end, blob_end);
        }
        if blob_offset != data.end {
            return Err(self.error(at, "a sparse map that does not cover the stored data"));
        }
        Ok(TarData { len, extents })
    }

    fn too_many_extents(&self, at: u64) -> Error {
        let what = format!("{}: the sparse map at byte {at}", self.what);
        Error::TooLarge { what, limit: MAX_SPARSE_EXTENTS as u64, unit: "extents" }
    }
}
