//! Trees for the tests.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use lithify_rootfs::{Content, DeviceNumber, Kind, Metadata, Node, Special, Tree};

/// Bytes of a data block.
pub(crate) const BLOCK: usize = 64 << 10;

/// `cap_net_raw+ep` as `setcap` writes it.
pub(crate) const CAP_NET_RAW: [u8; 20] =
    [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

pub(crate) fn node(mode: u16, kind: Kind) -> Node {
    let meta = Metadata { uid: 1000, gid: 70_000, mtime: 86_400, ..Metadata::root_owned(mode) };
    Node { meta, kind }
}

pub(crate) fn file(bytes: impl Into<Vec<u8>>) -> Kind {
    Kind::File(Content::inline(bytes.into()))
}

pub(crate) fn tree<P: AsRef<Path>>(entries: impl IntoIterator<Item = (P, Node)>) -> Tree {
    let mut tree = Tree::new();
    for (path, node) in entries {
        tree.insert(path.as_ref(), node).unwrap();
    }
    tree
}

/// Bytes without a pattern, different for each seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Something of everything.
pub(crate) fn everything() -> Tree {
    let long = "n".repeat(255);
    let mut entries: Vec<(PathBuf, Node)> = [
        ("bin/su", node(0o4755, file(*b"elf"))),
        ("bin/wall", node(0o2755, file(*b"elf"))),
        ("tmp", node(0o1777, Kind::Directory)),
        ("empty", node(0o644, file(*b""))),
        (
            "dev/null",
            node(0o666, Kind::Special(Special::CharDevice(DeviceNumber { major: 1, minor: 3 }))),
        ),
        (
            "dev/sda",
            node(
                0o660,
                Kind::Special(Special::BlockDevice(DeviceNumber { major: 8, minor: 70_000 })),
            ),
        ),
        ("run/fifo", node(0o600, Kind::Special(Special::Fifo))),
        ("run/sock", node(0o600, Kind::Special(Special::Socket))),
        ("link", node(0o777, Kind::Symlink("bin/su".into()))),
        ("far", node(0o777, Kind::Symlink("t/".repeat(2000).into()))),
        (&long, node(0o600, file(*b"long"))),
    ]
    .into_iter()
    .map(|(path, node)| (path.into(), node))
    .collect();
    entries.push((OsStr::from_bytes(b"latin\xe9").into(), node(0o644, file(*b"x"))));
    entries.push((format!("{}end", "deep/".repeat(100)).into(), node(0o644, file(*b"deep"))));
    entries.extend((0..300_u32).map(|id| {
        let mut owned = node(0o640, file(format!("{}", id % 7)));
        (owned.meta.uid, owned.meta.gid, owned.meta.mtime) = (id, 100_000 + id, u32::MAX - id);
        (format!("ids/{id}").into(), owned)
    }));
    let mut tree = tree(entries);
    add_contents(&mut tree);
    add_links(&mut tree);
    add_xattrs(&mut tree);
    let root = Metadata { uid: 3, mtime: 1_700_000_000, ..Metadata::root_owned(0o751) };
    tree.insert(Path::new("/"), Node::directory(root)).unwrap();
    tree
}

/// Files around all limits of blocks and fragments.
fn add_contents(tree: &mut Tree) {
    let mut holes = vec![0; 50 * BLOCK];
    holes[30 * BLOCK + 5..30 * BLOCK + 10].fill(1);
    let zeros = vec![0; 40 * BLOCK + 1];
    let mut cases = vec![("zeros".to_owned(), zeros), ("holes".to_owned(), holes)];
    for len in [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 10 * BLOCK + 17] {
        cases.push((format!("noise{len}"), noise(1, len)));
        cases.push((format!("same-as-noise{len}"), noise(1, len)));
    }
    // More small files than one fragment block or one metadata block holds.
    cases.extend((0..3000).map(|i| (format!("small/{i}"), noise(i, i as usize % 97))));
    for (name, bytes) in cases {
        tree.insert(&Path::new("data").join(name), node(0o644, file(bytes))).unwrap();
    }
}

fn add_links(tree: &mut Tree) {
    for (existing, new) in [
        ("bin/su", "a/su-before"),
        ("bin/su", "sbin/su-after"),
        ("data/noise1", "data/small/link"),
        ("link", "link-to-link"),
        ("dev/null", "dev/zero-names"),
        ("run/fifo", "run/fifo2"),
    ] {
        tree.hard_link(Path::new(existing), Path::new(new)).unwrap();
    }
}

fn add_xattrs(tree: &mut Tree) {
    let mut add = |path: &str, kind: Kind, xattrs: &[(&str, &[u8])]| {
        let mut with = node(0o755, kind);
        let xattrs = xattrs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()));
        with.meta.xattrs = xattrs.collect();
        tree.insert(Path::new(path), with).unwrap();
    };
    let capability: (&str, &[u8]) = ("security.capability", &CAP_NET_RAW);
    add("x/ping", file(*b"elf"), &[capability]);
    add("x/ping2", file(*b"elf2"), &[capability]);
    let many: &[(&str, &[u8])] =
        &[("trusted.overlay.opaque", b"y"), ("user.empty", b""), ("user.note", &[7; 3000])];
    add("x/many", file(*b"many"), many);
    add("x/dir", Kind::Directory, many);
    add("x/link", Kind::Symlink("ping".into()), &[("trusted.a", b"1")]);
    add("x/fifo", Kind::Special(Special::Fifo), &[("trusted.a", b"2")]);
    let char = Kind::Special(Special::CharDevice(DeviceNumber { major: 5, minor: 1 }));
    add("x/console", char, &[("trusted.a", b"3")]);
    // More than one metadata block of values and of sets.
    for i in 0..600_u32 {
        add(&format!("x/sets/{i}"), file(*b"x"), &[("user.number", &i.to_le_bytes())]);
    }
    tree.hard_link(Path::new("x/ping"), Path::new("x/ping6")).unwrap();
}
