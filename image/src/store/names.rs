//! Named images and artifacts: `index.json`.

use std::fs::OpenOptions;

use super::{Durability, Store};
use crate::layout::INDEX;
use crate::limits::{MAX_INDEX_ENTRIES, MAX_JSON_BYTES};
use crate::manifest::{Index, REF_NAME, parse, to_json};
use crate::{Blob, Descriptor, Error, Reference};

/// A name and the manifest or index that it means.
#[derive(Clone, Debug)]
pub struct Named {
    /// The name.
    pub reference: Reference,
    /// What it means; without the annotation that holds the name.
    pub descriptor: Descriptor,
}

impl Store {
    /// All names, sorted.
    pub fn names(&self) -> Result<Vec<Named>, Error> {
        let mut names: Vec<Named> = self.index()?.manifests.into_iter().filter_map(named).collect();
        names.sort_by_cached_key(|named| named.reference.to_string());
        Ok(names)
    }

    /// What `reference` means: by its digest, if it has one and that is in the store under any
    /// name, or else by its tag.
    pub fn resolve(&self, reference: &Reference) -> Result<Option<Descriptor>, Error> {
        let names = self.names()?.into_iter();
        let is_meant = |named: &Named| match reference.digest() {
            Some(digest) => named.descriptor.digest == *digest,
            None => {
                named.reference == *reference
                    || named.reference.to_string() == reference.to_string()
            }
        };
        Ok(names.into_iter().find(is_meant).map(|named| named.descriptor))
    }

    /// Makes `reference` mean `descriptor`, whose blob and all that it names must be in the store.
    pub fn set_name(&self, reference: &Reference, descriptor: &Descriptor) -> Result<(), Error> {
        let name = reference.to_string();
        let mut entry = descriptor.clone();
        entry.annotations.insert(REF_NAME.to_owned(), name.clone());
        self.change_index(|index| {
            index.manifests.retain(|entry| !has_name(entry, &name));
            index.manifests.push(entry);
        })
    }

    /// Removes a name, and returns whether it was there. Its blobs go with the next pruning.
    pub fn remove_name(&self, reference: &Reference) -> Result<bool, Error> {
        let name = reference.to_string();
        let mut found = false;
        self.change_index(|index| {
            let before = index.manifests.len();
            index.manifests.retain(|entry| !has_name(entry, &name));
            found = index.manifests.len() < before;
        })?;
        Ok(found)
    }

    pub(super) fn index(&self) -> Result<Index, Error> {
        let path = self.root.join(INDEX);
        let blob = match Blob::open(&path) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Index::default());
            }
            blob => blob?,
        };
        let what = path.display().to_string();
        parse(&blob.read_all(MAX_JSON_BYTES, &what)?, &what)
    }

    /// One process at a time, so that no change is lost; readers see the old or the new file.
    pub(super) fn change_index(&self, change: impl FnOnce(&mut Index)) -> Result<(), Error> {
        let path = self.root.join("index.lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(Error::io("open", &path))?;
        lock.lock().map_err(Error::io("lock", &path))?;
        let mut index = self.index()?;
        change(&mut index);
        if index.manifests.len() > MAX_INDEX_ENTRIES {
            let what = self.root.join(INDEX).display().to_string();
            return Err(Error::TooLarge { what, limit: MAX_INDEX_ENTRIES as u64, unit: "names" });
        }
        self.replace(&self.root.join(INDEX), &to_json(&index), Durability::Synced)
    }
}

fn named(mut descriptor: Descriptor) -> Option<Named> {
    let reference = descriptor.annotations.remove(REF_NAME)?.parse().ok()?;
    Some(Named { reference, descriptor })
}

fn has_name(entry: &Descriptor, name: &str) -> bool {
    entry.annotations.get(REF_NAME).is_some_and(|written| written == name)
}
