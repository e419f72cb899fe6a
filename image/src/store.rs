//! The local content-addressed store: blobs under `blobs/sha256/<hex>`.
//!
//! Builds share a store without locks. A blob is written to a file of its own, synced, and renamed
//! to its digest, so a name that exists always has its full content, and two writers of one blob
//! write the same bytes. Every blob is hashed again when it is opened: a store is a cache on a
//! disk that other things write to.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::blob::{check_digest, copy};
use crate::compression::Compression;
use crate::digest::Hasher;
use crate::{Blob, Digest, Error, Layer};

/// A content-addressed store in a directory.
#[derive(Clone, Debug)]
pub struct Store {
    blobs: PathBuf,
    temporary: PathBuf,
}

impl Store {
    /// Opens the store in `root`, which is created if it does not exist.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = root.into();
        let store = Self { blobs: root.join("blobs/sha256"), temporary: root.join("tmp") };
        for dir in [&store.blobs, &store.temporary] {
            fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        }
        Ok(store)
    }

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
        self.path(digest).is_file()
    }

    /// Opens a blob after checking its content.
    pub fn get(&self, digest: &Digest) -> Result<Blob, Error> {
        let path = self.path(digest);
        if !path.exists() {
            return Err(Error::MissingBlob { path: self.blobs.clone(), digest: *digest });
        }
        let blob = Blob::open(&path)?;
        blob.verify(digest)?;
        Ok(blob)
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
        Blob::open(&self.path(&layer.diff_id))
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

    fn path(&self, digest: &Digest) -> PathBuf {
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
        persist(self.file, &self.store.path(&digest))?;
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

/// Writes the file at `path` so that it has either its old or all of its new content.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut NamedTempFile) -> Result<(), Error>,
) -> Result<(), Error> {
    let dir = parent(path);
    let mut file = NamedTempFile::new_in(dir).map_err(Error::io("create a file in", dir))?;
    write(&mut file)?;
    persist(file, path)
}

/// The rename is durable only once the directory is synced as well.
fn persist(file: NamedTempFile, path: &Path) -> Result<(), Error> {
    file.as_file().sync_all().map_err(Error::io("sync", path))?;
    make_readable(file.as_file()).map_err(Error::io("set the mode of", path))?;
    file.persist(path).map_err(|error| Error::io("create", path)(error.error))?;
    let dir = parent(path);
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))
}

/// Temporary files are private; blobs are for whoever may read the directory.
fn make_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    fn files(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn what_is_put_can_be_got() {
        let (_dir, store) = store();
        let (digest, len) = store.put(&b"hello"[..], None).unwrap();
        assert_eq!((digest, len), (Digest::of(b"hello"), 5));
        assert_eq!(store.get(&digest).unwrap().read_all(9, "x").unwrap(), b"hello");
        store.put(&b"hello"[..], Some(&digest)).unwrap();
        assert_eq!((files(&store.blobs), files(&store.temporary)), (1, 0));
    }

    #[test]
    fn a_wrong_digest_leaves_nothing_behind() {
        let (_dir, store) = store();
        assert!(store.put(&b"hello"[..], Some(&Digest::of(b"other"))).is_err());
        drop(store.writer().unwrap());
        assert_eq!((files(&store.blobs), files(&store.temporary)), (0, 0));
    }

    #[test]
    fn a_damaged_or_missing_blob_is_an_error() {
        let (_dir, store) = store();
        let (digest, _) = store.put(&b"hello"[..], None).unwrap();
        fs::remove_file(store.path(&digest)).unwrap();
        assert!(matches!(store.get(&digest), Err(Error::MissingBlob { .. })));
        fs::write(store.path(&digest), b"jello").unwrap();
        assert!(matches!(store.get(&digest), Err(Error::DigestMismatch { .. })));
    }

    #[test]
    fn a_compressed_layer_is_expanded_once_and_a_damaged_copy_replaced() {
        let (_dir, store) = store();
        let tar = vec![5; 10_000];
        let stored = zstd::encode_all(&tar[..], 1).unwrap();
        let (digest, _) = store.put(&stored[..], None).unwrap();
        let diff_id = Digest::of(&tar);
        let blob = store.get(&digest).unwrap();
        let layer = Layer::compressed("zstd", digest, diff_id, blob);
        for _ in 0..2 {
            assert_eq!(store.stage_tar(&layer).unwrap().read_all(99_999, "x").unwrap(), tar);
            fs::remove_file(store.path(&diff_id)).unwrap();
            fs::write(store.path(&diff_id), b"damaged").unwrap();
        }
        assert_eq!(store.stage_tar(&layer).unwrap().len(), 10_000);
    }

    #[test]
    fn concurrent_writers_of_one_blob_agree() {
        let (_dir, store) = store();
        let bytes = vec![9; 300_000];
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| store.put(&bytes[..], None).unwrap());
            }
        });
        assert_eq!((files(&store.blobs), files(&store.temporary)), (1, 0));
        assert_eq!(store.get(&Digest::of(&bytes)).unwrap().len(), 300_000);
    }
}
