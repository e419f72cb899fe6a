//! Where a file has data, and how a tar says so: GNU tar's PAX format 1.0 (its manual, "Storing
//! Sparse Files"), a map in decimal digits before the data.

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::ops::Range;

/// Pieces of data that are told apart; behind them the holes are written out. A program can make a
/// file of nothing but holes, and readers limit their number.
const MAX_PIECES: usize = 10_000;

/// Holes of fewer bytes are not worth a map: small files that were only made longer stay plain.
const MIN_HOLES: u64 = 64 << 10;

/// A file with holes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sparse {
    /// Its length.
    pub(super) len: u64,
    /// Outside of these all bytes are zero.
    pub(super) pieces: Vec<Range<u64>>,
}

impl Sparse {
    /// The holes of `file`, if it has any worth telling. It is at its start afterwards.
    ///
    /// # Errors
    /// If the file system does not say.
    pub(super) fn of(file: &File, len: u64) -> Result<Option<Self>, Errno> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < len {
            let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
                Err(Errno::NXIO) => break,
                start => start?,
            };
            let end = match pieces.len() + 1 < MAX_PIECES {
                true => rustix::fs::seek(file, SeekFrom::Hole(start))?.min(len),
                false => len,
            };
            pieces.push(start..end);
            at = end;
        }
        rustix::fs::seek(file, SeekFrom::Start(0))?;
        let sparse = Self { len, pieces };
        Ok((len - sparse.data_len() >= MIN_HOLES).then_some(sparse))
    }

    /// The map, without what fills its last block. A last piece of no bytes marks the end, for
    /// readers that take the length from there.
    pub(super) fn map(&self) -> Vec<u8> {
        let end = self.len..self.len;
        let has_end = self.pieces.last().is_some_and(|last| last.end == self.len);
        let pieces = || self.pieces.iter().chain((!has_end).then_some(&end));
        let mut map = format!("{}\n", pieces().count());
        for piece in pieces() {
            map += &format!("{}\n{}\n", piece.start, piece.end - piece.start);
        }
        map.into_bytes()
    }

    /// Bytes of data.
    pub(super) fn data_len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.end - piece.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn holes_are_found_and_told() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(3 << 20).expect("resized");
        file.write_all_at(&[7; 4096], 1 << 20).expect("written");
        let sparse = Sparse::of(&file, 3 << 20).expect("told").expect("holes");
        assert_eq!(sparse.map(), b"2\n1048576\n4096\n3145728\n0\n");
        assert_eq!(sparse.data_len(), 4096);
    }

    #[test]
    fn files_without_holes_are_not_sparse() {
        let file = tempfile::tempfile().expect("a file");
        assert_eq!(Sparse::of(&file, 0), Ok(None));
        file.write_all_at(&[7; 100], 0).expect("written");
        assert_eq!(Sparse::of(&file, 100), Ok(None));
        file.set_len(MIN_HOLES).expect("resized");
        assert_eq!(Sparse::of(&file, MIN_HOLES), Ok(None));
    }
}
