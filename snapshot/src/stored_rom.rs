//! The rootfs image in the form in which an artifact carries it.

use lithify_rom::{Codec, Compression, PackError, pack};
use std::fs::File;
use std::io::{BufWriter, Seek};
use std::path::Path;

const BUFFER: usize = 1 << 20;

/// An image to seal, packed or as it is.
#[derive(Debug)]
pub struct StoredRom {
    pub(crate) file: File,
    /// Length of the image in bytes.
    pub(crate) raw_len: u64,
    /// Length of the file in bytes.
    pub(crate) stored_len: u64,
    pub(crate) packed: bool,
}

impl StoredRom {
    /// Packs `image`, `raw_len` bytes long, into a file without a name in `folder`, where it is to be
    /// compressed.
    ///
    /// # Errors
    /// If reading or writing fails, the image is of another length, or too large for the format.
    pub fn new(
        mut image: File,
        raw_len: u64,
        compression: Compression,
        folder: &Path,
    ) -> Result<Self, PackError> {
        image.rewind().map_err(PackError::Read)?;
        let (codec, level) = match compression {
            Compression::None => {
                return Ok(Self { file: image, raw_len, stored_len: raw_len, packed: false });
            }
            Compression::Lz4 => (Codec::Lz4, 0),
            Compression::Zstd(level) => (Codec::Zstd, level),
        };
        let mut file = tempfile::tempfile_in(folder).map_err(PackError::Write)?;
        let out = BufWriter::with_capacity(BUFFER, &mut file);
        let stored_len = pack(&image, raw_len, codec, level, out)?.stored_len;
        file.rewind().map_err(PackError::Write)?;
        Ok(Self { file, raw_len, stored_len, packed: true })
    }
}
