//! What each operation does to the host's files.

use crate::client::{Client, Fields, NOENT, NOTDIR, ROFS, ROOT, Values};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

const WRITE: u32 = 1;
const READ_WRITE: u32 = 2;
const EXCLUSIVE: u32 = 0o200;
const TRUNCATE: u32 = 0o1000;
const APPEND: u32 = 0o2000;

#[test]
fn files_are_made_written_and_read() {
    let mut client = Client::mounted();
    client.create("file", 2, READ_WRITE).unwrap();
    assert_eq!(client.write(2, 3, b"def"), Ok(3));
    assert_eq!(client.write(2, 0, b"abc"), Ok(3));
    assert_eq!(client.read(2, 1, 100).unwrap(), b"bcdef");
    assert_eq!(client.read(2, 6, 100).unwrap(), b"");
    client.done(50, Fields::new().u32(2).u32(0)).unwrap();
    assert_eq!(fs::read(client.path().join("file")).unwrap(), b"abcdef");
    assert_eq!(client.create("file", 3, EXCLUSIVE), Err(17));
    client.open_path("file", 4, TRUNCATE | WRITE).unwrap();
    assert_eq!(fs::read(client.path().join("file")).unwrap(), b"");
    assert_eq!(client.read(4, 0, 1), Err(9), "not open for reading");
}

#[test]
fn appending_goes_to_the_end_whoever_writes() {
    let mut client = Client::mounted();
    client.create("log", 2, WRITE | APPEND).unwrap();
    client.write(2, 0, b"one,").unwrap();
    fs::write(client.path().join("log"), "from the host,").unwrap();
    client.write(2, 4, b"two").unwrap();
    assert_eq!(fs::read(client.path().join("log")).unwrap(), b"from the host,two");
}

#[test]
fn offsets_beyond_four_gigabytes_are_exact() {
    const FAR: u64 = (5 << 30) + 7;
    let mut client = Client::mounted();
    client.create("sparse", 2, READ_WRITE).unwrap();
    client.write(2, FAR, b"far").unwrap();
    assert_eq!(client.attributes(2).unwrap().size, FAR + 3);
    assert_eq!(client.read(2, FAR - 1, 9).unwrap(), b"\0far");
    assert_eq!(client.read(2, u64::MAX, 9), Err(22));
}

#[test]
fn a_message_carries_half_a_megabyte() {
    let mut client = Client::mounted();
    let bytes: Vec<u8> = (0..400_000_u32).map(|number| (number % 251) as u8).collect();
    client.create("large", 2, READ_WRITE).unwrap();
    assert_eq!(client.write(2, 0, &bytes), Ok(400_000));
    assert_eq!(client.read(2, 0, u32::MAX).unwrap(), bytes);
    client.set(2, 8, Values { size: 1 << 20, ..Values::default() }).unwrap();
    assert_eq!(client.read(2, 0, u32::MAX).unwrap().len(), (512 << 10) - 11);
}

#[test]
fn open_files_survive_their_names() {
    let mut client = Client::mounted();
    client.create("a", 2, READ_WRITE).unwrap();
    client.write(2, 0, b"kept").unwrap();
    client.walk(ROOT, 3, &["a"]).unwrap();
    client.rename("a", "b").unwrap();
    assert_eq!(client.attributes(3).unwrap().size, 4, "a fid follows a rename");
    client.unlink("b", 0).unwrap();
    assert_eq!(client.read(2, 0, 9).unwrap(), b"kept");
    assert_eq!(client.attributes(2).unwrap().links, 0);
    assert_eq!(client.attributes(3).unwrap().size, 4, "through the other's handle");
    client.set(3, 8 | 0x20, Values { size: 1, ..Values::default() }).unwrap();
    assert_eq!(client.read(2, 0, 9).unwrap(), b"k");
    client.clunk(2).unwrap();
    assert_eq!(client.attributes(3), Err(NOENT));
}

#[test]
fn renames_replace_and_links_count() {
    let mut client = Client::mounted();
    for (name, text) in [("old", "old"), ("new", "new")] {
        fs::write(client.path().join(name), text).unwrap();
    }
    client.walk(ROOT, 2, &["new"]).unwrap();
    client.done(70, Fields::new().u32(ROOT).u32(2).str("second")).unwrap();
    assert_eq!(client.attributes(2).unwrap().links, 2);
    client.rename("new", "second").unwrap();
    assert!(client.path().join("new").exists(), "two names of one file: nothing happens");
    client.walk(ROOT, 3, &["new"]).unwrap();
    client.rename("new", "old").unwrap();
    assert_eq!(fs::read(client.path().join("old")).unwrap(), b"new");
    assert_eq!(client.rename("missing", "x"), Err(NOENT));
}

#[test]
fn directories_are_made_entered_moved_and_removed() {
    let mut client = Client::mounted();
    let mkdir = |name: &str| Fields::new().u32(ROOT).str(name).u32(0o750).u32(0);
    client.call(72, mkdir("dir")).unwrap();
    assert_eq!(client.call(72, mkdir("dir")).err(), Some(17));
    client.walk(ROOT, 2, &["dir"]).unwrap();
    let inside = Fields::new().u32(ROOT).str("dir").u32(2).str("inside");
    assert_eq!(client.done(74, inside), Err(22));
    fs::write(client.path().join("dir/file"), "").unwrap();
    assert_eq!(client.unlink("dir", 0x200), Err(39));
    assert_eq!(client.unlink("dir", 0), Err(21));
    fs::remove_file(client.path().join("dir/file")).unwrap();
    client.unlink("dir", 0x200).unwrap();
    assert_eq!(client.attributes(2), Err(NOENT));
}

#[test]
fn large_directories_are_listed_whole_in_pieces_of_any_size() {
    let mut client = Client::mounted();
    let names: BTreeSet<String> = (0..10_000)
        .map(|number| format!("{number:0>255}"))
        .chain([".".into(), "..".into()])
        .collect();
    for name in names.iter().filter(|name| name.len() > 2) {
        fs::write(client.path().join(name), "").unwrap();
    }
    for len in [3000, u32::MAX] {
        client.open_path("", 2, 0).unwrap();
        let listed = client.list(2, len);
        assert_eq!(listed.len(), names.len());
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), names);
        client.clunk(2).unwrap();
    }
    client.open_path("", 2, 0).unwrap();
    assert_eq!(client.call(40, Fields::new().u32(2).u64(0).u32(20)).err(), Some(22));
}

#[test]
fn symbolic_links_are_read_not_followed() {
    let mut client = Client::mounted();
    client.call(16, Fields::new().u32(ROOT).str("link").str("../../etc/passwd").u32(0)).unwrap();
    client.walk(ROOT, 2, &["link"]).unwrap();
    assert_eq!(client.attributes(2).unwrap().mode, 0o120_777);
    assert_eq!(client.call(22, Fields::new().u32(2)).unwrap().str(), "../../etc/passwd");
    assert_eq!(client.open(2, 0), Err(40));
    symlink("/etc", client.path().join("etc")).unwrap();
    assert_eq!(client.walk(ROOT, 3, &["etc", "passwd"]), Ok(1), "the walk ends at the link");
    client.walk(ROOT, 4, &["etc"]).unwrap();
    assert_eq!(client.walk(4, 5, &["passwd"]), Err(20));
}

#[test]
fn owners_and_modes_are_remembered_but_not_the_host_s() {
    let mut client = Client::mounted();
    fs::write(client.path().join("there"), "").unwrap();
    client.walk(ROOT, 2, &["there"]).unwrap();
    let there = client.attributes(2).unwrap();
    assert_eq!((there.mode, there.uid, there.gid), (0o100_755, 1000, 100));
    let before = fs::metadata(client.path().join("there")).unwrap().mode();
    client.set(2, 1 | 2, Values { mode: 0o600, uid: 33, ..Values::default() }).unwrap();
    client.rename("there", "moved").unwrap();
    client.walk(ROOT, 3, &["moved"]).unwrap();
    let moved = client.attributes(3).unwrap();
    assert_eq!((moved.mode, moved.uid, moved.gid), (0o100_600, 33, 100));
    assert_eq!(fs::metadata(client.path().join("moved")).unwrap().mode(), before);

    client.attach(9, 33, "").unwrap();
    client.walk(9, 10, &["0"]).unwrap();
    client.call(14, Fields::new().u32(10).str("made").u32(WRITE).u32(0o640).u32(5)).unwrap();
    let made = client.attributes(10).unwrap();
    assert_eq!((made.mode, made.uid, made.gid), (0o100_640, 33, 5));
}

#[test]
fn times_and_sizes_are_set() {
    let mut client = Client::mounted();
    fs::write(client.path().join("file"), "abc").unwrap();
    client.walk(ROOT, 2, &["file"]).unwrap();
    let values = Values { size: 10, modified: (1_000_000_000, 5), ..Values::default() };
    client.set(2, 8 | 0x20 | 0x100, values).unwrap();
    let attributes = client.attributes(2).unwrap();
    assert_eq!((attributes.size, attributes.modified), (10, (1_000_000_000, 5)));
    assert_eq!(fs::read(client.path().join("file")).unwrap(), b"abc\0\0\0\0\0\0\0");
    client.set(2, 0x20, Values::default()).unwrap();
    assert!(client.attributes(2).unwrap().modified.0 > 1_600_000_000, "now");
}

#[test]
fn read_only_exports_refuse_every_change() {
    let mut client = Client::mounted();
    fs::write(client.path().join("file"), "abc").unwrap();
    fs::create_dir(client.path().join("dir")).unwrap();
    client.walk(0, 20, &["1"]).unwrap();
    client.walk(20, 21, &["file"]).unwrap();
    for flags in [WRITE, READ_WRITE, TRUNCATE] {
        assert_eq!(client.open(21, flags), Err(ROFS));
    }
    let entry = |name: &str| Fields::new().u32(20).str(name);
    for (kind, fields) in [
        (14, entry("new").u32(WRITE).u32(0o644).u32(0)),
        (16, entry("new").str("target").u32(0)),
        (26, Fields::new().u32(21).u32(8).bytes(&[0; 52])),
        (70, Fields::new().u32(20).u32(21).str("new")),
        (72, entry("new").u32(0o755).u32(0)),
        (74, entry("file").u32(20).str("new")),
        (74, entry("file").u32(ROOT).str("new")),
        (76, entry("file").u32(0)),
        (76, entry("dir").u32(0x200)),
    ] {
        assert_eq!(client.call(kind, fields).err(), Some(ROFS), "message {kind}");
    }
    client.open(21, 0).unwrap();
    assert_eq!(client.read(21, 0, 9).unwrap(), b"abc");
    assert_eq!(fs::read_dir(client.path()).unwrap().count(), 2);
}

#[test]
fn the_directory_of_exports_is_fixed() {
    let mut client = Client::mounted();
    let top = client.attributes(0).unwrap();
    assert_eq!(top.mode, 0o040_755);
    assert_eq!(client.walk(0, 8, &["2"]), Err(NOENT));
    assert_eq!(client.walk(0, 8, &["00", "x"]), Err(NOENT));
    let mkdir = Fields::new().u32(0).str("2").u32(0o755).u32(0);
    assert_eq!(client.call(72, mkdir).err(), Some(ROFS));
    client.walk(ROOT, 5, &["..", "..", "0"]).unwrap();
    client.open(0, 0).unwrap();
    assert_eq!(client.list(0, 4096), [".", "..", "0", "1"]);
}

#[test]
fn a_single_file_is_an_export_without_entries() {
    let mut client = Client::mounted_single();
    fs::write(client.path().join("sibling"), "").unwrap();
    assert_eq!(client.attributes(ROOT).unwrap().mode, 0o100_755);
    for name in ["..", "sibling", "single"] {
        assert_eq!(client.walk(ROOT, 8, &[name]), Err(NOTDIR), "{name}");
    }
    let entry = |name: &str| Fields::new().u32(ROOT).str(name);
    for (kind, fields) in [
        (14, entry("new").u32(WRITE).u32(0o644).u32(0)),
        (16, entry("new").str("target").u32(0)),
        (70, Fields::new().u32(ROOT).u32(ROOT).str("new")),
        (72, entry("new").u32(0o755).u32(0)),
        (74, entry("single").u32(ROOT).str("new")),
        (76, entry("sibling").u32(0)),
    ] {
        assert_eq!(client.call(kind, fields).err(), Some(NOTDIR), "message {kind}");
    }
    client.open_path("", 2, READ_WRITE).unwrap();
    assert_eq!(client.write(2, 3, b"def"), Ok(3));
    assert_eq!(client.read(2, 0, 9).unwrap(), b"abcdef");
    client.set(ROOT, 8, Values { size: 2, ..Values::default() }).unwrap();
    assert_eq!(fs::read(client.path().join("single")).unwrap(), b"ab");
    assert_eq!(fs::read_dir(client.path()).unwrap().count(), 2);
}

#[test]
fn locks_are_granted() {
    let mut client = Client::mounted();
    client.create("file", 2, READ_WRITE).unwrap();
    let lock = Fields::new().u32(2).u8(1).u32(0).u64(0).u64(0).u32(1).str("guest");
    assert_eq!(client.call(52, lock).unwrap().u8(), 0);
    let get = Fields::new().u32(2).u8(1).u64(0).u64(9).u32(1).str("guest");
    assert_eq!(client.call(54, get).unwrap().u8(), 2);
}
