//! Caches in folders: `--cache-to` writes and `--cache-from` reads an OCI layout with records.
//!
//! What is read is hostile: records are read within the caps of documents, layers are copied into
//! the store under the digest that they really have. Whoever can write to such a folder decides what
//! its records say a step makes, as with every cache that is shared.

use std::path::{Path, PathBuf};

use lithify_image::limits::{MAX_JSON_BYTES, MAX_LAYER_BYTES};
use lithify_image::{Blob, Digest, Record, Records, Store};

use super::{RECORDS, StepRecord};
use crate::context::ContextError;
use crate::error::Error;

/// A folder to read from; nothing in it is changed.
#[derive(Debug)]
pub(super) struct ImportedCache {
    dir: PathBuf,
}

impl ImportedCache {
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        let found = std::fs::metadata(dir);
        match found {
            Ok(found) if found.is_dir() => Ok(Self { dir: dir.to_owned() }),
            Ok(_) => Err(ContextError::NotADirectory { path: dir.to_owned() }.into()),
            Err(source) => Err(ContextError::Io { path: dir.to_owned(), source }.into()),
        }
    }

    /// Copies the result that has `key` into `store`. One that is damaged is as good as none.
    pub(super) fn fetch(&self, key: &Digest, store: &Store) -> Option<StepRecord> {
        let path = self.dir.join(format!("records/{RECORDS}/{}.json", key.hex()));
        let json = Blob::open(&path).ok()?.read_all(MAX_JSON_BYTES, "record").ok()?;
        let record: Record<StepRecord> = serde_json::from_slice(&json).ok()?;
        for digest in record.value.blobs() {
            if !store.contains(&digest) {
                self.copy(&digest, store)?;
            }
        }
        Some(record.value)
    }

    fn copy(&self, digest: &Digest, store: &Store) -> Option<()> {
        let blob = Blob::open(&self.dir.join("blobs/sha256").join(digest.hex())).ok()?;
        if blob.len() > MAX_LAYER_BYTES {
            return None;
        }
        store.put(blob.reader(), Some(digest)).ok().map(|_| ())
    }
}

/// Adds the records of `keys`, with their layers, to the folder `dir`.
pub(super) fn export(
    store: &Store,
    records: &Records,
    keys: &[Digest],
    dir: &Path,
) -> Result<(), Error> {
    let target = Store::open(dir)?;
    let written = target.records(RECORDS);
    for key in keys {
        let Some(record) = records.get::<StepRecord>(key) else { continue };
        for digest in &record.blobs {
            if !target.contains(digest) {
                target.put(store.get(digest)?.reader(), Some(digest))?;
            }
        }
        written.put(key, &record)?;
    }
    Ok(())
}
