use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::manifest::{Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::{Descriptor, Digest, Layer};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn exclusive(dir: &Path) -> ExclusiveStore {
    ExclusiveStore::open(dir, &mut |_| panic!("somebody else has the store")).unwrap()
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

fn put(store: &Store, bytes: &[u8]) -> Digest {
    store.put(bytes, None).unwrap().0
}

const ALL: PruneOptions = PruneOptions { names: false, used_before: None };

#[test]
fn what_is_put_can_be_got() {
    let (_dir, store) = store();
    let (digest, len) = store.put(&b"hello"[..], None).unwrap();
    assert_eq!((digest, len), (Digest::of(b"hello"), 5));
    assert_eq!(store.get(&digest).unwrap().read_all(9, "x").unwrap(), b"hello");
    store.put(&b"hello"[..], Some(&digest)).unwrap();
    assert_eq!((files(&store.blobs), files(&store.temporary)), (1, 0));
}

#[test]
fn a_wrong_digest_leaves_nothing_behind() {
    let (_dir, store) = store();
    assert!(store.put(&b"hello"[..], Some(&Digest::of(b"other"))).is_err());
    drop(store.writer().unwrap());
    assert_eq!((files(&store.blobs), files(&store.temporary)), (0, 0));
}

#[test]
fn a_damaged_or_missing_blob_is_an_error() {
    let (_dir, store) = store();
    let digest = put(&store, b"hello");
    fs::remove_file(store.blob_path(&digest)).unwrap();
    assert!(matches!(store.get(&digest), Err(Error::MissingBlob { .. })));
    fs::write(store.blob_path(&digest), b"jello").unwrap();
    assert!(matches!(store.get(&digest), Err(Error::DigestMismatch { .. })));
}

/// A blob whose file is untouched opens unread: here the content was exchanged and the time of the
/// file put back, which only `get_reading_all` can find out.
#[test]
fn only_an_untouched_blob_opens_unread() {
    let (_dir, store) = store();
    let digest = put(&store, b"hello");
    let path = store.blob_path(&digest);
    let stamped = path.metadata().unwrap().modified().unwrap();

    fs::write(&path, b"jello").unwrap();
    assert!(store.get(&digest).is_err());
    File::options().write(true).open(&path).unwrap().set_modified(stamped).unwrap();
    assert!(store.get(&digest).is_ok());
    assert!(matches!(store.get_reading_all(&digest), Err(Error::DigestMismatch { .. })));
}

#[test]
fn a_blob_that_was_read_whole_is_stamped_again() {
    let (_dir, store) = store();
    let digest = put(&store, b"hello");
    let path = store.blob_path(&digest);
    let stamped = path.metadata().unwrap().modified().unwrap();
    fs::write(&path, b"hello").unwrap();
    store.get(&digest).unwrap();
    assert_eq!(path.metadata().unwrap().modified().unwrap(), stamped);
}

#[test]
fn a_compressed_layer_is_expanded_once_and_a_damaged_copy_replaced() {
    let (_dir, store) = store();
    let tar = vec![5; 10_000];
    let stored = zstd::encode_all(&tar[..], 1).unwrap();
    let digest = put(&store, &stored);
    let diff_id = Digest::of(&tar);
    let blob = store.get(&digest).unwrap();
    let layer = Layer::compressed("zstd", digest, diff_id, blob);
    for _ in 0..2 {
        assert_eq!(store.stage_tar(&layer).unwrap().read_all(99_999, "x").unwrap(), tar);
        fs::remove_file(store.blob_path(&diff_id)).unwrap();
        fs::write(store.blob_path(&diff_id), b"damaged").unwrap();
    }
    assert_eq!(store.stage_tar(&layer).unwrap().len(), 10_000);
}

#[test]
fn concurrent_writers_of_one_blob_agree() {
    let (_dir, store) = store();
    let bytes = vec![9; 300_000];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| store.put(&bytes[..], None).unwrap());
        }
    });
    assert_eq!((files(&store.blobs), files(&store.temporary)), (1, 0));
    assert_eq!(store.get(&Digest::of(&bytes)).unwrap().len(), 300_000);
}

#[test]
fn a_record_counts_only_with_all_its_blobs() {
    let (_dir, store) = store();
    let blob = put(&store, b"layer");
    let (key, records) = (Digest::of(b"key"), store.records("build-cache"));
    let record = Record { blobs: vec![blob], value: "made".to_owned() };
    assert_eq!(records.get::<String>(&key), None);
    records.put(&key, &record).unwrap();
    assert_eq!(records.get(&key), Some(record.clone()));
    assert_eq!(store.records("other").get::<String>(&key), None);

    fs::remove_file(store.blob_path(&blob)).unwrap();
    assert_eq!(records.get::<String>(&key), None);
    assert!(matches!(records.put(&key, &record), Err(Error::MissingBlob { .. })));
    put(&store, b"layer");
    fs::write(records.list().unwrap()[0].path.clone(), b"{\"blobs\":[],").unwrap();
    assert_eq!(records.get::<String>(&key), None);
    assert!(records.list().unwrap().is_empty());
    records.remove(&key).unwrap();
    records.remove(&key).unwrap();
}

fn artifact(store: &Store, content: &[u8]) -> Descriptor {
    let layer = Descriptor::new("application/wasm", content);
    put(store, content);
    put(store, b"{}");
    let manifest = Manifest::new(Descriptor::new(OCI_CONFIG, b"{}"), vec![layer]).to_json();
    put(store, &manifest);
    Descriptor::new(OCI_MANIFEST, &manifest)
}

#[test]
fn names_are_set_moved_found_and_removed() {
    let (_dir, store) = store();
    let (one, two) = (artifact(&store, b"one"), artifact(&store, b"two"));
    let name = "app".parse().unwrap();
    store.set_name(&name, &one).unwrap();
    store.set_name(&"example.org/b:1".parse().unwrap(), &one).unwrap();
    store.set_name(&name, &two).unwrap();
    let names = |store: &Store| {
        let names = store.names().unwrap().into_iter();
        names.map(|named| (named.reference.to_string(), named.descriptor)).collect::<Vec<_>>()
    };
    let b = ("example.org/b:1".to_owned(), one.clone());
    assert_eq!(
        names(&store),
        [("docker.io/library/app:latest".to_owned(), two.clone()), b.clone()]
    );
    let resolve = |text: &str| store.resolve(&text.parse().unwrap()).unwrap();
    assert_eq!(resolve("docker.io/library/app:latest"), Some(two));
    assert_eq!(resolve("app:2"), None);
    assert_eq!(resolve(&format!("app@{}", one.digest)), Some(one));
    assert!(store.remove_name(&name).unwrap());
    assert!(!store.remove_name(&name).unwrap());
    assert_eq!(names(&store), [b]);
}

#[test]
fn concurrent_names_are_all_kept() {
    let (_dir, store) = store();
    let descriptor = artifact(&store, b"one");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (store, descriptor) = (&store, &descriptor);
            scope.spawn(move || {
                store.set_name(&format!("app:{number}").parse().unwrap(), descriptor).unwrap();
            });
        }
    });
    assert_eq!(store.names().unwrap().len(), 8);
}

#[test]
fn pruning_keeps_what_names_and_records_need() {
    let (dir, store) = store();
    let name = "app".parse().unwrap();
    store.set_name(&name, &artifact(&store, b"named")).unwrap();
    let (cached, old) = (put(&store, b"cached"), put(&store, b"old"));
    let unneeded = put(&store, b"unneeded");
    let records = store.records("build-cache");
    for (key, blob) in [(b"new", cached), (b"old", old)] {
        records.put(&Digest::of(key), &Record { blobs: vec![blob], value: () }).unwrap();
    }
    let day = Duration::from_secs(24 * 3600);
    let used = SystemTime::now() - 2 * day;
    let path = records.list().unwrap().into_iter().find(|entry| entry.blobs == [old]).unwrap().path;
    File::options().write(true).open(path).unwrap().set_modified(used).unwrap();
    drop((store, records));

    let store = exclusive(dir.path());
    let before = SystemTime::now() - day;
    let pruned = store.prune(&PruneOptions { used_before: Some(before), ..ALL }).unwrap();
    let mut blobs = vec![old, unneeded];
    blobs.sort();
    let mut removed = pruned.blobs.clone();
    removed.sort();
    assert_eq!((pruned.records, removed, pruned.bytes), (1, blobs, 11));
    assert_eq!(store.prune(&ALL).unwrap().blobs, [cached]);
    assert_eq!(files(&store.blobs), 3);
    let pruned = store.prune(&PruneOptions { names: true, ..ALL }).unwrap();
    assert_eq!(pruned.names, ["docker.io/library/app:latest"]);
    assert_eq!(files(&store.blobs), 0);
}

#[test]
fn who_removes_waits_for_those_who_use() {
    let (dir, store) = store();
    let (sender, waiting) = mpsc::channel();
    std::thread::scope(|scope| {
        let removing = scope.spawn(|| {
            ExclusiveStore::open(dir.path(), &mut |others| sender.send(others).unwrap()).unwrap();
        });
        let others = waiting.recv().unwrap();
        assert!(others.is_none_or(|others| others >= 1), "{others:?}");
        assert!(!removing.is_finished());
        drop(store);
        removing.join().unwrap();
    });
}

#[test]
fn leftovers_go_when_nobody_else_is_there() {
    let (dir, first) = store();
    fs::write(first.temporary.join("left"), b"over").unwrap();
    fs::create_dir(first.temporary.join("dir")).unwrap();
    let second = Store::open(dir.path()).unwrap();
    assert_eq!(files(&second.temporary), 2);
    drop((first, second));
    assert_eq!(files(&Store::open(dir.path()).unwrap().temporary), 0);
}

#[test]
fn a_store_is_a_layout_that_others_can_read() {
    let (dir, store) = store();
    let config = crate::ImageConfig::new(&crate::Platform::linux("riscv64"));
    let json = config.to_json();
    put(&store, &json);
    let manifest = Manifest::new(Descriptor::new(OCI_CONFIG, &json), Vec::new()).to_json();
    put(&store, &manifest);
    let name: crate::Reference = "app:1".parse().unwrap();
    store.set_name(&name, &Descriptor::new(OCI_MANIFEST, &manifest)).unwrap();
    let image = Some(crate::ImageChoice::Tag(name.to_string()));
    let selection = crate::Selection { image, platform: crate::Platform::linux("riscv64") };
    let expected = Some(Digest::of(&manifest));
    assert_eq!(store.image(&selection).unwrap().manifest_digest, expected);
    let image = crate::open_oci_layout(dir.path(), &selection).unwrap();
    assert_eq!(image.manifest_digest, expected);
}
