//! The local store: an OCI layout (image-spec `image-layout.md`) and what lithify remembers besides.
//!
//! | path | holds |
//! | --- | --- |
//! | `blobs/sha256/<hex>` | content, named by its digest |
//! | `index.json` | the named images and artifacts |
//! | `records/<kind>/<hex>.json` | what was found out once: caches, each naming the blobs it needs |
//! | `tmp/` | files in the making |
//! | `lock` | held shared by whoever uses the store, exclusively by what removes from it |
//!
//! Invariants, at any moment and after a `SIGKILL` at any moment:
//! - A blob's name exists only with its full content: it is written to a file of its own, synced and
//!   renamed. Two writers of one blob write the same bytes, so nothing has to be locked to add one.
//! - A record is written after its blobs, and blobs are removed only by the holder of the exclusive
//!   lock, after the records that need them. A record that cannot be read, or misses a blob, is none.
//! - `index.json` is replaced by renaming, and changed by one process at a time (`index.lock`).
//! - The kernel drops a dead process's locks; what it left in `tmp/` is removed by the next process
//!   that finds itself alone.
//!
//! **Trust.** Content is hashed when it comes in, and again when it is opened unless its file carries
//! the *stamp*: a modification time made of the digest, set before the file got its name. Whatever
//! writes to the file afterwards moves that time, so a changed file is hashed, and found out; an
//! untouched one opens without being read, however large it is. (A file system without nanosecond
//! times only loses the shortcut. The stamp guards against accidents; whoever may write to the store
//! could as well replace the program.)

mod blobs;
mod lock;
mod names;
mod prune;
mod records;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use crate::Error;
use crate::layout::{INDEX, MARKER};
use crate::manifest::{LayoutMarker, to_json};

pub use blobs::BlobWriter;
pub use lock::ExclusiveStore;
pub use names::Named;
pub use prune::{PruneOptions, Pruned};
pub use records::{Record, RecordEntry, Records};

/// A store in a directory, held open: nothing is removed from it as long as this or a clone lives.
/// Open files outlast it: drop it before running something for long.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    blobs: PathBuf,
    temporary: PathBuf,
    /// Shared, unless an [`ExclusiveStore`] is around this.
    _lock: Arc<File>,
}

impl Store {
    /// Opens the store in `root`, which is created if it does not exist. Waits while another process
    /// removes things from it.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = root.into();
        let lock = lock::shared(&root)?;
        Self::with_lock(root, lock)
    }

    fn with_lock(root: PathBuf, lock: File) -> Result<Self, Error> {
        let store = Self {
            blobs: root.join("blobs/sha256"),
            temporary: root.join(TEMPORARY),
            root,
            _lock: Arc::new(lock),
        };
        for dir in [&store.blobs, &store.temporary] {
            create_dir(dir)?;
        }
        store.write_layout()?;
        Ok(store)
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory on the store's disk for files that are on their way into it. What stays there is
    /// removed sooner or later.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    fn write_layout(&self) -> Result<(), Error> {
        let path = self.root.join(MARKER);
        if !path.exists() {
            let marker = LayoutMarker { image_layout_version: "1.0.0".to_owned() };
            self.replace(&path, &to_json(&marker), Durability::Synced)?;
        }
        if !self.root.join(INDEX).exists() {
            self.change_index(|_| {})?;
        }
        Ok(())
    }

    /// Gives the file at `path` this content: all or nothing.
    fn replace(&self, path: &Path, bytes: &[u8], durability: Durability) -> Result<(), Error> {
        let dir = &self.temporary;
        let mut file = NamedTempFile::new_in(dir).map_err(Error::io("create a file in", dir))?;
        file.write_all(bytes).map_err(Error::io("write", path))?;
        persist(file, path, durability)
    }
}

const TEMPORARY: &str = "tmp";

/// What a file must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    /// The death of this process.
    Renamed,
    /// The death of the whole machine.
    Synced,
}

fn create_dir(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(Error::io("create", dir))
}

/// Writes the file at `path` so that it has either its old or all of its new content.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut NamedTempFile) -> Result<(), Error>,
) -> Result<(), Error> {
    let dir = parent(path);
    let mut file = NamedTempFile::new_in(dir).map_err(Error::io("create a file in", dir))?;
    write(&mut file)?;
    persist(file, path, Durability::Synced)
}

/// The rename is durable only once the directory is synced as well.
fn persist(file: NamedTempFile, path: &Path, durability: Durability) -> Result<(), Error> {
    make_readable(file.as_file()).map_err(Error::io("set the mode of", path))?;
    if durability == Durability::Synced {
        file.as_file().sync_all().map_err(Error::io("sync", path))?;
    }
    file.persist(path).map_err(|error| Error::io("create", path)(error.error))?;
    if durability == Durability::Synced {
        let dir = parent(path);
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))?;
    }
    Ok(())
}

/// Temporary files are private; the store's are for whoever may read the directory.
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;
