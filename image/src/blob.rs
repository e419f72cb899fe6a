//! Blobs: ranges of open files. A layer inside an archive, a file inside a layer and a whole file
//! are all the same thing, so nothing is unpacked and nothing is held in memory.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::{Digest, Error, Hasher};

/// Bytes moved per read: large enough that system calls do not matter.
const COPY_BYTES: usize = 256 << 10;

/// A range of an open file. Cloning is cheap and shares the file.
#[derive(Clone)]
pub struct Blob {
    file: Arc<OpenFile>,
    offset: u64,
    len: u64,
}

struct OpenFile {
    file: File,
    name: String,
    /// Of the whole file, once it is known.
    digest: OnceLock<Digest>,
}

impl Blob {
    /// Opens the file at `path`, all of it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let metadata = file.metadata().map_err(Error::io("stat", path))?;
        if !metadata.is_file() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
            return Err(Error::io("open", path)(source));
        }
        Ok(Self::whole(file, metadata.len(), path.display().to_string()))
    }

    /// All of an open file that has `len` bytes; `name` appears in errors.
    pub fn whole(file: File, len: u64, name: String) -> Self {
        Self { file: Arc::new(OpenFile { file, name, digest: OnceLock::new() }), offset: 0, len }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The file's name for messages.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// The part of `len` bytes from `offset`, or `None` if it is not within the blob.
    pub fn slice(&self, offset: u64, len: u64) -> Option<Self> {
        let end = offset.checked_add(len)?;
        (end <= self.len).then(|| Self {
            file: Arc::clone(&self.file),
            offset: self.offset + offset,
            len,
        })
    }

    /// Fills `buffer` from `offset`. Fails with `UnexpectedEof` where the blob or its file ends.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.file.read_exact_at(buffer, self.offset + offset)
    }

    /// A reader of all bytes from the start. Readers of one blob do not disturb each other.
    pub fn reader(&self) -> BlobReader {
        BlobReader { blob: self.clone(), position: 0 }
    }

    /// All bytes, if there are at most `limit`; `what` names them in errors.
    pub fn read_all(&self, limit: u64, what: &str) -> Result<Vec<u8>, Error> {
        if self.len > limit {
            return Err(Error::TooLarge { what: what.to_owned(), limit, unit: "bytes" });
        }
        let mut bytes = vec![0; usize::try_from(self.len).expect("limits fit in memory")];
        self.read_at(&mut bytes, 0).map_err(Error::read(what))?;
        Ok(bytes)
    }

    /// The digest of the bytes. That of a whole file is computed once for all clones.
    pub fn digest(&self) -> Result<Digest, Error> {
        if !self.is_whole()? {
            return self.compute_digest();
        }
        if let Some(digest) = self.file.digest.get() {
            return Ok(*digest);
        }
        let digest = self.compute_digest()?;
        Ok(*self.file.digest.get_or_init(|| digest))
    }

    /// The digest of the bytes as they are now.
    pub(crate) fn compute_digest(&self) -> Result<Digest, Error> {
        let mut hasher = Hasher::new();
        copy(&mut self.reader(), self.name(), |chunk| {
            hasher.update(chunk);
            Ok(())
        })?;
        Ok(hasher.finish())
    }

    /// Says that the whole file, which this must be, is known to have `digest`.
    pub(crate) fn vouch(&self, digest: Digest) {
        self.file.digest.get_or_init(|| digest);
    }

    fn is_whole(&self) -> Result<bool, Error> {
        Ok(self.offset == 0 && self.len == self.metadata()?.len())
    }

    pub(crate) fn metadata(&self) -> Result<Metadata, Error> {
        self.file.file.metadata().map_err(Error::read(self.name()))
    }

    /// Checks that the bytes are those that `digest` names.
    pub(crate) fn verify(&self, digest: &Digest) -> Result<(), Error> {
        check_digest(self.name(), digest, self.digest()?)
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} at {} + {})", self.name(), self.offset, self.len)
    }
}

/// Reads a [`Blob`] from start to end.
#[derive(Debug)]
pub struct BlobReader {
    blob: Blob,
    position: u64,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.blob.len - self.position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let offset = self.blob.offset + self.position;
        let read = self.blob.file.file.read_at(&mut buffer[..wanted], offset)?;
        if read == 0 {
            // The file shrank after it was opened: an early end must not look like a short blob.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += read as u64;
        Ok(read)
    }
}

/// Feeds everything that `input` gives to `each`; `what` names the input in errors.
pub(crate) fn copy(
    input: &mut impl Read,
    what: &str,
    mut each: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => each(&buffer[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::read(what)(error)),
        }
    }
}

pub(crate) fn check_digest(what: &str, expected: &Digest, actual: Digest) -> Result<(), Error> {
    if *expected == actual {
        return Ok(());
    }
    Err(Error::DigestMismatch { what: what.to_owned(), expected: *expected, actual })
}

pub(crate) fn check_size(what: &str, expected: u64, actual: u64) -> Result<(), Error> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::SizeMismatch { what: what.to_owned(), expected, actual })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn blob(bytes: &[u8]) -> Blob {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Blob::whole(file, bytes.len() as u64, "test".into())
    }

    #[test]
    fn slices_stay_within_their_blob() {
        let whole = blob(b"0123456789");
        let part = whole.slice(2, 5).unwrap();
        let mut text = String::new();
        part.reader().read_to_string(&mut text).unwrap();
        assert_eq!(text, "23456");
        assert_eq!(part.slice(1, 2).unwrap().read_all(9, "x").unwrap(), b"34");
        assert!(part.slice(1, 5).is_none());
        assert!(part.slice(u64::MAX, 2).is_none());
        assert!(part.read_at(&mut [0; 2], 4).is_err());
    }

    #[test]
    fn a_file_that_shrank_is_an_error_and_not_an_early_end() {
        let file = tempfile::tempfile().unwrap();
        let blob = Blob::whole(file, 4, "test".into());
        assert!(blob.reader().read_to_end(&mut Vec::new()).is_err());
    }

    #[test]
    fn read_all_keeps_its_limit() {
        assert!(matches!(blob(b"12345").read_all(4, "x"), Err(Error::TooLarge { limit: 4, .. })));
    }

    #[test]
    fn a_wrong_digest_is_named() {
        assert!(blob(b"a").verify(&Digest::of(b"a")).is_ok());
        assert!(matches!(blob(b"a").verify(&Digest::of(b"b")), Err(Error::DigestMismatch { .. })));
    }
}
