//! The bytes of regular files, by reference: they stay in layers or on the host until they are
//! written out, so a tree of any size fits in memory. What is known to be a hole is never read.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lithify_image::{Blob, TarData};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::holes::is_zero;

/// Read first of a block that may be zeros.
const PROBE_BYTES: usize = 4096;

/// Where a file's bytes are. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Content(Source);

#[derive(Clone, Debug)]
enum Source {
    Inline(Arc<[u8]>),
    HostFile { path: Arc<Path>, len: u64 },
    Stored(Blob),
    Sparse(Arc<Sparse>),
}

#[derive(Debug)]
struct Sparse {
    archive: Blob,
    data: TarData,
}

impl Content {
    /// Bytes held in memory: for small files that the build makes up.
    pub fn inline(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(Source::Inline(bytes.into()))
    }

    /// A file of the host with `len` bytes. It is opened when it is read, and reading fails if it
    /// then has another length.
    pub fn host_file(path: impl Into<PathBuf>, len: u64) -> Self {
        Self(Source::HostFile { path: path.into().into(), len })
    }

    /// All bytes of a blob.
    pub fn blob(blob: Blob) -> Self {
        Self(Source::Stored(blob))
    }

    /// A file within a tar archive.
    pub(crate) fn in_tar(archive: &Blob, data: TarData) -> Self {
        match data.extents[..] {
            [extent] if extent.len == data.len => {
                let part = archive.slice(extent.blob_offset, extent.len);
                Self::blob(part.expect("the tar reader keeps extents within the archive"))
            }
            _ => Self(Source::Sparse(Arc::new(Sparse { archive: archive.clone(), data }))),
        }
    }

    /// Length in bytes, holes included.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Source::Inline(bytes) => bytes.len() as u64,
            Source::HostFile { len, .. } => *len,
            Source::Stored(blob) => blob.len(),
            Source::Sparse(sparse) => sparse.data.len,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ranges outside of which all bytes are zero, ascending and without overlap. No data is
    /// read to find them; a file of the host is asked for its holes.
    pub(crate) fn data_ranges(&self) -> io::Result<Vec<Range<u64>>> {
        match &self.0 {
            Source::Sparse(sparse) => Ok(sparse.ranges()),
            Source::HostFile { path, len } => host_ranges(&open_host(path, *len)?, *len),
            Source::Inline(_) | Source::Stored(_) => Ok(whole(self.len())),
        }
    }

    /// Fills `buffer` from `offset`. Fails with `UnexpectedEof` where the file ends.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.len());
        if end.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &self.0 {
            Source::Inline(bytes) => {
                buffer.copy_from_slice(&bytes[offset as usize..][..buffer.len()]);
                Ok(())
            }
            Source::HostFile { path, len } => open_host(path, *len)?.read_exact_at(buffer, offset),
            Source::Stored(blob) => read_blob(blob, buffer, offset),
            Source::Sparse(sparse) => sparse.read_at(buffer, offset),
        }
    }

    /// A reader of all bytes. It gives exactly [`Content::len`] bytes or fails, and opens nothing
    /// before the first read.
    pub fn reader(&self) -> ContentReader {
        self.reader_of(0..self.len())
    }

    /// A reader of the bytes in `range`, which must be within the file.
    pub(crate) fn reader_of(&self, range: Range<u64>) -> ContentReader {
        let Range { start, end } = range;
        ContentReader { content: self.clone(), position: start, end, host_file: None }
    }
}

/// Reads a [`Content`] from start to end.
#[derive(Debug)]
pub struct ContentReader {
    content: Content,
    position: u64,
    end: u64,
    /// Opened once, and not for each read.
    host_file: Option<File>,
}

impl ContentReader {
    /// Leaves out the next `len` bytes.
    pub(crate) fn skip(&mut self, len: u64) {
        self.position = self.position.saturating_add(len).min(self.end);
    }

    /// Whether the bytes of `block`, which are no more than `buffer` holds, are zeros. Data shows
    /// itself in its first bytes, mostly, and then the rest is not read.
    pub(crate) fn is_zero_at(&mut self, block: &Range<u64>, buffer: &mut [u8]) -> io::Result<bool> {
        self.position = block.start;
        let len = (block.end - block.start) as usize;
        let (first, rest) = buffer[..len].split_at_mut(len.min(PROBE_BYTES));
        self.read_exact(first)?;
        if !is_zero(first) {
            return Ok(false);
        }
        self.read_exact(rest)?;
        Ok(is_zero(rest))
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let len = buffer.len().min(left);
        let buffer = &mut buffer[..len];
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = match &self.content.0 {
            Source::HostFile { path, len } => {
                let file = match &mut self.host_file {
                    Some(file) => file,
                    none => none.insert(open_host(path, *len)?),
                };
                match file.read_at(buffer, self.position)? {
                    0 => return Err(changed(path)),
                    read => read,
                }
            }
            _ => {
                self.content.read_at(buffer, self.position)?;
                len
            }
        };
        self.position += read as u64;
        Ok(read)
    }
}

fn read_blob(blob: &Blob, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    blob.read_at(buffer, offset)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", blob.name())))
}

fn open_host(path: &Path, len: u64) -> io::Result<File> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(named)?;
    let metadata = file.metadata().map_err(named)?;
    if !metadata.is_file() || metadata.len() != len {
        return Err(changed(path));
    }
    Ok(file)
}

fn whole(len: u64) -> Vec<Range<u64>> {
    std::iter::once(0..len).filter(|range| !range.is_empty()).collect()
}

/// What the file system stores of `file`.
fn host_ranges(file: &File, len: u64) -> io::Result<Vec<Range<u64>>> {
    if file.metadata()?.blocks().saturating_mul(512) >= len {
        return Ok(whole(len));
    }
    let mut ranges = Vec::new();
    let mut position = 0;
    while position < len {
        let start = match seek(file, SeekFrom::Data(position)) {
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            start => start?.min(len),
        };
        position = seek(file, SeekFrom::Hole(start))?.min(len);
        if position <= start {
            break;
        }
        ranges.push(start..position);
    }
    Ok(ranges)
}

fn changed(path: &Path) -> io::Error {
    let message = format!("{} changed while the build was reading it", path.display());
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl Sparse {
    fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for extent in &self.data.extents {
            let end = extent.file_offset + extent.len;
            match ranges.last_mut() {
                Some(last) if last.end == extent.file_offset => last.end = end,
                _ => ranges.push(extent.file_offset..end),
            }
        }
        ranges
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        buffer.fill(0);
        let end = offset + buffer.len() as u64;
        let extents = &self.data.extents;
        let first = extents.partition_point(|part| part.file_offset + part.len <= offset);
        for part in extents[first..].iter().take_while(|part| part.file_offset < end) {
            let from = part.file_offset.max(offset);
            let to = (part.file_offset + part.len).min(end);
            let into = &mut buffer[(from - offset) as usize..(to - offset) as usize];
            read_blob(&self.archive, into, part.blob_offset + (from - part.file_offset))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lithify_image::Extent;

    use super::*;

    fn all(content: &Content) -> Vec<u8> {
        let mut bytes = Vec::new();
        content.reader().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn holes_read_as_zeros() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"xxABCDE").unwrap();
        let archive = Blob::whole(file, 7, "test".into());
        let extents = vec![
            Extent { file_offset: 1, blob_offset: 2, len: 2 },
            Extent { file_offset: 3, blob_offset: 4, len: 1 },
            Extent { file_offset: 6, blob_offset: 5, len: 2 },
        ];
        let content = Content::in_tar(&archive, TarData { len: 10, extents });
        assert_eq!(all(&content), b"\0ABC\0\0DE\0\0");
        assert_eq!(content.data_ranges().unwrap(), [1..4, 6..8]);
        for (offset, len) in [(0, 10), (2, 3), (4, 2), (5, 2), (7, 3), (10, 0)] {
            let mut part = vec![9; len];
            content.read_at(&mut part, offset as u64).unwrap();
            assert_eq!(part, b"\0ABC\0\0DE\0\0"[offset..][..len], "{len} from {offset}");
        }
        assert!(content.read_at(&mut [0; 2], 9).is_err());
        assert!(content.read_at(&mut [0; 2], u64::MAX).is_err());
        let empty = Content::in_tar(&archive, TarData { len: 0, extents: Vec::new() });
        assert_eq!(all(&empty), b"");
        let hole = Content::in_tar(&archive, TarData { len: 3, extents: Vec::new() });
        assert_eq!(all(&hole), [0; 3]);
    }

    #[test]
    fn a_host_file_is_asked_for_its_holes() {
        const LEN: u64 = 64 << 20;
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(LEN).unwrap();
        let content = Content::host_file(file.path(), LEN);
        for (at, expected) in [(5 << 20, 1), ((5 << 20) + 1, 1), (LEN - 1, 2)] {
            file.as_file().write_all_at(b"x", at).unwrap();
            let ranges = content.data_ranges().unwrap();
            if ranges.first() == Some(&(0..LEN)) {
                println!("skipped: the file system of {} has no holes", file.path().display());
                return;
            }
            assert_eq!(ranges.len(), expected, "{ranges:?}");
            assert!(ranges.iter().any(|range| range.contains(&at)), "{at} in {ranges:?}");
            let stored: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            assert!(stored <= 4 << 20, "{ranges:?}");
        }
    }

    #[test]
    fn a_host_file_that_changed_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"hello").unwrap();
        assert_eq!(all(&Content::host_file(&path, 5)), b"hello");
        for len in [4, 6] {
            let mut reader = Content::host_file(&path, len).reader();
            assert!(reader.read_to_end(&mut Vec::new()).is_err(), "{len}");
        }
        let mut missing = Content::host_file(dir.path().join("gone"), 1).reader();
        let message = missing.read(&mut [0]).unwrap_err().to_string();
        assert!(message.contains("gone"), "{message}");
    }
}
