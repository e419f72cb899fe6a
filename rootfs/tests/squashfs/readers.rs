//! What others read from an image.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use backhand::{FilesystemReader, InnerNode};
use lithify_image::Blob;
use lithify_rootfs::{Content, Kind, Tree};

use crate::compare::assert_same;
use crate::sample::{everything, file, node, tree};
use crate::tools::{Mount, WRITERS, is_root, run, unsquashfs, write};

#[test]
fn the_superblock_says_uncompressed() {
    let dir = tempfile::tempdir().unwrap();
    let tree = everything();
    write(&tree, dir.path());
    let inodes = tree.walk().filter(|entry| entry.link_of.is_none()).count();
    let Some(text) = unsquashfs(dir.path(), &["-s", "image"]) else { return };
    for line in [
        "SQUASHFS 4:0 superblock",
        "Compression gzip",
        "Block size 65536",
        "Filesystem is exportable via NFS",
        "Inodes are uncompressed",
        "Data is uncompressed",
        "Uids/Gids (Id table) are uncompressed",
        "Fragments are uncompressed",
        "Xattrs are uncompressed",
        "Duplicates are removed",
        &format!("Number of inodes {inodes}"),
    ] {
        assert!(text.contains(line), "`{line}` is missing from {text}");
    }
}

#[test]
fn unsquashfs_extracts_the_same_tree() {
    if !is_root() {
        println!("skipped: only root may make devices and give files away");
        return;
    }
    let tree = everything();
    for write in WRITERS {
        let dir = tempfile::tempdir().unwrap();
        assert!(write(&tree, dir.path()).is_empty());
        if unsquashfs(dir.path(), &["-xattrs", "-no-progress", "image"]).is_some() {
            assert_same(&tree, &dir.path().join("squashfs-root"));
        }
    }
}

#[test]
fn the_kernel_shows_the_same_tree() {
    let tree = everything();
    for write in WRITERS {
        let dir = tempfile::tempdir().unwrap();
        write(&tree, dir.path());
        if let Some(mount) = Mount::new(dir.path()) {
            assert_same(&tree, mount.root());
        }
    }
}

#[test]
fn an_empty_tree_is_an_image_too() {
    let tree = Tree::new();
    for write in WRITERS {
        let dir = tempfile::tempdir().unwrap();
        write(&tree, dir.path());
        if let Some(listing) = unsquashfs(dir.path(), &["-l", "image"]) {
            assert_eq!(listing.trim(), "squashfs-root");
        }
        if let Some(mount) = Mount::new(dir.path()) {
            assert_same(&tree, mount.root());
        }
    }
}

#[test]
fn backhand_reads_the_same_files() {
    let (mut tree, dir) = (everything(), tempfile::tempdir().unwrap());
    // It refuses targets of 256 bytes and more.
    assert!(tree.remove(Path::new("far")).unwrap());
    write(&tree, dir.path());
    let image = BufReader::new(File::open(dir.path().join("image")).unwrap());
    let image = FilesystemReader::from_reader(image).unwrap();
    let mut found: Vec<_> = image.files().collect();
    found.sort_by(|a, b| a.fullpath.cmp(&b.fullpath));
    let mut entries: Vec<_> = tree.walk().collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(found.len(), entries.len());
    for (found, entry) in found.iter().zip(&entries) {
        assert_eq!(found.fullpath, entry.path);
        let (header, meta) = (found.header, &entry.node.meta);
        assert_eq!(
            (header.permissions, header.uid, header.gid, header.mtime),
            (meta.mode, meta.uid, meta.gid, meta.mtime),
            "{}",
            entry.path.display()
        );
        match (&found.inner, &entry.node.kind) {
            (InnerNode::File(file), Kind::File(content)) => {
                let (mut read, mut expected) = (Vec::new(), Vec::new());
                image.file(file).reader().read_to_end(&mut read).unwrap();
                content.reader().read_to_end(&mut expected).unwrap();
                assert!(read == expected, "{} differs", entry.path.display());
            }
            (InnerNode::Symlink(link), Kind::Symlink(target)) => assert_eq!(&link.link, target),
            (InnerNode::Dir(_), Kind::Directory) => {}
            (InnerNode::CharacterDevice(_) | InnerNode::BlockDevice(_), Kind::Special(_)) => {}
            (InnerNode::NamedPipe | InnerNode::Socket, Kind::Special(_)) => {}
            (found, kind) => panic!("{}: {found:?} for {kind:?}", entry.path.display()),
        }
    }
}

/// Names of a directory that needs an index.
fn big_directory() -> Tree {
    tree(
        (0..60_000)
            .map(|i| (format!("big/{i:05}-{}", "x".repeat(i % 40)), node(0o644, file(*b"")))),
    )
}

#[test]
fn all_names_of_a_big_directory_are_found() {
    let (tree, dir) = (big_directory(), tempfile::tempdir().unwrap());
    write(&tree, dir.path());
    if let Some(listing) = unsquashfs(dir.path(), &["-l", "image"]) {
        assert_eq!(listing.lines().filter(|line| line.contains("/big/")).count(), 60_000);
    }
    if let Some(mount) = Mount::new(dir.path()) {
        assert_same(&tree, mount.root());
        for missing in ["big/", "big/00000", "big/30000-y", "big/59999-", "big/~"] {
            let found = mount.root().join(missing).symlink_metadata();
            assert_eq!(found.is_ok(), missing == "big/", "{missing}");
        }
    }
}

#[test]
fn a_sparse_file_of_six_gigabytes_takes_no_space() {
    const LEN: u64 = (6 << 30) + 12_345;
    const PIECES: [(u64, &[u8]); 3] =
        [(0, b"start"), ((4 << 30) + 70_000, b"middle"), (LEN - 3, b"end")];
    let dir = tempfile::tempdir().unwrap();
    let source = File::create(dir.path().join("source")).unwrap();
    source.set_len(LEN).unwrap();
    PIECES.iter().for_each(|(offset, bytes)| source.write_all_at(bytes, *offset).unwrap());
    // In a layer, where reading holes costs nothing.
    if run("tar", dir.path(), &["--sparse", "-cf", "layer", "source"]).is_none() {
        return;
    }
    let mut tree = Tree::new();
    tree.apply_layer(&Blob::open(&dir.path().join("layer")).unwrap()).unwrap();
    for write in WRITERS {
        let dir = tempfile::tempdir().unwrap();
        write(&tree, dir.path());
        assert!(fs::metadata(dir.path().join("image")).unwrap().len() < 1 << 20);
        if unsquashfs(dir.path(), &["-no-xattrs", "-no-progress", "image"]).is_some() {
            assert_pieces(&dir.path().join("squashfs-root/source"), LEN, &PIECES);
        }
        if let Some(mount) = Mount::new(dir.path()) {
            let huge = mount.root().join("source");
            assert_pieces(&huge, LEN, &PIECES);
            // Two blocks and a tail: holes do not count.
            assert_eq!(huge.metadata().unwrap().blocks(), (2 * 65_536 + 12_345_u64).div_ceil(512));
        }
    }
}

fn assert_pieces(path: &Path, len: u64, pieces: &[(u64, &[u8])]) {
    let file = File::open(path).unwrap();
    assert_eq!(file.metadata().unwrap().len(), len);
    for (offset, bytes) in pieces {
        let before = offset.saturating_sub(10);
        let mut expected = vec![0; (offset - before) as usize];
        expected.extend_from_slice(bytes);
        let mut found = vec![1; expected.len()];
        file.read_exact_at(&mut found, before).unwrap();
        assert_eq!(found, expected, "at {offset}");
    }
}

#[test]
fn images_are_as_small_as_those_of_mksquashfs() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    for i in 0..2000_u64 {
        let parent = source.join(format!("d{}", i % 50));
        fs::create_dir_all(&parent).unwrap();
        let len = [100, 5000, 40_000, 3, 70_000][i as usize % 5] + i as usize;
        fs::write(parent.join(format!("f{i}")), crate::sample::noise(i / 2, len)).unwrap();
    }
    let mut entries = Vec::new();
    for parent in fs::read_dir(&source).unwrap() {
        for file in fs::read_dir(parent.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let content = Content::host_file(&path, path.metadata().unwrap().len());
            let inside = path.strip_prefix(&source).unwrap().to_owned();
            entries.push((inside, node(0o644, Kind::File(content))));
        }
    }
    write(&tree(entries), dir.path());
    let arguments =
        ["source", "theirs", "-noI", "-noD", "-noF", "-noX", "-noId", "-b", "64K", "-no-progress"];
    if run("mksquashfs", dir.path(), &arguments).is_some() {
        let len = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len();
        let (ours, theirs) = (len("image"), len("theirs"));
        assert!(ours * 100 <= theirs * 103, "{ours} bytes, mksquashfs {theirs}");
    }
}
