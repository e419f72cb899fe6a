//! Walks a module's sections in a file, skipping what need not be read.
//!
//! wasmparser wants whole sections in memory; the data section of an artifact holds its rootfs.

use crate::inspect::InspectError;
use std::io::{BufReader, Read, Seek};

/// Reads a file forward and knows where it is, so that no length passes the end of the file.
pub(crate) struct FileWalk<R> {
    from: BufReader<R>,
    at: u64,
    len: u64,
}

impl<R: Read + Seek> FileWalk<R> {
    pub(crate) fn new(from: R, len: u64) -> Self {
        Self { from: BufReader::new(from), at: 0, len }
    }

    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.len
    }

    /// Fails if fewer than `len` bytes are left.
    pub(crate) fn expect(&self, len: u64) -> Result<(), InspectError> {
        match self.len - self.at {
            left if left >= len => Ok(()),
            left => Err(InspectError::CutOff { at: self.at, wanted: len, left }),
        }
    }

    pub(crate) fn skip(&mut self, len: u64) -> Result<(), InspectError> {
        self.expect(len)?;
        // File lengths are below 2^63 on every system.
        self.from.seek_relative(len.cast_signed()).map_err(InspectError::Read)?;
        self.at += len;
        Ok(())
    }

    /// `len` bytes; callers check `len` against a limit of theirs.
    pub(crate) fn bytes(&mut self, len: u64) -> Result<Vec<u8>, InspectError> {
        self.expect(len)?;
        let mut bytes = Vec::new();
        self.from.by_ref().take(len).read_to_end(&mut bytes).map_err(InspectError::Read)?;
        self.at += bytes.len() as u64;
        Ok(bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, InspectError> {
        let bytes = self.bytes(1)?;
        bytes.first().copied().ok_or(InspectError::CutOff { at: self.at, wanted: 1, left: 0 })
    }

    /// An unsigned LEB128 number of at most 32 bits.
    pub(crate) fn number(&mut self) -> Result<u32, InspectError> {
        let at = self.at;
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| InspectError::malformed(at, "number"));
            }
        }
        Err(InspectError::malformed(at, "number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn walk(bytes: &[u8]) -> FileWalk<Cursor<&[u8]>> {
        FileWalk::new(Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn numbers_are_leb128_of_32_bits() {
        assert_eq!(walk(&[0x7f]).number().unwrap(), 127);
        assert_eq!(walk(&[0xe5, 0x8e, 0x26]).number().unwrap(), 624_485);
        assert_eq!(walk(&[0xff, 0xff, 0xff, 0xff, 0x0f]).number().unwrap(), u32::MAX);
        for bad in [&[0xff, 0xff, 0xff, 0xff, 0x1f][..], &[0x80; 6], &[0x80], &[]] {
            assert!(walk(bad).number().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_passes_the_end() {
        let mut walk = walk(&[1, 2, 3]);
        assert!(walk.skip(4).is_err());
        assert!(walk.bytes(u64::MAX).is_err());
        walk.skip(2).unwrap();
        assert_eq!(walk.bytes(1).unwrap(), [3]);
        assert!(walk.is_at_end() && walk.byte().is_err());
    }
}
