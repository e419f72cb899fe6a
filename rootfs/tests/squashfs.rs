//! The squashfs image, checked with squashfs-tools.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

use lithify_rootfs::{
    Content, Kind, Metadata, Node, Special, SquashfsOptions, Tree, Warning, write_squashfs,
};

const MIB: usize = 1 << 20;

fn node(mode: u16, kind: Kind) -> Node {
    let meta = Metadata { uid: 1000, gid: 70_000, mtime: 86_400, ..Metadata::root_owned(mode) };
    Node { meta, kind }
}

fn file(bytes: impl Into<Vec<u8>>) -> Kind {
    Kind::File(Content::inline(bytes.into()))
}

fn tree(entries: Vec<(&str, Node)>) -> Tree {
    let mut tree = Tree::new();
    for (path, node) in entries {
        tree.insert(Path::new(path), node).unwrap();
    }
    tree
}

/// Writes the image to `dir` and returns its warnings.
fn write(tree: &Tree, dir: &Path) -> Vec<Warning> {
    let mut out = File::create(dir.join("image")).unwrap();
    write_squashfs(tree, &mut out, &SquashfsOptions::default()).unwrap()
}

/// Runs `unsquashfs` on the image in `dir`; `None` if it is not installed.
fn unsquashfs(dir: &Path, arguments: &[&str]) -> Option<String> {
    let output: Output = match Command::new("unsquashfs").args(arguments).current_dir(dir).output()
    {
        Ok(output) => output,
        Err(_) => {
            println!("skipped: no `unsquashfs` program (package squashfs-tools)");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "unsquashfs {arguments:?}: {text}{errors}");
    Some(text)
}

#[test]
fn the_superblock_says_uncompressed() {
    let dir = tempfile::tempdir().unwrap();
    write(&tree(vec![("f", node(0o644, file(vec![7; 300_000])))]), dir.path());
    let Some(text) = unsquashfs(dir.path(), &["-s", "image"]) else { return };
    for line in [
        "SQUASHFS 4:0 superblock",
        "Compression gzip",
        "Block size 65536",
        "Inodes are uncompressed",
        "Data is uncompressed",
        "Uids/Gids (Id table) are uncompressed",
        "Fragments are uncompressed",
        "Xattrs are not stored",
    ] {
        assert!(text.contains(line), "`{line}` is missing from {text}");
    }
}

#[test]
fn every_kind_of_entry_keeps_its_metadata() {
    let name = "n".repeat(255);
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(vec![
        ("bin/su", node(0o4755, file(*b"elf"))),
        ("tmp", node(0o1777, Kind::Directory)),
        ("empty", node(0o644, file(*b""))),
        ("dev/null", node(0o666, Kind::Special(Special::CharDevice { major: 1, minor: 3 }))),
        ("dev/sda", node(0o660, Kind::Special(Special::BlockDevice { major: 8, minor: 17 }))),
        ("fifo", node(0o600, Kind::Special(Special::Fifo))),
        ("sock", node(0o600, Kind::Special(Special::Socket))),
        ("link", node(0o777, Kind::Symlink("bin/su".into()))),
        (&name, node(0o600, file(*b"long"))),
    ]);
    assert!(write(&tree, dir.path()).is_empty());
    let Some(text) = unsquashfs(dir.path(), &["-lln", "-UTC", "image"]) else { return };
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let long = format!("-rw------- 1000/70000 4 1970-01-02 00:00 squashfs-root/{name}");
    for line in [
        "drwxr-xr-x 0/0 112 1970-01-01 00:00 squashfs-root",
        "-rwsr-xr-x 1000/70000 3 1970-01-02 00:00 squashfs-root/bin/su",
        "-rw-r--r-- 1000/70000 0 1970-01-02 00:00 squashfs-root/empty",
        "crw-rw-rw- 1000/70000 1, 3 1970-01-02 00:00 squashfs-root/dev/null",
        "brw-rw---- 1000/70000 8, 17 1970-01-02 00:00 squashfs-root/dev/sda",
        "prw------- 1000/70000 0 1970-01-02 00:00 squashfs-root/fifo",
        "srw------- 1000/70000 0 1970-01-02 00:00 squashfs-root/sock",
        "lrwxrwxrwx 1000/70000 6 1970-01-02 00:00 squashfs-root/link -> bin/su",
        &long,
    ] {
        let wanted: Vec<&str> = line.split(' ').collect();
        let found = lines.iter().any(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            // A directory's size is the writer's business.
            words == wanted
                || (wanted[0].starts_with('d')
                    && words[0] == wanted[0]
                    && words.last() == wanted.last())
        });
        assert!(found, "`{line}` is missing from\n{}", lines.join("\n"));
    }
    assert!(lines.iter().any(|line| line.starts_with("drwxrwxrwt") && line.ends_with("/tmp")));
}

#[test]
fn contents_of_all_sizes_come_back() {
    const BLOCK: usize = 64 << 10;
    let noise = |len: usize| -> Vec<u8> {
        (0..len).map(|i| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
    };
    let mut holes = vec![0; 5 * MIB];
    holes[3 * MIB..3 * MIB + 10].fill(1);
    let mut cases = vec![("zeros".to_owned(), vec![0; 3 * MIB + 1]), ("holes".to_owned(), holes)];
    for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 10 * BLOCK + 17] {
        cases.push((format!("f{len}"), noise(len)));
    }
    // More small files than one fragment block or one metadata block holds.
    cases.extend((0..3000).map(|i| (format!("small/{i}"), noise(i % 97))));
    let entries =
        cases.iter().map(|(path, bytes)| (path.as_str(), node(0o644, file(bytes.clone()))));
    let dir = tempfile::tempdir().unwrap();
    write(&tree(entries.collect()), dir.path());
    let image_len = fs::metadata(dir.path().join("image")).unwrap().len();
    let data: usize = noise(0).len() + 13 * BLOCK + 10 * BLOCK;
    assert!(image_len < (data + 2 * MIB) as u64, "holes take space: {image_len} bytes");
    if unsquashfs(dir.path(), &["-no-xattrs", "-n", "image"]).is_none() {
        return;
    }
    for (path, bytes) in &cases {
        let read = fs::read(dir.path().join("squashfs-root").join(path)).unwrap();
        assert!(read == *bytes, "{path} differs");
    }
}

#[test]
fn names_that_are_no_text_are_kept() {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"latin\xe9");
    let mut tree = Tree::new();
    tree.insert(Path::new(name), node(0o644, file(*b"x"))).unwrap();
    let dir = tempfile::tempdir().unwrap();
    write(&tree, dir.path());
    if unsquashfs(dir.path(), &["-no-xattrs", "-n", "image"]).is_some() {
        assert_eq!(fs::read(dir.path().join("squashfs-root").join(name)).unwrap(), b"x");
    }
}

#[test]
fn equal_trees_give_equal_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let entries =
        || vec![("a", node(0o644, file(vec![1; 200_000]))), ("d/b", node(0o600, file(*b"2")))];
    let backwards = entries().into_iter().rev().collect();
    write(&tree(entries()), dir.path());
    let one = fs::read(dir.path().join("image")).unwrap();
    // What the file held before must not shine through.
    let mut out = File::options().write(true).open(dir.path().join("image")).unwrap();
    out.set_len(10 << 20).unwrap();
    write_squashfs(&tree(backwards), &mut out, &SquashfsOptions::default()).unwrap();
    assert!(one == fs::read(dir.path().join("image")).unwrap());
    assert_eq!(one.len() % 4096, 0);
}

#[test]
fn what_is_lost_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut ping = node(0o755, file(*b"elf"));
    ping.meta.xattrs.insert(b"security.capability".to_vec(), vec![1]);
    let mut tree = tree(vec![("ping", ping)]);
    tree.hard_link(Path::new("ping"), Path::new("ping6")).unwrap();
    let warnings: Vec<String> = write(&tree, dir.path()).iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "`/ping` loses the extended attribute `security.capability`",
            "`/ping6` is a hard link to `/ping`; it became a separate copy",
        ]
    );
}

#[test]
fn times_are_clamped_if_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut out = File::create(dir.path().join("image")).unwrap();
    let options = SquashfsOptions { mtime_limit: Some(60) };
    write_squashfs(&tree(vec![("f", node(0o644, file(*b"x")))]), &mut out, &options).unwrap();
    if let Some(text) = unsquashfs(dir.path(), &["-lln", "-UTC", "image"]) {
        assert!(text.contains("1970-01-01 00:01 squashfs-root/f"), "{text}");
    }
}

#[test]
fn a_source_that_changed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::write(&source, b"123").unwrap();
    let tree = tree(vec![("app/data", node(0o644, Kind::File(Content::host_file(&source, 4))))]);
    let mut out = File::create(dir.path().join("image")).unwrap();
    let message =
        write_squashfs(&tree, &mut out, &SquashfsOptions::default()).unwrap_err().to_string();
    assert!(message.contains("/app/data") && message.contains("changed"), "{message}");
}
