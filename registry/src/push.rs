//! What the store has, to a registry.

use lithify_image::{Descriptor, Index, Manifest, Reference, Store};

use crate::Error;
use crate::limits::{MAX_INDEX_DEPTH, MAX_INDEX_ENTRIES, MAX_MANIFEST_BYTES};
use crate::parallel::each;
use crate::pull::check_counts;
use crate::registry::{Document, Registry, target};
use crate::sources::{remember, source_of};
use crate::upload::Upload;

impl Registry {
    /// Sends the manifest or index `descriptor`, which is in the store with all that it names, and
    /// gives it the name `reference`. The name is set last: it never leads to something partial.
    ///
    /// # Errors
    /// If the store lacks a blob or the registry refuses one.
    pub fn push(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        store: &Store,
    ) -> Result<(), Error> {
        self.push_as(reference.repository(), &target(reference), descriptor, store, 0).map(drop)
    }

    /// Returns whether the registry keeps track of `subject`s.
    pub(crate) fn push_as(
        &self,
        repository: &str,
        target: &str,
        descriptor: &Descriptor,
        store: &Store,
        depth: usize,
    ) -> Result<bool, Error> {
        let what = descriptor.digest.to_string();
        let json =
            store.get_reading_all(&descriptor.digest)?.read_all(MAX_MANIFEST_BYTES, &what)?;
        if descriptor.is_index() {
            let entries = Index::from_json(&json, &what)?.manifests;
            if depth >= MAX_INDEX_DEPTH || entries.len() > MAX_INDEX_ENTRIES {
                let limit = MAX_INDEX_ENTRIES as u64;
                return Err(Error::TooLarge { what, limit, unit: "index entries" });
            }
            for entry in &entries {
                self.push_as(repository, &entry.digest.to_string(), entry, store, depth + 1)?;
            }
        } else {
            let manifest = Manifest::from_json(&json, &what)?;
            check_counts(&manifest, &what)?;
            let mut blobs = manifest.layers;
            blobs.push(manifest.config);
            self.upload(repository, &blobs, store)?;
        }
        let document = Document { descriptor: descriptor.clone(), json };
        self.put_document(repository, target, &document)
    }

    /// Sends blobs, each once and the largest first.
    fn upload(&self, repository: &str, blobs: &[Descriptor], store: &Store) -> Result<(), Error> {
        let mut sorted: Vec<&Descriptor> = blobs.iter().collect();
        sorted.sort_by_key(|blob| (std::cmp::Reverse(blob.size), blob.digest));
        sorted.dedup_by_key(|blob| blob.digest);
        each(&sorted, self.concurrency, |descriptor, halt| {
            // Read through once more: what leaves this machine is what its digest says.
            let content = store.get_reading_all(&descriptor.digest)?;
            if content.len() != descriptor.size {
                let what = descriptor.digest.to_string();
                let (expected, found) = (descriptor.size, content.len());
                return Err(Error::SizeMismatch { what, expected, found });
            }
            let source = source_of(store, &self.session.name, repository, &descriptor.digest);
            let upload = Upload {
                session: &self.session,
                repository,
                descriptor,
                content: &content,
                mount_from: source.as_deref(),
                halt,
            };
            upload.run().map(drop)
        })?;
        remember(store, &self.session.name, repository, blobs);
        Ok(())
    }
}
