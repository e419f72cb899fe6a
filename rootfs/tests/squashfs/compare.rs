//! A tree against a directory that should show it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lithify_rootfs::{Content, DeviceNumber, Entry, Kind, Special, Tree};
use rustix::fs::{lgetxattr, llistxattr, makedev, statfs};
use rustix::io::Errno;

const SQUASHFS_MAGIC: i64 = 0x7371_7368;
/// More than any name list or value of the tests has.
const XATTR_BYTES: usize = 4096;

/// Asserts that the directory `root` shows `tree`: every name, type, mode, owner, time, link
/// count, attribute and byte.
pub(crate) fn assert_same(tree: &Tree, root: &Path) {
    let on_squashfs = statfs(root).unwrap().f_type == SQUASHFS_MAGIC;
    let mut inodes = HashMap::new();
    let mut names = HashMap::new();
    for entry in tree.walk() {
        let first = entry.link_of.clone().unwrap_or_else(|| entry.path.clone());
        *names.entry(first).or_insert(0) += 1;
    }
    for entry in tree.walk() {
        let shown = root.join(entry.path.strip_prefix("/").unwrap());
        let stat = shown.symlink_metadata().unwrap_or_else(|error| {
            panic!("{}: {error}", shown.display());
        });
        assert_metadata(&entry, &shown, &stat);
        assert_kind(&entry.node.kind, &shown, &stat);
        let first = entry.link_of.clone().unwrap_or_else(|| entry.path.clone());
        assert_links(tree, &entry, &stat, names[&first], on_squashfs);
        let ino = *inodes.entry(first).or_insert(stat.ino());
        assert_eq!(ino, stat.ino(), "{} is another inode", shown.display());
    }
    assert_eq!(count(root), tree.walk().count(), "there are other names");
}

fn assert_metadata(entry: &Entry<'_>, shown: &Path, stat: &fs::Metadata) {
    let (meta, at) = (&entry.node.meta, shown.display());
    if !matches!(entry.node.kind, Kind::Symlink(_)) {
        assert_eq!(stat.mode() & 0o7777, u32::from(meta.mode), "mode of {at}");
    }
    assert_eq!(stat.mtime(), i64::from(meta.mtime), "time of {at}");
    assert_eq!((stat.uid(), stat.gid()), (meta.uid, meta.gid), "owner of {at}");
    assert_eq!(xattrs(shown), meta.xattrs, "attributes of {at}");
}

fn assert_kind(kind: &Kind, shown: &Path, stat: &fs::Metadata) {
    let (at, file_type) = (shown.display(), stat.mode() & 0o170_000);
    let expected = match kind {
        Kind::Directory => 0o040_000,
        Kind::File(content) => {
            assert_eq!(stat.size(), content.len(), "length of {at}");
            assert_content(content, shown);
            0o100_000
        }
        Kind::Symlink(target) => {
            assert_eq!(&fs::read_link(shown).unwrap(), target, "target of {at}");
            0o120_000
        }
        Kind::Special(Special::CharDevice(DeviceNumber { major, minor })) => {
            assert_eq!(stat.rdev(), makedev(*major, *minor), "{at}");
            0o020_000
        }
        Kind::Special(Special::BlockDevice(DeviceNumber { major, minor })) => {
            assert_eq!(stat.rdev(), makedev(*major, *minor), "{at}");
            0o060_000
        }
        Kind::Special(Special::Fifo) => 0o010_000,
        Kind::Special(Special::Socket) => 0o140_000,
    };
    assert_eq!(file_type, expected, "type of {at}");
}

fn assert_content(content: &Content, shown: &Path) {
    let mut expected = content.reader();
    let mut found = fs::File::open(shown).unwrap();
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut remaining = content.len();
    while remaining > 0 {
        let len = remaining.min(1 << 20) as usize;
        expected.read_exact(&mut left[..len]).unwrap();
        found.read_exact(&mut right[..len]).unwrap();
        assert!(left[..len] == right[..len], "{} differs", shown.display());
        remaining -= len as u64;
    }
}

fn assert_links(
    tree: &Tree,
    entry: &Entry<'_>,
    stat: &fs::Metadata,
    names: u64,
    on_squashfs: bool,
) {
    let expected = match entry.node.kind {
        // What other file systems count is their business.
        Kind::Directory if !on_squashfs => return,
        Kind::Directory => {
            let children = tree.children(&entry.path).unwrap();
            2 + children.iter().filter(|(_, node)| node.kind.is_directory()).count() as u64
        }
        _ => names,
    };
    assert_eq!(stat.nlink(), expected, "links of {}", entry.path.display());
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; XATTR_BYTES];
    let len = match llistxattr(path, &mut names[..]) {
        // An image without any attributes.
        Err(Errno::OPNOTSUPP) => 0,
        len => len.unwrap(),
    };
    names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(value(path)).collect()
}

fn value(path: &Path) -> impl Fn(&[u8]) -> (Vec<u8>, Vec<u8>) {
    move |name| {
        let mut value = vec![0; XATTR_BYTES];
        let len = lgetxattr(path, name, &mut value[..]).unwrap();
        value.truncate(len);
        (name.to_vec(), value)
    }
}

fn count(root: &Path) -> usize {
    let mut directories: Vec<PathBuf> = vec![root.to_owned()];
    let mut count = 1;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            assert!(entry.file_name().as_bytes().len() <= 255);
            count += 1;
            if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            }
        }
    }
    count
}
