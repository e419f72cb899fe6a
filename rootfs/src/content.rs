//! The bytes of regular files, by reference: they stay in layers or on the host until they are
//! written out, so a tree of any size fits in memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lithify_image::{Blob, BlobReader, TarData};

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

    /// A reader of all bytes. It gives exactly [`Content::len`] bytes or fails, and opens nothing
    /// before the first read.
    pub fn reader(&self) -> ContentReader {
        ContentReader(match &self.0 {
            Source::Inline(bytes) => Reader::Inline { bytes: Arc::clone(bytes), position: 0 },
            Source::HostFile { path, len } => {
                Reader::HostFile { path: Arc::clone(path), file: None, left: *len }
            }
            Source::Stored(blob) => Reader::Stored(blob.reader()),
            Source::Sparse(sparse) => {
                Reader::Sparse { sparse: Arc::clone(sparse), extent: 0, position: 0 }
            }
        })
    }
}

/// Reads a [`Content`] from start to end.
#[derive(Debug)]
pub struct ContentReader(Reader);

#[derive(Debug)]
enum Reader {
    Inline { bytes: Arc<[u8]>, position: usize },
    HostFile { path: Arc<Path>, file: Option<File>, left: u64 },
    Stored(BlobReader),
    Sparse { sparse: Arc<Sparse>, extent: usize, position: u64 },
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Reader::Inline { bytes, position } => {
                let read = (&bytes[*position..]).read(buffer)?;
                *position += read;
                Ok(read)
            }
            Reader::HostFile { path, file, left } => read_host(path, file, left, buffer),
            Reader::Stored(reader) => reader.read(buffer),
            Reader::Sparse { sparse, extent, position } => sparse.read(extent, position, buffer),
        }
    }
}

fn read_host(
    path: &Path,
    file: &mut Option<File>,
    left: &mut u64,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let file = match file {
        Some(file) => file,
        None => file.insert(open_host(path, *left)?),
    };
    let wanted = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    let read = file.read(&mut buffer[..wanted])?;
    if read == 0 && wanted > 0 {
        return Err(changed(path));
    }
    *left -= read as u64;
    Ok(read)
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
    /// Reads up to the end of the current extent or of the hole before it.
    fn read(&self, extent: &mut usize, position: &mut u64, buffer: &mut [u8]) -> io::Result<usize> {
        let current = self.data.extents.get(*extent);
        let (end, stored) = match current {
            Some(part) if *position >= part.file_offset => {
                let within = *position - part.file_offset;
                (part.file_offset + part.len, Some(part.blob_offset + within))
            }
            Some(part) => (part.file_offset, None),
            None => (self.data.len, None),
        };
        let left = usize::try_from(end - *position).unwrap_or(usize::MAX);
        let buffer = &mut buffer[..];
        let len = buffer.len().min(left);
        match stored {
            Some(offset) => self.archive.read_at(&mut buffer[..len], offset)?,
            None => buffer[..len].fill(0),
        }
        *position += len as u64;
        if stored.is_some() && *position == end {
            *extent += 1;
        }
        Ok(len)
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
