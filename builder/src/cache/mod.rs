//! What instructions made before: key → layer.
//!
//! A key is a hash of all that decides an instruction's result ([`Key`]); what stands below it enters
//! as the layers' chain ID, not as how they came about, so an instruction that makes what it made
//! before leaves everything after it cached. Values are records in the store ([`StepRecord`]), whose
//! layers they keep; a hit reads no layer.
//!
//! Within one build, equal steps are made once: the second waits for the first.

mod digests;
mod key;
mod transfer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use lithify_image::{Digest, Layer, Record, Records, Store};
use serde::{Deserialize, Serialize};

pub(crate) use digests::FileDigests;
pub(crate) use key::Key;
use transfer::ImportedCache;

use crate::error::Error;

/// The kind of the records.
const RECORDS: &str = "build-cache";

/// Which caches a build reads and writes besides the store's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheOptions {
    /// Nothing made earlier is used.
    pub ignore_all: bool,
    /// Stages, by name or number, for which nothing made earlier is used.
    pub ignore_stages: Vec<String>,
    /// Folders to take results from that the store does not have.
    pub import: Vec<PathBuf>,
    /// Folders to write this build's results to.
    pub export: Vec<CacheExport>,
}

/// A folder that receives results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheExport {
    /// The folder; it becomes an OCI layout.
    pub dir: PathBuf,
    /// Which results.
    pub mode: CacheMode,
}

/// Which results are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheMode {
    /// Those whose layers are in the image.
    #[default]
    Min,
    /// Those of all stages.
    Max,
}

/// What an instruction made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepRecord {
    /// Its layer; `None` if it changed nothing.
    pub(crate) layer: Option<Digest>,
    /// Patterns that matched nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unmatched: Vec<String>,
}

impl StepRecord {
    fn blobs(&self) -> Vec<Digest> {
        self.layer.into_iter().collect()
    }
}

/// A result that is there.
#[derive(Debug)]
pub(crate) struct Hit {
    /// What was remembered.
    pub(crate) record: StepRecord,
    /// The layer, opened but not read.
    pub(crate) layer: Option<Layer>,
}

/// The results of earlier builds and of this one.
#[derive(Debug)]
pub(crate) struct Cache {
    store: Store,
    records: Records,
    imports: Vec<ImportedCache>,
    ignored: Ignored,
    /// Keys that this build found or made, and the stages that did.
    used: Mutex<BTreeMap<Digest, BTreeSet<usize>>>,
    /// Keys that are being made.
    busy: Mutex<BTreeSet<Digest>>,
    freed: Condvar,
}

#[derive(Debug)]
enum Ignored {
    All,
    Stages(BTreeSet<usize>),
}

impl Cache {
    /// `number` gives the stage of a name.
    pub(crate) fn new(
        store: &Store,
        options: &CacheOptions,
        number: impl Fn(&str) -> Option<usize>,
    ) -> Result<Self, Error> {
        let stages = options.ignore_stages.iter().filter_map(|name| number(name)).collect();
        let imports = options.import.iter().map(|dir| ImportedCache::open(dir));
        Ok(Self {
            store: store.clone(),
            records: store.records(RECORDS),
            imports: imports.collect::<Result<_, _>>()?,
            ignored: if options.ignore_all { Ignored::All } else { Ignored::Stages(stages) },
            used: Mutex::default(),
            busy: Mutex::default(),
            freed: Condvar::new(),
        })
    }

    /// Waits until nobody makes what has `key`, and says that the caller does until it drops this.
    pub(crate) fn enter(&self, key: Digest) -> Entered<'_> {
        let mut busy = lock(&self.busy);
        while !busy.insert(key) {
            busy = self.freed.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
        Entered { cache: self, key }
    }

    /// The result that has `key`, unless it is to be made anew.
    pub(crate) fn find(&self, stage: usize, key: &Digest) -> Result<Option<Hit>, Error> {
        if self.is_ignored(stage) && !lock(&self.used).contains_key(key) {
            return Ok(None);
        }
        let hit = match self.local(key) {
            None => self.import(key)?,
            hit => hit,
        };
        if hit.is_some() {
            self.note(stage, *key);
        }
        Ok(hit)
    }

    /// Remembers a result, whose layer is in the store.
    pub(crate) fn add(&self, stage: usize, key: &Digest, record: &StepRecord) -> Result<(), Error> {
        self.put(key, record)?;
        self.note(stage, *key);
        Ok(())
    }

    fn put(&self, key: &Digest, record: &StepRecord) -> Result<(), lithify_image::Error> {
        self.records.put(key, &Record { blobs: record.blobs(), value: record.clone() })
    }

    fn is_ignored(&self, stage: usize) -> bool {
        match &self.ignored {
            Ignored::All => true,
            Ignored::Stages(stages) => stages.contains(&stage),
        }
    }

    fn note(&self, stage: usize, key: Digest) {
        lock(&self.used).entry(key).or_default().insert(stage);
    }

    /// A damaged layer is as good as none: it is made again.
    fn local(&self, key: &Digest) -> Option<Hit> {
        let record: StepRecord = self.records.get(key)?.value;
        let layer = match &record.layer {
            Some(diff_id) => Some(self.store.layer(diff_id).ok()?),
            None => None,
        };
        Some(Hit { record, layer })
    }

    fn import(&self, key: &Digest) -> Result<Option<Hit>, Error> {
        for import in &self.imports {
            if let Some(record) = import.fetch(key, &self.store) {
                self.put(key, &record)?;
                return Ok(self.local(key));
            }
        }
        Ok(None)
    }

    /// Writes what this build used to the folders that ask for it; `image` are the target's stages.
    pub(crate) fn export(
        &self,
        exports: &[CacheExport],
        image: &BTreeSet<usize>,
    ) -> Result<(), Error> {
        for export in exports {
            let is_wanted = |stages: &BTreeSet<usize>| {
                export.mode == CacheMode::Max || !stages.is_disjoint(image)
            };
            let used = lock(&self.used).clone();
            let keys = used.iter().filter(|(_, stages)| is_wanted(stages)).map(|(key, _)| *key);
            let keys: Vec<Digest> = keys.collect();
            transfer::export(&self.store, &self.records, &keys, &export.dir)?;
        }
        Ok(())
    }
}

/// The right to make what has a key.
#[derive(Debug)]
pub(crate) struct Entered<'a> {
    cache: &'a Cache,
    key: Digest,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        lock(&self.cache.busy).remove(&self.key);
        self.cache.freed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
