//! Records: small facts that cost something to find out, with the blobs they need.
//!
//! A record is a cache: losing one costs time, so none is synced, and one that cannot be read is as
//! good as none. Its file's modification time is when it was last used, which is what
//! [`Store::prune`] goes by.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Durability, Store, create_dir};
use crate::limits::MAX_JSON_BYTES;
use crate::manifest::to_json;
use crate::{Blob, Digest, Error};

/// Uses closer together than this are one: a look-up should not write to the disk each time.
const USE_RESOLUTION: Duration = Duration::from_secs(60);

pub(super) const RECORDS: &str = "records";

/// The records of one kind.
#[derive(Clone, Debug)]
pub struct Records {
    store: Store,
    dir: PathBuf,
}

/// A value and the blobs that it is worth nothing without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<T> {
    /// Blobs that are kept as long as the record is.
    pub blobs: Vec<Digest>,
    /// What was found out.
    pub value: T,
}

/// A record as the store sees it.
#[derive(Clone, Debug)]
pub struct RecordEntry {
    /// Its key.
    pub key: Digest,
    /// When it was last read or written.
    pub used: SystemTime,
    /// The blobs it keeps.
    pub blobs: Vec<Digest>,
    pub(super) path: PathBuf,
}

impl Store {
    /// The records of `kind`, a short name in lower case such as `build-cache`.
    pub fn records(&self, kind: &str) -> Records {
        debug_assert!(
            kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        );
        Records { store: self.clone(), dir: self.root.join(RECORDS).join(kind) }
    }

    /// The records of all kinds.
    pub(super) fn all_records(&self) -> Result<Vec<RecordEntry>, Error> {
        let mut all = Vec::new();
        for kind in read_dir(&self.root.join(RECORDS))? {
            if kind.is_dir() {
                all.extend(list(&kind)?);
            }
        }
        Ok(all)
    }
}

impl Records {
    /// The record of `key`, if it is there, can be read, and all its blobs are there.
    pub fn get<T: DeserializeOwned>(&self, key: &Digest) -> Option<Record<T>> {
        let path = self.path(key);
        let record: Record<T> = read(&path)?;
        if !record.blobs.iter().all(|blob| self.store.contains(blob)) {
            return None;
        }
        touch(&path);
        Some(record)
    }

    /// Sets the record of `key`; its `blobs` must be in the store.
    pub fn put<T: Serialize>(&self, key: &Digest, record: &Record<T>) -> Result<(), Error> {
        if let Some(missing) = record.blobs.iter().find(|blob| !self.store.contains(blob)) {
            return Err(Error::MissingBlob { path: self.store.root.clone(), digest: *missing });
        }
        create_dir(&self.dir)?;
        self.store.replace(&self.path(key), &to_json(record), Durability::Renamed)
    }

    /// Removes the record of `key`, if there is one.
    pub fn remove(&self, key: &Digest) -> Result<(), Error> {
        remove(&self.path(key))
    }

    /// All records that can be read, in the order of their keys.
    pub fn list(&self) -> Result<Vec<RecordEntry>, Error> {
        list(&self.dir)
    }

    fn path(&self, key: &Digest) -> PathBuf {
        self.dir.join(format!("{}.json", key.hex()))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let json = Blob::open(path).ok()?.read_all(MAX_JSON_BYTES, "record").ok()?;
    serde_json::from_slice(&json).ok()
}

/// A courtesy to those who prune by age: a store that cannot be written to can still be read.
fn touch(path: &Path) {
    let now = SystemTime::now();
    let Ok(used) = fs::metadata(path).and_then(|metadata| metadata.modified()) else { return };
    if now.duration_since(used).is_ok_and(|age| age > USE_RESOLUTION) {
        let _ = File::options().write(true).open(path).and_then(|file| file.set_modified(now));
    }
}

fn list(dir: &Path) -> Result<Vec<RecordEntry>, Error> {
    let mut entries: Vec<RecordEntry> = read_dir(dir)?.into_iter().filter_map(entry).collect();
    entries.sort_by_key(|entry| entry.key);
    Ok(entries)
}

fn entry(path: PathBuf) -> Option<RecordEntry> {
    let hex = path.file_name()?.to_str()?.strip_suffix(".json")?;
    let key = format!("sha256:{hex}").parse().ok()?;
    let used = fs::metadata(&path).ok()?.modified().ok()?;
    let record: Record<serde::de::IgnoredAny> = read(&path)?;
    Some(RecordEntry { key, used, blobs: record.blobs, path })
}

pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// What is in a directory; nothing if it does not exist.
pub(super) fn read_dir(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("read", dir)(error)),
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()).map_err(Error::io("read", dir)))
            .collect(),
    }
}
