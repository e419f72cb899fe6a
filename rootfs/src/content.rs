//! The bytes of regular files, by reference: they stay in layers or on the host until they are
//! written out, so a tree of any size fits in memory. What is known to be a hole is never read.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lithify_image::{Blob, TarData};

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
    /// read to find them.
    pub(crate) fn data_ranges(&self) -> Vec<Range<u64>> {
        match &self.0 {
            Source::Sparse(sparse) => sparse.ranges(),
            _ => std::iter::once(0..self.len()).filter(|range| !range.is_empty()).collect(),
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
        ContentReader { content: self.clone(), position: 0, host_file: None }
    }
}

/// Reads a [`Content`] from start to end.
#[derive(Debug)]
pub struct ContentReader {
    content: Content,
    position: u64,
    /// Opened once, and not for each read.
    host_file: Option<File>,
}

impl ContentReader {
    /// Leaves out the next `len` bytes.
    pub(crate) fn skip(&mut self, len: u64) {
        self.position = self.position.saturating_add(len).min(self.content.len());
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.content.len() - self.position).unwrap_or(usize::MAX);
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
        assert_eq!(content.data_ranges(), [1..4, 6..8]);
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
