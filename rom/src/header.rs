//! The first bytes of a packed ROM.

use crate::{Codec, RomError};

/// What a packed ROM starts with. No file system image does: squashfs has `hsqs` there.
pub const MAGIC: [u8; 8] = *b"LITHROM1";
/// Chunks of other sizes are an attack on memory, or make an index as long as the image.
const CHUNK_LOG2: std::ops::RangeInclusive<u8> = 12..=20;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How chunks are compressed.
    pub codec: Codec,
    chunk_log2: u8,
    raw_len: u64,
    stored_len: u64,
}

impl Header {
    /// Its length in bytes.
    pub const LEN: usize = 32;
    /// Bytes of an entry of the index, which follows.
    pub(crate) const ENTRY: u64 = 4;

    #[cfg(feature = "pack")]
    pub(crate) fn new(codec: Codec, chunk_log2: u8, raw_len: u64, stored_len: u64) -> Self {
        Self { codec, chunk_log2, raw_len, stored_len }
    }

    /// Reads a header, of which `bytes` is the start, or `None` if this is no packed ROM.
    ///
    /// # Errors
    /// If it is one and a field has no meaning, or the parts do not fit into what it says is there.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, RomError> {
        if !bytes.starts_with(&MAGIC) {
            return Ok(None);
        }
        let bytes: &[u8; Self::LEN] = bytes.first_chunk().ok_or(RomError::Header("cut off"))?;
        let codec = Codec::of_number(bytes[8]).ok_or(RomError::Header("unknown codec"))?;
        let chunk_log2 = bytes[9];
        if !CHUNK_LOG2.contains(&chunk_log2) {
            return Err(RomError::Header("chunk size"));
        }
        if bytes[10..16] != [0; 6] {
            return Err(RomError::Header("reserved bytes"));
        }
        let number = |at: usize| (0..8).rev().fold(0, |n, i| n << 8 | u64::from(bytes[at + i]));
        let header = Self { codec, chunk_log2, raw_len: number(16), stored_len: number(24) };
        if header.stored_len > u64::from(u32::MAX) || header.data_start() > header.stored_len {
            return Err(RomError::Header("lengths"));
        }
        Ok(Some(header))
    }

    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8] = self.codec.number();
        bytes[9] = self.chunk_log2;
        bytes[16..24].copy_from_slice(&self.raw_len.to_le_bytes());
        bytes[24..].copy_from_slice(&self.stored_len.to_le_bytes());
        bytes
    }

    /// Length of the image in bytes.
    #[must_use]
    pub fn raw_len(&self) -> u64 {
        self.raw_len
    }

    /// Length of header, index and chunks in bytes.
    #[must_use]
    pub fn stored_len(&self) -> u64 {
        self.stored_len
    }

    /// What a chunk stands for, in bytes of the image.
    #[must_use]
    pub fn chunk_len(&self) -> u64 {
        1 << self.chunk_log2
    }

    /// Number of chunks.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.raw_len.div_ceil(self.chunk_len())
    }

    /// Where the first chunk starts. Chunks are 4 KiB at least, so this cannot overflow.
    pub(crate) fn data_start(&self) -> u64 {
        Self::LEN as u64 + (self.chunks() + 1) * Self::ENTRY
    }

    /// Bytes of the image that chunk `number` stands for.
    pub(crate) fn raw_len_of(&self, number: u64) -> usize {
        (self.raw_len - (number << self.chunk_log2)).min(self.chunk_len()) as usize
    }

    /// The chunk around a byte of the image, and the byte's place in it.
    pub(crate) fn place(&self, offset: u64) -> (u64, usize) {
        (offset >> self.chunk_log2, (offset & (self.chunk_len() - 1)) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> [u8; Header::LEN] {
        Header { codec: Codec::Lz4, chunk_log2: 16, raw_len: 70_000, stored_len: 60_000 }.encode()
    }

    #[test]
    fn layout_is_the_documented_one() {
        let bytes = sample();
        assert_eq!(bytes[..16], *b"LITHROM1\x01\x10\0\0\0\0\0\0");
        assert_eq!(bytes[16..], [0x70, 0x11, 1, 0, 0, 0, 0, 0, 0x60, 0xea, 0, 0, 0, 0, 0, 0]);
        let header = Header::read(&bytes).unwrap().unwrap();
        assert_eq!(header.encode(), bytes);
        assert_eq!((header.chunks(), header.data_start()), (2, 44));
        assert_eq!((header.raw_len_of(0), header.raw_len_of(1)), (65_536, 4464));
        assert_eq!(header.place(65_537), (1, 1));
    }

    #[test]
    fn other_images_are_not_taken_for_packed_ones() {
        for bytes in [&b"hsqs"[..], b"", b"LITHROM2........................"] {
            assert_eq!(Header::read(bytes), Ok(None), "{bytes:?}");
        }
    }

    #[test]
    fn every_field_that_cannot_be_is_refused() {
        let change = |at: usize, value: u8| {
            let mut bytes = sample();
            bytes[at] = value;
            Header::read(&bytes)
        };
        assert!(change(8, 2).is_ok() && change(9, 20).is_ok());
        for (at, value, what) in [
            (8, 0, "unknown codec"),
            (8, 3, "unknown codec"),
            (9, 11, "chunk size"),
            (9, 21, "chunk size"),
            (9, 255, "chunk size"),
            (10, 1, "reserved bytes"),
            (15, 1, "reserved bytes"),
            (23, 255, "lengths"),
            (28, 1, "lengths"),
        ] {
            assert_eq!(change(at, value), Err(RomError::Header(what)), "{at}");
        }
        assert_eq!(Header::read(&sample()[..31]), Err(RomError::Header("cut off")));
    }
}
