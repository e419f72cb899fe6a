//! How a chunk is compressed.

/// A way to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// One LZ4 block: half the size, decoded as fast as memory is copied.
    Lz4,
    /// One Zstandard frame: the smallest.
    Zstd,
}

impl Codec {
    pub(crate) fn of_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            _ => None,
        }
    }

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Lz4 => 1,
            Self::Zstd => 2,
        }
    }

    /// As users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Decodes chunks; keeps what the next one can use.
pub(crate) enum Decoder {
    Lz4,
    Zstd(Zstd),
}

impl Decoder {
    /// For chunks that stand for at most `chunk_len` bytes.
    pub(crate) fn new(codec: Codec, chunk_len: u64) -> Self {
        match codec {
            Codec::Lz4 => Self::Lz4,
            Codec::Zstd => Self::Zstd(Zstd::new(chunk_len)),
        }
    }

    /// Whether `from` is what fills `into` and no more.
    pub(crate) fn fill(&mut self, from: &[u8], into: &mut [u8]) -> bool {
        let len = match self {
            Self::Lz4 => lz4_flex::block::decompress_into(from, into).ok(),
            Self::Zstd(zstd) => zstd.decode(from, into),
        };
        len == Some(into.len())
    }
}

#[cfg(feature = "pack")]
type Zstd = InC;
#[cfg(not(feature = "pack"))]
type Zstd = InRust;

/// Zstandard's own library.
#[cfg(feature = "pack")]
pub(crate) struct InC(Option<zstd::bulk::Decompressor<'static>>);

#[cfg(feature = "pack")]
impl InC {
    /// Bounded by itself: it decodes into the caller's buffer without a window of its own.
    fn new(_chunk_len: u64) -> Self {
        Self(zstd::bulk::Decompressor::new().ok())
    }

    fn decode(&mut self, from: &[u8], into: &mut [u8]) -> Option<usize> {
        self.0.as_mut()?.decompress_to_buffer(from, into).ok()
    }
}

/// Where C does not go.
#[cfg(any(test, not(feature = "pack")))]
pub(crate) struct InRust(Box<ruzstd::decoding::FrameDecoder>);

#[cfg(any(test, not(feature = "pack")))]
impl InRust {
    fn new(chunk_len: u64) -> Self {
        let mut decoder = ruzstd::decoding::FrameDecoder::new();
        // A frame may ask for a window of its own choice; ours never need more than the chunk.
        decoder.set_max_window_size(chunk_len);
        Self(Box::new(decoder))
    }

    fn decode(&mut self, from: &[u8], into: &mut [u8]) -> Option<usize> {
        self.0.decode_all(from, into).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 1 << 16;

    /// Text, noise, and both by turns.
    fn samples() -> Vec<Vec<u8>> {
        let mut state = 1_u64;
        let mut noise = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let text = |i: usize| b"the root file system of an image "[i % 33];
        vec![
            (0..LEN).map(text).collect(),
            vec![0; LEN],
            (0..LEN).map(|i| if i & 512 == 0 { text(i) } else { noise() }).collect(),
            (0..777).map(|_| noise() & 3).collect(),
        ]
    }

    #[test]
    fn decoder_in_rust_reads_what_zstd_writes() {
        let mut decoder = InRust::new(LEN as u64);
        for (number, raw) in samples().iter().enumerate() {
            for level in [1, 3, 9, 19, 22] {
                let stored = zstd::bulk::compress(raw, level).unwrap();
                let mut read = vec![1; raw.len()];
                assert_eq!(decoder.decode(&stored, &mut read), Some(raw.len()), "{number}");
                assert!(read == *raw, "sample {number}, level {level}");
            }
        }
    }

    #[test]
    fn window_beyond_a_chunk_is_refused() {
        // No single segment, a window of 2 GiB, one raw block of one byte.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x09, 0x00, 0x00, b'x'];
        assert_eq!(InRust::new(LEN as u64).decode(&frame, &mut [0]), None);
    }

    #[test]
    fn damage_and_wrong_lengths_are_answered() {
        for codec in [Codec::Lz4, Codec::Zstd] {
            let mut decoder = match codec {
                Codec::Lz4 => Decoder::Lz4,
                Codec::Zstd => Decoder::new(codec, LEN as u64),
            };
            let mut in_rust = InRust::new(LEN as u64);
            let raw = &samples()[2][..4096];
            let stored = match codec {
                Codec::Lz4 => lz4_flex::block::compress(raw),
                Codec::Zstd => zstd::bulk::compress(raw, 3).unwrap(),
            };
            let mut into = vec![0; raw.len()];
            assert!(decoder.fill(&stored, &mut into) && into == raw);
            assert!(!decoder.fill(&stored, &mut into[1..]));
            assert!(!decoder.fill(&stored, &mut vec![0; raw.len() + 1]));
            assert!(!decoder.fill(&[], &mut into));
            for at in 0..stored.len() {
                assert!(!decoder.fill(&stored[..at], &mut into), "{codec:?} cut at {at}");
                for flip in [1, 0x80, 0xff] {
                    let mut damaged = stored.clone();
                    damaged[at] ^= flip;
                    // What decodes to something of the right length cannot be told from the truth.
                    let _: bool = decoder.fill(&damaged, &mut into);
                    let _: Option<usize> = in_rust.decode(&damaged, &mut into);
                }
            }
        }
    }
}
