//! A packed ROM: the root file system image in chunks, each compressed by itself.
//!
//! The image inside an artifact is a passive data segment. It holds either the image as it is, or
//! this format, which an emulator reads at any place by decoding the chunk around it:
//!
//! | offset | bytes | |
//! | --- | --- | --- |
//! | 0 | 8 | `LITHROM1` |
//! | 8 | 1 | codec: 1 LZ4 block, 2 Zstandard frame |
//! | 9 | 1 | binary logarithm of a chunk's length |
//! | 10 | 6 | zero |
//! | 16 | 8 | length of the image |
//! | 24 | 8 | length of all this |
//! | 32 | 4 (n + 1) | where each of the n chunks starts, and where the last one ends |
//!
//! Numbers are little-endian. Every chunk but the last stands for one chunk's length of the image.
//! A chunk that is as long as what it stands for is that itself, a shorter one is compressed.
//!
//! Invariants:
//! - Equal images give equal bytes.
//! - A reader holds [`CACHE_BYTES`] of the image and two chunks besides, and writes only where its
//!   caller says, whatever the bytes are: they may come from a stranger's artifact.

mod cache;
mod codec;
mod header;
#[cfg(feature = "pack")]
mod pack;
mod reader;

pub use cache::CACHE_BYTES;
pub use codec::Codec;
pub use header::{Header, MAGIC};
#[cfg(feature = "pack")]
pub use pack::{Compression, PackError, Packed, pack};
pub use reader::{Reader, Source};

/// Why a packed ROM cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RomError {
    /// The header is no header.
    #[error("the packed ROM's header is damaged: {0}")]
    Header(&'static str),
    /// The index says what cannot be.
    #[error("the packed ROM's index is damaged: chunk {chunk} is said to be at {start}..{end}")]
    Index {
        /// Number of the chunk.
        chunk: u64,
        /// Its first byte in the segment.
        start: u32,
        /// The byte behind its last one.
        end: u32,
    },
    /// A chunk does not decode to what it stands for.
    #[error("chunk {chunk} of the packed ROM is damaged")]
    Chunk {
        /// Number of the chunk.
        chunk: u64,
    },
    /// The caller wants what lies outside the image.
    #[error("{len} bytes at {offset} are not in a ROM of {raw_len} bytes")]
    OutOfRange {
        /// Where the caller wants to read.
        offset: u64,
        /// How much.
        len: usize,
        /// What there is.
        raw_len: u64,
    },
}
