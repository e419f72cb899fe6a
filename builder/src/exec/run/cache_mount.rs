//! `RUN --mount=type=cache`: directories that outlive the build, as layers in the store.
//!
//! A cache is a record: the layers that its steps made, one over the other. Whoever changes it adds
//! a layer to the newest record, also if that is not the one the step saw: steps that share a cache
//! see what was there when they began, and the last to end wins where they wrote the same file.
//! Files that are locked say who uses what; the kernel unlocks them when their holder dies.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lithify_image::{Blob, Digest, Layer, Record, Records, Store};
use lithify_rootfs::{LayerBuilder, Metadata, Node, Tree};
use serde::{Deserialize, Serialize};

use super::changes;
use crate::cache::Key;
use crate::cancel::Cancel;
use crate::error::Error;
use crate::instruction::{Mount, Sharing};
use crate::machine::MachineError;

/// The kind of the records.
const RECORDS: &str = "cache-mount";

/// The folder of the lock files, in the store's.
const LOCKS: &str = "cache-mounts";

/// Layers of one cache; with more it is made one layer again.
const MAX_LAYERS: usize = 16;

/// Uses of one private cache at the same time, each with a cache of its own.
const MAX_PRIVATE: usize = 1024;

/// How often a lock that somebody else has is tried: a build that is canceled ends by then.
const LOCK_PERIOD: Duration = Duration::from_millis(50);

/// A cache as the record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    layers: Vec<Digest>,
    /// Of its root, until a layer says otherwise.
    mode: u16,
    uid: u32,
    gid: u32,
}

/// A cache in use.
#[derive(Debug)]
pub(super) struct CacheMount {
    store: Store,
    records: Records,
    key: Digest,
    state: State,
    /// A private cache is nobody else's.
    _slot: Option<File>,
}

impl CacheMount {
    /// The cache called `id`, with what `initial` gives if there is none yet.
    pub(super) fn open(
        store: &Store,
        id: &str,
        mount: &Mount,
        initial: impl FnOnce() -> Result<Tree, Error>,
    ) -> Result<Self, Error> {
        let (key, slot) = match mount.sharing {
            Some(Sharing::Private) => private_slot(store, id)?,
            _ => (key(id, 0), None),
        };
        let records = store.records(RECORDS);
        let state = match records.get(&key) {
            Some(record) => record.value,
            None => State::new(store, &initial()?)?,
        };
        Ok(Self { store: store.clone(), records, key, state, _slot: slot })
    }

    /// Its files.
    pub(super) fn tree(&self) -> Result<Tree, Error> {
        self.state.tree(&self.store)
    }

    /// Adds a step's changes to whatever the cache holds by now.
    pub(super) fn keep(&self, changes: &Blob) -> Result<(), Error> {
        let layer = changes::read(changes, None)?;
        let _merging = lock(&self.store, &format!("{}.merge", self.key.hex()))?;
        let newest = self.records.get::<State>(&self.key).map(|record| record.value);
        let is_new = newest.is_none();
        let mut state = newest.unwrap_or_else(|| self.state.clone());
        if layer.is_empty() && !is_new {
            return Ok(());
        }
        if !layer.is_empty() {
            state.layers.push(layer.store(&self.store)?.diff_id);
        }
        if state.layers.len() > MAX_LAYERS {
            state = State::new(&self.store, &state.tree(&self.store)?)?;
        }
        let record = Record { blobs: state.layers.clone(), value: state };
        Ok(self.records.put(&self.key, &record)?)
    }
}

impl State {
    /// A cache that holds `tree`, in one layer.
    fn new(store: &Store, tree: &Tree) -> Result<Self, Error> {
        let mut layer = LayerBuilder::new(None);
        let mut root = Metadata::dir();
        for entry in tree.walk() {
            match entry.link_of {
                _ if entry.path == Path::new("/") => root = entry.node.meta.clone(),
                Some(first) => layer.hard_link(&first, &entry.path)?,
                None => layer.put(&entry.path, entry.node.clone())?,
            }
        }
        let layers = match layer.is_empty() {
            true => Vec::new(),
            false => vec![layer.store(store)?.diff_id],
        };
        Ok(Self { layers, mode: root.mode, uid: root.uid, gid: root.gid })
    }

    fn tree(&self, store: &Store) -> Result<Tree, Error> {
        let Self { mode, uid, gid, .. } = *self;
        let meta = Metadata { mode, uid, gid, ..Metadata::dir() };
        let mut tree = Tree::new();
        tree.insert(Path::new("/"), Node::directory(meta))?;
        for diff_id in &self.layers {
            let layer: Layer = store.layer(diff_id)?;
            tree.apply_layer(&store.stage_tar(&layer)?)?;
        }
        Ok(tree)
    }
}

/// Caches that nobody else may use until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Locks {
    _held: Vec<File>,
}

impl Locks {
    /// Locks the caches called `ids`, always in the same order, so that two steps never wait for
    /// each other.
    pub(super) fn take(
        store: &Store,
        ids: &BTreeSet<String>,
        cancel: &Cancel,
    ) -> Result<Self, Error> {
        let keys: BTreeSet<_> = ids.iter().map(|id| key(id, 0).hex().clone()).collect();
        let mut locks = Vec::new();
        for key in keys {
            let (path, file) = lock_file(store, &format!("{key}.use"))?;
            while !try_lock(&path, &file)? {
                if cancel.is_canceled() {
                    return Err(MachineError::Canceled.into());
                }
                std::thread::sleep(LOCK_PERIOD);
            }
            locks.push(file);
        }
        Ok(Self { _held: locks })
    }
}

/// The first cache of this name that nobody else uses privately.
fn private_slot(store: &Store, id: &str) -> Result<(Digest, Option<File>), Error> {
    for number in 0..MAX_PRIVATE {
        let key = key(id, number);
        let (path, file) = lock_file(store, &format!("{}.private", key.hex()))?;
        if try_lock(&path, &file)? {
            return Ok((key, Some(file)));
        }
    }
    Err(MachineError::TooManyPrivateCaches { limit: MAX_PRIVATE }.into())
}

fn key(id: &str, number: usize) -> Digest {
    Key::new(RECORDS).text(id).number(number as u64).finish()
}

/// A lock that is never held for long.
fn lock(store: &Store, name: &str) -> Result<File, Error> {
    let (path, file) = lock_file(store, name)?;
    file.lock().map_err(failed("lock", &path))?;
    Ok(file)
}

fn try_lock(path: &Path, file: &File) -> Result<bool, Error> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(failed("lock", path)(error)),
    }
}

fn lock_file(store: &Store, name: &str) -> Result<(PathBuf, File), Error> {
    let folder = store.root().join(LOCKS);
    std::fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
    let path = folder.join(name);
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    opened.map_err(failed("open", &path)).map(|file| (path, file))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| MachineError::Host { action, path, source }.into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lithify_rootfs::Content;

    use super::*;
    use crate::instruction::parse_mount;

    struct Lab {
        store: Store,
        _folder: tempfile::TempDir,
    }

    fn lab() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        Lab { store: Store::open(folder.path().join("store")).unwrap(), _folder: folder }
    }

    impl Lab {
        fn open(&self, sharing: &str) -> CacheMount {
            let mount = parse_mount(&format!("type=cache,target=/c,sharing={sharing}")).unwrap();
            let mut initial = Tree::new();
            let meta = Metadata { mode: 0o700, uid: 7, ..Metadata::dir() };
            initial.insert(Path::new("/"), Node::directory(meta)).unwrap();
            initial.insert(Path::new("/first"), file("0")).unwrap();
            CacheMount::open(&self.store, "id", &mount, || Ok(initial)).unwrap()
        }

        /// A step's archive: one file, or the mark that one is gone.
        fn changes(&self, path: &str, text: &str) -> Blob {
            let mut layer = LayerBuilder::new(None);
            match text {
                "" => layer.whiteout(Path::new(path)).unwrap(),
                text => layer.put(Path::new(path), file(text)).unwrap(),
            }
            let mut archive = tempfile::tempfile().unwrap();
            layer.write(&mut archive).unwrap();
            archive.flush().unwrap();
            let len = archive.metadata().unwrap().len();
            Blob::whole(archive, len, "changes".into())
        }
    }

    fn file(text: &str) -> Node {
        Node::file(Metadata::root_owned(0o644), Content::inline(text.as_bytes().to_vec()))
    }

    fn names(cache: &CacheMount) -> Vec<String> {
        let tree = cache.tree().unwrap();
        let paths = tree.walk().skip(1).map(|entry| entry.path.display().to_string());
        paths.collect()
    }

    #[test]
    fn steps_that_share_a_cache_add_to_what_the_others_made() {
        let lab = lab();
        let (one, two) = (lab.open("shared"), lab.open("shared"));
        one.keep(&lab.changes("one", "1")).unwrap();
        two.keep(&lab.changes("two", "2")).unwrap();
        let both = lab.open("shared");
        assert_eq!(names(&both), ["/first", "/one", "/two"]);
        both.keep(&lab.changes("one", "")).unwrap();
        assert_eq!(names(&lab.open("shared")), ["/first", "/two"]);
    }

    #[test]
    fn many_layers_become_one_with_the_same_files() {
        let lab = lab();
        for number in 0..2 * MAX_LAYERS {
            let cache = lab.open("locked");
            cache.keep(&lab.changes(&format!("f{number:02}"), "x")).unwrap();
        }
        let cache = lab.open("locked");
        assert_eq!(names(&cache).len(), 2 * MAX_LAYERS + 1);
        assert!(cache.state.layers.len() <= MAX_LAYERS, "{}", cache.state.layers.len());
        assert_eq!((cache.state.mode, cache.state.uid), (0o700, 7));
    }

    #[test]
    fn private_caches_in_use_at_the_same_time_are_different_ones() {
        let lab = lab();
        let one = lab.open("private");
        let two = lab.open("private");
        one.keep(&lab.changes("one", "1")).unwrap();
        two.keep(&lab.changes("two", "2")).unwrap();
        drop((one, two));
        assert_eq!(names(&lab.open("private")), ["/first", "/one"]);
    }

    #[test]
    fn a_locked_cache_is_waited_for_until_the_build_is_canceled() {
        let lab = lab();
        let ids = ["a".to_owned(), "b".to_owned()].into();
        let cancel = Cancel::default();
        let held = Locks::take(&lab.store, &ids, &cancel).unwrap();
        cancel.cancel();
        assert!(Locks::take(&lab.store, &ids, &cancel).unwrap_err().is_canceled());
        drop(held);
        assert!(Locks::take(&lab.store, &ids, &cancel).is_ok());
    }
}
