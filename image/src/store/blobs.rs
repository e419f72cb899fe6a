//! Blobs: adding, finding and opening them.

use std::fs::{File, FileTimes};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

use super::{Durability, Store, persist};
use crate::blob::{check_digest, copy};
use crate::compression::Compression;
use crate::{Blob, Digest, Error, Hasher, Layer};

impl Store {
    /// Starts a blob. It exists once [`BlobWriter::commit`] succeeds; dropped, it leaves nothing.
    pub fn writer(&self) -> Result<BlobWriter, Error> {
        let file = NamedTempFile::new_in(&self.temporary)
            .map_err(Error::io("create a file in", &self.temporary))?;
        Ok(BlobWriter { store: self.clone(), file, hasher: Hasher::new(), len: 0 })
    }

    /// Stores all that `input` gives, and returns its digest and length in bytes. Fails if
    /// `expected` is another digest.
    pub fn put(
        &self,
        mut input: impl Read,
        expected: Option<&Digest>,
    ) -> Result<(Digest, u64), Error> {
        let mut writer = self.writer()?;
        copy(&mut input, "the input of a blob", |chunk| {
            writer.write_all(chunk).map_err(Error::io("write", &self.temporary))
        })?;
        writer.commit(expected)
    }

    /// Whether the blob is there. Its content is checked by [`Store::get`] only.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// As [`Store::get`]; `None` if the blob is not there.
    pub fn find(&self, digest: &Digest) -> Result<Option<Blob>, Error> {
        match self.get(digest) {
            Err(Error::MissingBlob { .. }) => Ok(None),
            blob => blob.map(Some),
        }
    }

    /// Opens a blob after checking its content; if its file carries the stamp, that is quick.
    pub fn get(&self, digest: &Digest) -> Result<Blob, Error> {
        let path = self.blob_path(digest);
        if !path.exists() {
            return Err(Error::MissingBlob { path: self.blobs.clone(), digest: *digest });
        }
        let blob = Blob::open(&path)?;
        if is_stamped(&blob, digest)? {
            blob.vouch(*digest);
        } else {
            blob.verify(digest)?;
            restamp(&path, digest);
        }
        Ok(blob)
    }

    /// Opens a blob after reading all of it, for what leaves this machine.
    pub fn get_reading_all(&self, digest: &Digest) -> Result<Blob, Error> {
        let blob = self.get(digest)?;
        check_digest(blob.name(), digest, blob.compute_digest()?)?;
        Ok(blob)
    }

    /// Writes a blob to `file`; where the file systems can, its blocks are shared and not copied.
    pub fn copy_to(&self, digest: &Digest, file: &File) -> Result<(), Error> {
        let blob = self.get(digest)?;
        let path = self.blob_path(digest);
        let mut from = File::open(&path).map_err(Error::io("open", &path))?;
        let copied = io::copy(&mut from, &mut &*file);
        let copied = copied.map_err(|source| Error::Write { what: digest.to_string(), source })?;
        crate::blob::check_size(&digest.to_string(), blob.len(), copied)
    }

    /// Opens a layer that was stored as an uncompressed tar.
    pub fn layer(&self, diff_id: &Digest) -> Result<Layer, Error> {
        Ok(Layer::uncompressed(*diff_id, self.get(diff_id)?))
    }

    /// The uncompressed tar of `layer`, verified and open for random access. An uncompressed layer
    /// stays where it is, a compressed one is expanded into the store once.
    pub fn stage_tar(&self, layer: &Layer) -> Result<Blob, Error> {
        if let Some(plain) = layer.verified_plain_tar()? {
            return Ok(plain);
        }
        if self.contains(&layer.diff_id)
            && let Ok(staged) = self.get(&layer.diff_id)
        {
            return Ok(staged);
        }
        let mut writer = self.writer()?;
        layer.copy_tar_to(&mut writer)?;
        writer.commit(Some(&layer.diff_id))?;
        self.get(&layer.diff_id)
    }

    /// The uncompressed form of `archive`, which is the same blob if it is neither gzip nor zstd.
    /// Otherwise it is expanded, within the caps, into an unnamed file on the store's disk that
    /// vanishes with the last reference to it.
    pub fn expand(&self, archive: &Blob) -> Result<Blob, Error> {
        let compression = Compression::detect(archive)?;
        if compression == Compression::None {
            return Ok(archive.clone());
        }
        let name = archive.name();
        let mut decoded =
            compression.decode(archive.reader(), archive.len()).map_err(Error::read(name))?;
        let mut file = tempfile::tempfile_in(&self.temporary)
            .map_err(Error::io("create a file in", &self.temporary))?;
        let mut len = 0;
        copy(&mut decoded, name, |chunk| {
            len += chunk.len() as u64;
            file.write_all(chunk).map_err(Error::io("write a file in", &self.temporary))
        })?;
        Ok(Blob::whole(file, len, name.to_owned()))
    }

    /// Where the blob is, if it is there: for programs that map it. It is read-only by contract.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }
}

/// A blob in the making.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    file: NamedTempFile,
    hasher: Hasher,
    len: u64,
}

impl BlobWriter {
    /// Makes the blob part of the store, durably, and returns its digest and length in bytes.
    /// Fails, and leaves nothing, if `expected` is another digest.
    pub fn commit(self, expected: Option<&Digest>) -> Result<(Digest, u64), Error> {
        let digest = self.hasher.finish();
        if let Some(expected) = expected {
            check_digest("a new blob", expected, digest)?;
        }
        let path = self.store.blob_path(&digest);
        set_stamp(self.file.as_file(), &digest).map_err(Error::io("set the time of", &path))?;
        persist(self.file, &path, Durability::Synced)?;
        Ok((digest, self.len))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The modification time of an untouched blob: 31 bits of seconds, which every file system has, and
/// 30 of nanoseconds.
fn stamp(digest: &Digest) -> SystemTime {
    let word = |at: usize| {
        let bytes = &digest.as_bytes()[at..at + 4];
        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
    };
    let seconds = u64::from(word(0) >> 1);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, word(4) % 1_000_000_000)
}

fn set_stamp(file: &File, digest: &Digest) -> io::Result<()> {
    file.set_times(FileTimes::new().set_modified(stamp(digest)))
}

fn is_stamped(blob: &Blob, digest: &Digest) -> Result<bool, Error> {
    let modified = blob.metadata()?.modified();
    Ok(modified.is_ok_and(|modified| modified == stamp(digest)))
}

/// Saves the next reader the work; where the file may not be changed, it stays to be done.
fn restamp(path: &Path, digest: &Digest) {
    let _ = File::options().write(true).open(path).and_then(|file| set_stamp(&file, digest));
}
