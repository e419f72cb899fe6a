//! Who may remove: a lock that the kernel drops when its holder dies, however it dies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Store, TEMPORARY, create_dir};
use crate::Error;

/// A store that nobody else has open.
#[derive(Debug)]
pub struct ExclusiveStore(Store);

impl ExclusiveStore {
    /// Waits until nobody else uses the store in `root`. If that is not now, `waiting` is called
    /// once, with the number of other processes if the system tells it.
    pub fn open(
        root: impl Into<PathBuf>,
        waiting: &mut dyn FnMut(Option<usize>),
    ) -> Result<Self, Error> {
        let root = root.into();
        let lock = file(&root)?;
        if !try_exclusive(&lock, &root)? {
            waiting(other_holders(&lock));
            lock.lock().map_err(Error::io("lock", &root))?;
        }
        remove_leftovers(&root)?;
        Ok(Self(Store::with_lock(root, lock)?))
    }
}

impl Deref for ExclusiveStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.0
    }
}

/// The shared lock of the store in `root`. A process that is alone takes the chance to tidy up.
pub(super) fn shared(root: &Path) -> Result<File, Error> {
    let lock = file(root)?;
    if try_exclusive(&lock, root)? {
        remove_leftovers(root)?;
    }
    // From exclusive to shared another process may come first, which harms nothing here.
    lock.lock_shared().map_err(Error::io("lock", root))?;
    Ok(lock)
}

fn file(root: &Path) -> Result<File, Error> {
    create_dir(root)?;
    let path = root.join("lock");
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &path))
}

fn try_exclusive(lock: &File, root: &Path) -> Result<bool, Error> {
    match lock.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", root)(error)),
    }
}

/// Files of writers that died: living ones hold the lock.
fn remove_leftovers(root: &Path) -> Result<(), Error> {
    let dir = root.join(TEMPORARY);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::io("read", &dir))?,
    };
    for entry in entries {
        let path = entry.map_err(Error::io("read", &dir))?.path();
        let removed = if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(Error::io("remove", &path))?;
    }
    Ok(())
}

/// Lines of `/proc/locks` about the file that hold a lock (proc(5); a waiter's begins with `->`).
fn other_holders(lock: &File) -> Option<usize> {
    let inode = format!(":{}", lock.metadata().ok()?.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let holds = |line: &&str| {
        let mut words = line.split_whitespace();
        words.nth(1) == Some("FLOCK") && words.any(|word| word.ends_with(&inode))
    };
    Some(locks.lines().filter(holds).count()).filter(|count| *count > 0)
}
