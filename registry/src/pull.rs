//! What a name means, from a registry into the store.

use lithify_image::{Descriptor, Digest, ImageConfig, Manifest, Platform, Reference, Store};

use crate::Error;
use crate::download::Download;
use crate::limits::{MAX_LAYERS, MAX_MANIFEST_BYTES};
use crate::parallel::each;
use crate::platform::Choice;
use crate::registry::{Document, Registry};
use crate::sources::remember;

/// What was pulled.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The manifest, which is in the store with all that it names.
    pub manifest: Descriptor,
    /// Digest of what the name means at the registry: the manifest, or an index with it.
    pub named: Digest,
}

impl Registry {
    /// Brings the manifest that `reference` names into the store, with all its blobs, and names it
    /// there. Of an index it takes the first of `platforms` that there is; an image for none of
    /// them is refused before its layers move.
    ///
    /// # Errors
    /// If something is not there, not as its descriptor says, or over a cap. The store then has
    /// some blobs more, each of them whole, and no new name.
    pub fn pull(
        &self,
        reference: &Reference,
        platforms: &[Platform],
        store: &Store,
    ) -> Result<Pulled, Error> {
        let what = reference.to_string();
        let repository = reference.repository();
        let named = self.document(reference)?;
        let digest = named.descriptor.digest;
        let choice = Choice { registry: self, repository, wanted: platforms };
        let document = choice.manifest(named, &what)?;
        let manifest = Manifest::from_json(&document.json, &what)?;
        check_counts(&manifest, &what)?;
        self.download(repository, std::slice::from_ref(&manifest.config), store)?;
        if manifest.config.is_image_config() {
            let config = store.get(&manifest.config.digest)?.read_all(MAX_MANIFEST_BYTES, &what)?;
            choice.check(&ImageConfig::from_json(&config, &what)?, &what)?;
        }
        self.download(repository, &manifest.layers, store)?;
        remember(store, &self.session.name, repository, &manifest.layers);
        let descriptor = self.keep(&document, store)?;
        store.set_name(reference, &descriptor)?;
        Ok(Pulled { manifest: descriptor, named: digest })
    }

    /// Brings blobs into the store, each once and the largest first.
    pub(crate) fn download(
        &self,
        repository: &str,
        blobs: &[Descriptor],
        store: &Store,
    ) -> Result<(), Error> {
        let mut blobs: Vec<&Descriptor> = blobs.iter().collect();
        blobs.sort_by_key(|blob| (std::cmp::Reverse(blob.size), blob.digest));
        blobs.dedup_by_key(|blob| blob.digest);
        each(&blobs, self.concurrency, |blob, halt| {
            Download { session: &self.session, repository, blob, store, halt }.run().map(drop)
        })
    }

    fn keep(&self, document: &Document, store: &Store) -> Result<Descriptor, Error> {
        let digest = document.descriptor.digest;
        store.put(&document.json[..], Some(&digest))?;
        Ok(document.descriptor.clone())
    }
}

/// What a manifest may ask us to hold or fetch.
pub(crate) fn check_counts(manifest: &Manifest, what: &str) -> Result<(), Error> {
    let too_large = |limit: u64, unit| Err(Error::TooLarge { what: what.to_owned(), limit, unit });
    if manifest.layers.len() > MAX_LAYERS {
        return too_large(MAX_LAYERS as u64, "layers");
    }
    if manifest.config.size > MAX_MANIFEST_BYTES {
        return too_large(MAX_MANIFEST_BYTES, "bytes of config");
    }
    Ok(())
}
