//! Where layers came from: their registry mounts them into another repository instead of taking
//! them again.

use lithify_image::{Descriptor, Digest, Record, Store};
use serde::{Deserialize, Serialize};

/// Kind of the store's records.
const KIND: &str = "blob-source";
/// Repositories that are remembered of one blob: one per registry is what is needed.
const MAX_SOURCES: usize = 8;

#[derive(Default, Serialize, Deserialize)]
struct Sources(Vec<Source>);

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    registry: String,
    repository: String,
}

/// Remembers that `repository` has these blobs. It saves time later, so failing is no error.
pub(crate) fn remember(store: &Store, registry: &str, repository: &str, blobs: &[Descriptor]) {
    let source = Source { registry: registry.to_owned(), repository: repository.to_owned() };
    for blob in blobs {
        let mut sources = sources(store, &blob.digest);
        if sources.0.first() == Some(&source) {
            continue;
        }
        sources.0.retain(|known| *known != source);
        sources.0.insert(0, source.clone());
        sources.0.truncate(MAX_SOURCES);
        let record = Record { blobs: Vec::new(), value: sources };
        let _ = store.records(KIND).put(&blob.digest, &record);
    }
}

/// Another repository of `registry` that had the blob.
pub(crate) fn source_of(
    store: &Store,
    registry: &str,
    repository: &str,
    blob: &Digest,
) -> Option<String> {
    let sources = sources(store, blob).0.into_iter();
    let mut fitting = sources.filter(|source| source.registry == registry);
    fitting.find(|source| source.repository != repository).map(|source| source.repository)
}

fn sources(store: &Store, blob: &Digest) -> Sources {
    store.records(KIND).get(blob).map(|record| record.value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_other_repository_of_the_same_registry_is_the_source() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let blob = Descriptor::new("x", b"x");
        for (registry, repository) in [("r", "a"), ("s", "c"), ("r", "b"), ("r", "a")] {
            remember(&store, registry, repository, std::slice::from_ref(&blob));
        }
        for (registry, repository, source) in
            [("r", "z", Some("a")), ("r", "a", Some("b")), ("s", "c", None), ("t", "z", None)]
        {
            let found = source_of(&store, registry, repository, &blob.digest);
            assert_eq!(found.as_deref(), source, "{registry} {repository}");
        }
    }
}
