//! Digests of the context's files, remembered, so that an unchanged large file is not read again.
//!
//! A file counts as unchanged if device, inode, size and both times are as they were. One that was
//! changed shortly before it was read is not remembered: a further change could leave its times as
//! they are, as clocks of file systems are coarse.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use lithify_image::{Digest, Record, Records, Store};
use serde::{Deserialize, Serialize};

use super::lock;

/// Smaller files are as quickly read as looked up.
const MIN_BYTES: u64 = 32 << 10;

/// Stops a context of countless files from making a record that is slower than reading them.
const MAX_FILES: usize = 10_000;

/// No file system's times are coarser (FAT's are two seconds).
const SETTLED: Duration = Duration::from_secs(3);

/// The digests of one directory's files.
#[derive(Debug)]
pub(crate) struct FileDigests {
    records: Records,
    key: Digest,
    before: BTreeMap<String, Known>,
    now: Mutex<BTreeMap<String, Known>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// Device, inode, size, and seconds and nanoseconds of both times.
    state: [i64; 7],
    digest: Digest,
}

impl FileDigests {
    /// Those known of the files in `root`.
    pub(crate) fn load(store: &Store, root: &Path) -> Self {
        let records = store.records("context-digests");
        let key = Digest::of(root.as_os_str().as_bytes());
        let before = records.get(&key).map(|record| record.value).unwrap_or_default();
        Self { records, key, before, now: Mutex::default() }
    }

    /// The digest of the file at `path`, which `compute` computes if it is not known.
    pub(crate) fn get<E>(
        &self,
        path: &Path,
        metadata: &Metadata,
        compute: impl FnOnce() -> Result<Digest, E>,
    ) -> Result<Digest, E> {
        if metadata.len() < MIN_BYTES {
            return compute();
        }
        let (name, state) = (path.to_string_lossy().into_owned(), state(metadata));
        let known = self.before.get(&name).filter(|known| known.state == state);
        let digest = match known {
            Some(known) => known.digest,
            None => compute()?,
        };
        if known.is_some() || is_settled(metadata) {
            lock(&self.now).insert(name, Known { state, digest });
        }
        Ok(digest)
    }

    /// Remembers what was asked for. That it is remembered is a courtesy and no duty.
    pub(crate) fn save(self) {
        let now = self.now.into_inner().unwrap_or_default();
        if now != self.before && now.len() <= MAX_FILES {
            let _ = self.records.put(&self.key, &Record { blobs: Vec::new(), value: now });
        }
    }
}

fn state(metadata: &Metadata) -> [i64; 7] {
    let numbers = [metadata.dev(), metadata.ino(), metadata.len()].map(u64::cast_signed);
    let [device, inode, size] = numbers;
    let modified = [metadata.mtime(), metadata.mtime_nsec()];
    let changed = [metadata.ctime(), metadata.ctime_nsec()];
    [device, inode, size, modified[0], modified[1], changed[0], changed[1]]
}

fn is_settled(metadata: &Metadata) -> bool {
    let seconds = u64::try_from(metadata.ctime()).unwrap_or(0);
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    SystemTime::now().duration_since(changed).is_ok_and(|age| age > SETTLED)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_settled_files_are_remembered_and_only_unchanged_ones_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![1; 100_000]).unwrap();
        let computed = |digests: &FileDigests| {
            let mut computed = false;
            let compute = || {
                computed = true;
                Ok::<_, ()>(Digest::of(b"x"))
            };
            digests.get(&path, &path.metadata().unwrap(), compute).unwrap();
            computed
        };
        for _ in 0..2 {
            let digests = FileDigests::load(&store, dir.path());
            assert!(computed(&digests), "the file is too new to be remembered");
            digests.save();
        }
        let metadata = path.metadata().unwrap();
        let known = Known { state: state(&metadata), digest: Digest::of(b"x") };
        let before = BTreeMap::from([(path.to_string_lossy().into_owned(), known)]);
        let loaded =
            || FileDigests { before: before.clone(), ..FileDigests::load(&store, dir.path()) };
        assert!(!computed(&loaded()));
        loaded().save();
        let time = SystemTime::now() + Duration::from_secs(1);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        assert!(computed(&loaded()));
    }
}
