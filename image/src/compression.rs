//! Layer compression: none, gzip (also of several members) and zstd (also with skippable frames).
//!
//! The bytes decide, not the media type: registries and tools disagree about the latter often
//! enough, and the digest of the uncompressed tar is checked either way.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use crate::limits::{EXPANSION_FLOOR_BYTES, MAX_EXPANSION_RATIO, MAX_LAYER_BYTES};
use crate::{Blob, Error};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// RFC 8878 section 3.1.1.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// RFC 8878 section 3.1.2: the low four bits of the first byte are free.
const ZSTD_SKIPPABLE_MAGIC: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];
/// Window of a zstd frame, as a power of two: what the format recommends decoders to support is
/// 8 MiB; `--long=27` (128 MiB) is common. More would be memory that a hostile frame asks for.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

const READ_BYTES: usize = 128 << 10;

/// How some bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Looks at the first bytes of `blob`.
    pub(crate) fn detect(blob: &Blob) -> Result<Self, Error> {
        let mut head = [0; 4];
        let len = usize::try_from(blob.len()).unwrap_or(usize::MAX).min(head.len());
        blob.read_at(&mut head[..len], 0).map_err(Error::read(blob.name()))?;
        Ok(Self::of(&head[..len]))
    }

    fn of(head: &[u8]) -> Self {
        let skippable = |head: &[u8]| {
            head.len() == 4
                && head[0] & 0xf0 == ZSTD_SKIPPABLE_MAGIC[0]
                && head[1..] == ZSTD_SKIPPABLE_MAGIC[1..]
        };
        if head.starts_with(&GZIP_MAGIC) {
            Self::Gzip
        } else if head.starts_with(&ZSTD_MAGIC) || skippable(head) {
            Self::Zstd
        } else {
            Self::None
        }
    }

    /// Decodes `input`. The result stops with an error where it expands beyond the caps, given
    /// that the compressed form has `compressed_len` bytes.
    pub(crate) fn decode<'a>(
        self,
        input: impl Read + 'a,
        compressed_len: u64,
    ) -> io::Result<Bounded<Box<dyn Read + 'a>>> {
        let input = BufReader::with_capacity(READ_BYTES, input);
        let decoded: Box<dyn Read + 'a> = match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(MultiGzDecoder::new(input)),
            Self::Zstd => Box::new(zstd_decoder(input)?),
        };
        Ok(Bounded { input: decoded, left: expansion_limit(compressed_len) })
    }
}

fn zstd_decoder<R: BufRead>(input: R) -> io::Result<zstd::Decoder<'static, R>> {
    let mut decoder = zstd::Decoder::with_buffer(input)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

fn expansion_limit(compressed_len: u64) -> u64 {
    let by_ratio = compressed_len.saturating_mul(MAX_EXPANSION_RATIO);
    by_ratio.clamp(EXPANSION_FLOOR_BYTES, MAX_LAYER_BYTES)
}

/// A reader that fails, rather than ends, after its limit.
pub(crate) struct Bounded<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "expands beyond the limit: decompression bomb",
            )
        })?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut decoded = Vec::new();
        let head = &bytes[..bytes.len().min(4)];
        Compression::of(head).decode(bytes, bytes.len() as u64)?.read_to_end(&mut decoded)?;
        Ok(decoded)
    }

    #[test]
    fn each_form_is_recognised_and_decoded() {
        let zstd = zstd::encode_all(&b"hello"[..], 3).unwrap();
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd].concat();
        for (name, bytes, expected) in [
            ("plain", b"hello".to_vec(), "hello"),
            ("empty", Vec::new(), ""),
            ("gzip", gzip(b"hello"), "hello"),
            ("two gzip members", [gzip(b"hel"), gzip(b"lo")].concat(), "hello"),
            ("zstd", zstd.clone(), "hello"),
            ("two zstd frames", [&zstd[..], &zstd].concat(), "hellohello"),
            ("skippable frame first", skippable.clone(), "hello"),
            ("skippable frame last", [&zstd[..], &skippable[..11]].concat(), "hello"),
        ] {
            assert_eq!(decode(&bytes).unwrap(), expected.as_bytes(), "{name}");
        }
    }

    #[test]
    fn truncated_streams_are_errors() {
        let random: Vec<u8> =
            (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let zstd = zstd::encode_all(&random[..], 3).unwrap();
        for bytes in [gzip(&random), zstd] {
            assert!(decode(&bytes[..bytes.len() - 1]).is_err());
            assert!(decode(&bytes[..bytes.len() / 2]).is_err());
        }
    }

    #[test]
    fn a_bomb_stops_at_its_limit() {
        let mut bomb = Bounded { input: io::repeat(0), left: 1000 };
        let mut sink = Vec::new();
        assert!(bomb.read_to_end(&mut sink).is_err());
        assert!(sink.len() <= 1000);
    }

    #[test]
    fn the_limit_grows_with_the_compressed_size() {
        assert_eq!(expansion_limit(10), 1 << 30);
        assert_eq!(expansion_limit(100 << 20), 20_000 << 20);
        assert_eq!(expansion_limit(u64::MAX), 64 << 30);
    }
}
