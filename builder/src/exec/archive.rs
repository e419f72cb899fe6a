//! ADD's archives: recognised by content, expanded into an unnamed file, never onto the host's file system.

use std::io::{self, BufReader, Read};
use std::path::Path;

use lithify_image::limits::{EXPANSION_FLOOR_BYTES, MAX_EXPANSION_RATIO, MAX_LAYER_BYTES};
use lithify_image::{Blob, Store};
use lithify_rootfs::{Content, Tree};

use super::ExecError;
use crate::error::Error;

/// Size of a tar header.
const TAR_BLOCK: usize = 512;

/// Memory that an xz stream may ask for, in KiB: a dictionary can claim 4 GiB.
const MAX_XZ_MEMORY_KIB: u32 = 256 << 10;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Compression {
    fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    fn decode(self, input: impl Read + 'static) -> io::Result<Box<dyn Read>> {
        let input = BufReader::new(input);
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
            Self::Xz => {
                Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, MAX_XZ_MEMORY_KIB))
            }
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        })
    }
}

/// The archive's tree if the content is a tar, compressed or not; `None` if it is anything else.
pub(crate) fn unpack(content: &Content, name: &Path, store: &Store) -> Result<Option<Tree>, Error> {
    let failed = |problem: String| ExecError::Archive { path: name.display().to_string(), problem };
    let start = prefix(&mut content.reader()).map_err(|error| failed(error.to_string()))?;
    let compression = Compression::of(&start);
    let is_archive = match compression {
        Compression::None => is_tar(&start),
        // What does not decompress is a file like any other.
        _ => compression
            .decode(content.reader())
            .and_then(|mut reader| prefix(&mut reader))
            .is_ok_and(|start| is_tar(&start)),
    };
    if !is_archive {
        return Ok(None);
    }
    let reader = compression.decode(content.reader()).map_err(|error| failed(error.to_string()))?;
    let tar = expand(reader, content.len(), store).map_err(|error| failed(error.to_string()))?;
    let mut tree = Tree::new();
    tree.extract(&tar, Path::new("/")).map_err(|error| failed(error.to_string()))?;
    Ok(Some(tree))
}

fn expand(reader: Box<dyn Read>, compressed: u64, store: &Store) -> io::Result<Blob> {
    let limit = compressed.saturating_mul(MAX_EXPANSION_RATIO).max(EXPANSION_FLOOR_BYTES);
    let mut limited = Limited { input: reader, left: limit.min(MAX_LAYER_BYTES) };
    let mut file = tempfile::tempfile_in(store.temporary())?;
    let len = io::copy(&mut limited, &mut file)?;
    Ok(Blob::whole(file, len, "the expanded archive".to_owned()))
}

/// Fails instead of ending when too much comes: a bomb must not look like a short archive.
struct Limited<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other("it expands to more than is allowed for its size"))?;
        Ok(read)
    }
}

fn prefix(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    reader.take(TAR_BLOCK as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// A header block whose checksum is right: also old tars without the `ustar` magic.
fn is_tar(start: &[u8]) -> bool {
    let Ok(block) = <&[u8; TAR_BLOCK]>::try_from(start) else { return false };
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let text: String = block[CHECKSUM].iter().map(|b| char::from(*b)).collect();
    let Ok(stored) = u32::from_str_radix(text.trim_matches([' ', '\0']), 8) else { return false };
    let sum: u32 = (0..)
        .zip(block)
        .map(|(at, b)| if CHECKSUM.contains(&at) { u32::from(b' ') } else { u32::from(*b) })
        .sum();
    stored == sum
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lithify_rootfs::Follow;

    use super::*;

    fn tar() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o640);
        tar.append_data(&mut header, "dir/file", &b"hi"[..]).unwrap();
        tar.into_inner().unwrap()
    }

    fn unpacked(bytes: Vec<u8>) -> Result<Option<Tree>, String> {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let content = Content::inline(bytes);
        unpack(&content, Path::new("x"), &store).map_err(|error| error.to_string())
    }

    #[test]
    fn every_compression_is_recognised_by_content() {
        let gzip = {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(&tar()).unwrap();
            out.finish().unwrap()
        };
        let bzip2 = {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            out.write_all(&tar()).unwrap();
            out.finish().unwrap()
        };
        let zstd = zstd::encode_all(&tar()[..], 1).unwrap();
        for bytes in [tar(), gzip, bzip2, zstd] {
            let tree = unpacked(bytes).unwrap().unwrap();
            let node = tree.get(Path::new("/dir/file"), Follow::No).unwrap().unwrap();
            assert_eq!(node.meta.mode, 0o640);
        }
    }

    /// The encoder is a foreign one: the crate is built without its own.
    #[test]
    fn xz_archives_are_unpacked() {
        let mut xz = match std::process::Command::new("xz")
            .arg("-c")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
        {
            Ok(child) => child,
            Err(_) => return println!("skipped: xz is not installed"),
        };
        xz.stdin.take().unwrap().write_all(&tar()).unwrap();
        let bytes = xz.wait_with_output().unwrap().stdout;
        let tree = unpacked(bytes).unwrap().unwrap();
        assert!(tree.get(Path::new("/dir/file"), Follow::No).unwrap().is_some());
    }

    #[test]
    fn other_files_are_no_archives() {
        let gzip_of_text = {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(b"text").unwrap();
            out.finish().unwrap()
        };
        for bytes in
            [vec![], b"text".to_vec(), vec![0; 1024], b"\x1f\x8bjunk".to_vec(), gzip_of_text]
        {
            assert!(unpacked(bytes).unwrap().is_none());
        }
    }

    #[test]
    fn truncated_archives_are_errors() {
        // Stored, not compressed: the start is readable although the end is missing.
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        out.write_all(&tar()).unwrap();
        let mut compressed = out.finish().unwrap();
        compressed.truncate(1000);
        let message = unpacked(compressed).unwrap_err();
        assert!(message.starts_with("unpack `x`: "), "{message}");
    }

    #[test]
    fn bombs_end_early() {
        let mut limited = Limited { input: io::repeat(0), left: 1000 };
        let error = io::copy(&mut limited, &mut io::sink()).unwrap_err();
        assert_eq!(error.to_string(), "it expands to more than is allowed for its size");
    }
}
