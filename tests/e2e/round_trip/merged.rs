//! The lines of `listing.py`, of a tree.

use lithify_rootfs::{Content, Entry, Kind, Special, Tree};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const HUGE: u64 = 64 << 20;
const PIECE: u64 = 1 << 20;
const MANY: usize = 1000;

/// All lines of what is below `root`.
pub(super) fn listing(tree: &Tree, root: &Path) -> String {
    let mut names: HashMap<PathBuf, u32> = HashMap::new();
    for entry in tree.walk() {
        *names.entry(entry.link_of.unwrap_or(entry.path)).or_default() += 1;
    }
    // By folder, as the walk goes into one before it is through with the folder above.
    let mut folders: HashMap<PathBuf, Vec<String>> = HashMap::new();
    let mut firsts = HashMap::new();
    let mut directories = Vec::new();
    let mut entries: Vec<Entry<'_>> = tree.walk_from(root).expect("a directory").collect();
    entries.sort_by_cached_key(|entry| order(&entry.path));
    for entry in &entries {
        if entry.node.kind.is_directory() {
            directories.push(entry.path.clone());
        }
        if entry.path == root {
            continue;
        }
        let node = entry.link_of.clone().unwrap_or_else(|| entry.path.clone());
        let first = firsts.entry(node.clone()).or_insert_with(|| entry.path.clone()).clone();
        let line = line(entry, root, names[&node], &first);
        let folder = entry.path.parent().expect("a folder").to_owned();
        folders.entry(folder).or_default().push(line);
    }
    let mut lines = String::new();
    for directory in directories_in_order(directories) {
        let inside = folders.remove(&directory).unwrap_or_default();
        lines.push_str(&if inside.len() > MANY {
            let sum = hex(&Sha256::digest(inside.concat()));
            format!("{}/ {} entries sha256={sum}\n", text(&directory, root), inside.len())
        } else {
            inside.concat()
        });
    }
    lines
}

/// Entries of a directory before what is in them, as the listing numbers links.
fn order(path: &Path) -> Vec<(bool, Vec<u8>)> {
    let mut parts: Vec<(bool, Vec<u8>)> =
        path.iter().map(|part| (true, part.as_bytes().to_vec())).collect();
    if let Some(last) = parts.last_mut() {
        last.0 = false;
    }
    parts
}

/// Depth first, by the bytes of the names.
fn directories_in_order(mut directories: Vec<PathBuf>) -> Vec<PathBuf> {
    directories.sort_by_cached_key(|path| {
        path.iter().map(|part| part.as_bytes().to_vec()).collect::<Vec<_>>()
    });
    directories
}

fn line(entry: &Entry<'_>, root: &Path, names: u32, first: &Path) -> String {
    let meta = &entry.node.meta;
    let mut line = format!("{} {}", text(&entry.path, root), content(&entry.node.kind));
    let numbers = (meta.mode, meta.uid, meta.gid, meta.mtime);
    let (mode, uid, gid, mtime) = numbers;
    write!(line, " mode={mode:04o} uid={uid} gid={gid} mtime={mtime}").expect("a string");
    if !entry.node.kind.is_directory() {
        write!(line, " nlink={names} first={}", text(first, root)).expect("a string");
    }
    for (name, value) in &meta.xattrs {
        write!(line, " {}={}", String::from_utf8_lossy(name), hex(value)).expect("a string");
    }
    line + "\n"
}

fn content(kind: &Kind) -> String {
    match kind {
        Kind::Directory => "dir".into(),
        Kind::File(content) => format!("file size={} sha256={}", content.len(), sum(content)),
        Kind::Symlink(target) => format!("symlink target={}", escaped(target.as_os_str())),
        Kind::Special(Special::CharDevice(device)) => {
            format!("char rdev={}:{}", device.major, device.minor)
        }
        Kind::Special(Special::BlockDevice(device)) => {
            format!("block rdev={}:{}", device.major, device.minor)
        }
        Kind::Special(Special::Fifo) => "fifo".into(),
        Kind::Special(Special::Socket) => "socket".into(),
    }
}

fn sum(content: &Content) -> String {
    let len = content.len();
    let pieces = match len {
        0..=HUGE => vec![(0, len)],
        _ => [0, len / 2, len - PIECE].map(|at| (at, PIECE)).to_vec(),
    };
    let mut sum = Sha256::new();
    for (at, len) in pieces {
        let mut piece = vec![0; len as usize];
        content.read_at(&mut piece, at).expect("the file's bytes");
        sum.update(&piece);
    }
    hex(&sum.finalize())
}

fn text(path: &Path, root: &Path) -> String {
    escaped(path.strip_prefix(root).expect("a path below the root").as_os_str())
}

fn escaped(name: &OsStr) -> String {
    let escape = |byte: &u8| match byte {
        b'!'..=b'~' if *byte != b'\\' => char::from(*byte).to_string(),
        b' ' => " ".into(),
        _ => format!("\\x{byte:02x}"),
    };
    name.as_bytes().iter().map(escape).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
