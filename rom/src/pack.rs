//! Writes a packed ROM.

use crate::{Codec, Header};
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::str::FromStr;

/// Binary logarithm of the length of the chunks that are written. Squashfs reads 64 KiB at once: longer
/// chunks are decoded for a part, shorter ones compress worse.
const CHUNK_LOG2: u8 = 16;
const CHUNK: usize = 1 << CHUNK_LOG2;

/// What `--compress` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// The image as it is, not packed at all.
    None,
    /// LZ4.
    Lz4,
    /// Zstandard with a level from 1 to 22.
    Zstd(u8),
}

impl Compression {
    /// Zstandard's level where none is said.
    const LEVEL: u8 = 9;
    const EXPECTED: &str = "expected none, lz4 or zstd[:LEVEL] with a level from 1 to 22";
}

impl FromStr for Compression {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "lz4" => Ok(Self::Lz4),
            None if text == "zstd" => Ok(Self::Zstd(Self::LEVEL)),
            Some(("zstd", level)) => match level.parse() {
                Ok(level @ 1..=22) => Ok(Self::Zstd(level)),
                _ => Err(Self::EXPECTED),
            },
            _ => Err(Self::EXPECTED),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => to.write_str("none"),
            Self::Lz4 => to.write_str("lz4"),
            Self::Zstd(level) => write!(to, "zstd:{level}"),
        }
    }
}

/// Why an image was not packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The image could not be read.
    #[error("cannot read the rootfs image: {0}")]
    Read(#[source] io::Error),
    /// The image is not as long as announced.
    #[error("the rootfs image changed while it was read: {found} bytes, {expected} expected")]
    Length {
        /// Bytes read.
        found: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// The packed ROM could not be written.
    #[error("cannot write the packed rootfs image: {0}")]
    Write(#[source] io::Error),
    /// Also packed, it is longer than what offsets of 32 bits reach.
    #[error("the rootfs image is too large: {raw_len} bytes are more than 4 GiB after packing")]
    TooLarge {
        /// Length of the image in bytes.
        raw_len: u64,
    },
}

/// What [`pack`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// Bytes written.
    pub stored_len: u64,
}

/// Packs `raw_len` bytes of `raw` into `out`, which is empty. One chunk is in memory at a time, and the
/// index, a fifteen thousandth of the image.
///
/// # Errors
/// If reading or writing fails, `raw` is of another length, or the result passes 4 GiB.
pub fn pack(
    mut raw: impl Read,
    raw_len: u64,
    codec: Codec,
    level: u8,
    mut out: impl Write + Seek,
) -> Result<Packed, PackError> {
    let too_large = PackError::TooLarge { raw_len };
    let empty = Header::new(codec, CHUNK_LOG2, raw_len, 0);
    let Ok(mut end) = u32::try_from(empty.data_start()) else { return Err(too_large) };
    out.seek(SeekFrom::Start(end.into())).map_err(PackError::Write)?;
    let mut encoder = Encoder::new(codec, level).map_err(PackError::Write)?;
    let mut index = end.to_le_bytes().to_vec();
    let mut chunk = Vec::with_capacity(CHUNK);
    for number in 0..empty.chunks() {
        fill(&mut raw, &mut chunk, CHUNK).map_err(PackError::Read)?;
        if chunk.len() != empty.raw_len_of(number) {
            let found = number * CHUNK as u64 + chunk.len() as u64;
            return Err(PackError::Length { found, expected: raw_len });
        }
        let stored = encoder.encode(&chunk).map_err(PackError::Write)?;
        let stored = if stored.len() < chunk.len() { stored } else { &chunk };
        end = match end.checked_add(stored.len() as u32) {
            Some(end) => end,
            None => return Err(too_large),
        };
        out.write_all(stored).map_err(PackError::Write)?;
        index.extend(end.to_le_bytes());
    }
    fill(&mut raw, &mut chunk, 1).map_err(PackError::Read)?;
    if !chunk.is_empty() {
        return Err(PackError::Length { found: raw_len + 1, expected: raw_len });
    }
    let header = Header::new(codec, CHUNK_LOG2, raw_len, end.into());
    out.rewind().map_err(PackError::Write)?;
    out.write_all(&header.encode()).map_err(PackError::Write)?;
    out.write_all(&index).map_err(PackError::Write)?;
    out.flush().map_err(PackError::Write)?;
    Ok(Packed { stored_len: end.into() })
}

fn fill(raw: &mut impl Read, chunk: &mut Vec<u8>, len: usize) -> io::Result<()> {
    chunk.clear();
    raw.take(len as u64).read_to_end(chunk).map(|_| ())
}

/// Encodes one chunk after the other into the same buffer.
struct Encoder {
    zstd: Option<zstd::bulk::Compressor<'static>>,
    buffer: Vec<u8>,
}

impl Encoder {
    fn new(codec: Codec, level: u8) -> io::Result<Self> {
        let zstd = match codec {
            Codec::Lz4 => None,
            Codec::Zstd => Some(zstd::bulk::Compressor::new(level.into())?),
        };
        let bound = lz4_flex::block::get_maximum_output_size(CHUNK);
        Ok(Self { zstd, buffer: vec![0; bound.max(zstd::zstd_safe::compress_bound(CHUNK))] })
    }

    fn encode(&mut self, chunk: &[u8]) -> io::Result<&[u8]> {
        let len = match &mut self.zstd {
            Some(zstd) => zstd.compress_to_buffer(chunk, &mut self.buffer[..])?,
            None => {
                lz4_flex::block::compress_into(chunk, &mut self.buffer).map_err(io::Error::other)?
            }
        };
        Ok(&self.buffer[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reader, RomError, Source};
    use std::io::Cursor;

    impl Source for &[u8] {
        fn read(&mut self, offset: u64, into: &mut [u8]) {
            into.copy_from_slice(&self[offset as usize..][..into.len()]);
        }
    }

    const LEN: usize = 40 * CHUNK + 4321;

    /// Compressible, with some chunks that are not.
    fn image(len: usize) -> Vec<u8> {
        let mut state = 7_u64;
        let byte = |i: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if i / CHUNK % 5 == 3 { (state >> 56) as u8 } else { (i / 7 * 31) as u8 }
        };
        (0..len).map(byte).collect()
    }

    fn packed(raw: &[u8], codec: Codec) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let packed = pack(raw, raw.len() as u64, codec, 3, &mut out).unwrap();
        let out = out.into_inner();
        assert_eq!(packed.stored_len, out.len() as u64);
        out
    }

    fn reader(stored: &[u8]) -> Reader<&[u8]> {
        Reader::new(stored, Header::read(stored).unwrap().unwrap())
    }

    #[test]
    fn every_range_reads_as_it_was() {
        let raw = image(LEN);
        for codec in [Codec::Lz4, Codec::Zstd] {
            let stored = packed(&raw, codec);
            assert!(stored.len() < raw.len() / 2, "{}", stored.len());
            let mut reader = reader(&stored);
            let mut at = 1_usize;
            for round in 0..2000_usize {
                at = at.wrapping_mul(48_271) % (LEN + 1);
                let len = [0, 1, 512, 4096, CHUNK, CHUNK + 1, 3 * CHUNK][round % 7].min(LEN - at);
                let mut read = vec![0; len];
                reader.read(at as u64, &mut read).unwrap();
                assert!(read == raw[at..at + len], "{codec:?}: {len} bytes at {at}");
            }
            let mut all = vec![0; LEN];
            reader.read(0, &mut all).unwrap();
            assert!(all == raw);
            let beyond = reader.read(LEN as u64, &mut [0]).unwrap_err();
            assert!(matches!(beyond, RomError::OutOfRange { .. }), "{beyond}");
            assert!(reader.read(u64::MAX, &mut [0]).is_err());
        }
    }

    #[test]
    fn small_images_and_whole_chunks() {
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK] {
            let raw = image(len);
            let stored = packed(&raw, Codec::Lz4);
            let mut read = vec![0; len];
            reader(&stored).read(0, &mut read).unwrap();
            assert!(read == raw, "{len}");
        }
    }

    #[test]
    fn bytes_depend_on_the_image_alone() {
        let raw = image(LEN);
        for codec in [Codec::Lz4, Codec::Zstd] {
            assert!(packed(&raw, codec) == packed(&raw, codec));
        }
    }

    #[test]
    fn other_length_than_announced_is_an_error() {
        let raw = image(CHUNK + 5);
        for len in [0, CHUNK, CHUNK + 4, CHUNK + 6, 3 * CHUNK] {
            let error = pack(&raw[..], len as u64, Codec::Lz4, 0, Cursor::new(Vec::new()));
            assert!(matches!(error, Err(PackError::Length { .. })), "{len}");
        }
        let huge = pack(&raw[..], u64::MAX, Codec::Lz4, 0, Cursor::new(Vec::new()));
        assert!(matches!(huge, Err(PackError::TooLarge { .. })));
    }

    #[test]
    fn damage_of_any_byte_is_answered() {
        let raw = image(2 * CHUNK + 10);
        for codec in [Codec::Lz4, Codec::Zstd] {
            let stored = packed(&raw, codec);
            for at in (0..stored.len()).filter(|at| *at < 60 || at % 1999 == 0) {
                for flip in [1, 0x80, 0xff] {
                    let mut damaged = stored.clone();
                    damaged[at] ^= flip;
                    let Ok(Some(header)) = Header::read(&damaged) else { continue };
                    // A segment shorter than its header says is the source's to refuse.
                    if header.stored_len() > damaged.len() as u64 {
                        continue;
                    }
                    let mut reader = Reader::new(&damaged[..], header);
                    let mut read = vec![0; raw.len().min(header.raw_len() as usize)];
                    let _: Result<(), RomError> = reader.read(0, &mut read);
                }
            }
        }
        let mut stored = packed(&raw, Codec::Lz4);
        stored[Header::LEN..Header::LEN + 4].copy_from_slice(&7_u32.to_le_bytes());
        let error = reader(&stored).read(0, &mut [0; 9]).unwrap_err();
        assert!(matches!(error, RomError::Index { chunk: 0, start: 7, .. }), "{error}");
        let mut stored = packed(&raw, Codec::Lz4);
        let data = Header::LEN + 4 * 4;
        stored[data..data + 40].fill(0xff);
        assert_eq!(reader(&stored).read(0, &mut [0; 9]), Err(RomError::Chunk { chunk: 0 }));
    }

    #[test]
    fn compressions_are_written_as_they_are_read() {
        for (text, expected, shown) in [
            ("none", Compression::None, "none"),
            ("lz4", Compression::Lz4, "lz4"),
            ("zstd", Compression::Zstd(9), "zstd:9"),
            ("zstd:1", Compression::Zstd(1), "zstd:1"),
            ("zstd:22", Compression::Zstd(22), "zstd:22"),
        ] {
            let read: Compression = text.parse().unwrap();
            assert_eq!((read, read.to_string().as_str()), (expected, shown));
        }
        for wrong in ["", "gzip", "lz4:3", "none:", "zstd:", "zstd:0", "zstd:23", "zstd:-1", "LZ4"]
        {
            assert_eq!(wrong.parse::<Compression>(), Err(Compression::EXPECTED), "{wrong}");
        }
    }
}
