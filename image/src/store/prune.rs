//! Removing what nothing needs. Only the holder of the exclusive lock does it.

use std::collections::BTreeSet;
use std::fs;
use std::time::SystemTime;

use super::lock::ExclusiveStore;
use super::records::{read_dir, remove};
use super::{Durability, Store};
use crate::layout::INDEX;
use crate::limits::{MAX_INDEX_DEPTH, MAX_JSON_BYTES};
use crate::manifest::{Index, Manifest};
use crate::{Descriptor, Digest, Error};

/// What to remove besides blobs that nothing needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneOptions {
    /// Names, too.
    pub names: bool,
    /// Records that were last used before this; all if `None`.
    pub used_before: Option<SystemTime>,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names, in their full form.
    pub names: Vec<String>,
    /// Number of records.
    pub records: usize,
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// Bytes of the blobs.
    pub bytes: u64,
}

impl ExclusiveStore {
    /// Removes names and records as `options` say, then every blob that neither a name nor a record
    /// needs. Killed on the way, it leaves a store that is whole and can be pruned again.
    pub fn prune(&self, options: &PruneOptions) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        if options.names {
            pruned.names = self.remove_names()?;
        }
        for record in self.all_records()? {
            if options.used_before.is_none_or(|limit| record.used < limit) {
                remove(&record.path)?;
                pruned.records += 1;
            }
        }
        let needed = self.needed_blobs()?;
        for path in read_dir(&self.blobs)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let digest: Option<Digest> = format!("sha256:{name}").parse().ok();
            if digest.is_some_and(|digest| needed.contains(&digest)) {
                continue;
            }
            pruned.bytes += fs::metadata(&path).map_or(0, |metadata| metadata.len());
            remove(&path)?;
            pruned.blobs.extend(digest);
        }
        Ok(pruned)
    }

    fn remove_names(&self) -> Result<Vec<String>, Error> {
        let names = self.names()?.into_iter().map(|named| named.reference.to_string()).collect();
        let path = self.root.join(INDEX);
        self.replace(&path, &crate::manifest::to_json(&Index::default()), Durability::Synced)?;
        Ok(names)
    }
}

impl Store {
    /// What names and records lead to.
    fn needed_blobs(&self) -> Result<BTreeSet<Digest>, Error> {
        let mut needed = BTreeSet::new();
        for record in self.all_records()? {
            needed.extend(record.blobs);
        }
        for descriptor in self.index()?.manifests {
            self.add_below(&descriptor, 0, &mut needed);
        }
        Ok(needed)
    }

    /// A document that cannot be read names nothing: what would be below it is of no use.
    fn add_below(&self, descriptor: &Descriptor, depth: usize, needed: &mut BTreeSet<Digest>) {
        needed.insert(descriptor.digest);
        if depth > MAX_INDEX_DEPTH || !(descriptor.is_index() || descriptor.is_manifest()) {
            return;
        }
        let Ok(blob) = self.get(&descriptor.digest) else { return };
        let Ok(json) = blob.read_all(MAX_JSON_BYTES, "manifest") else { return };
        if let Ok(index) = serde_json::from_slice::<Index>(&json) {
            index.manifests.iter().for_each(|entry| self.add_below(entry, depth + 1, needed));
        } else if let Ok(manifest) = serde_json::from_slice::<Manifest>(&json) {
            needed.insert(manifest.config.digest);
            needed.extend(manifest.layers.iter().map(|layer| layer.digest));
        }
    }
}
