//! What the writer promises whatever reads the image.

use std::fs::{self, File};
use std::path::Path;

use lithify_image::Blob;
use lithify_rootfs::{
    Content, Error, Kind, LayerBuilder, SquashfsOptions, SquashfsView, Tree, write_squashfs,
};

use crate::compare::assert_same;
use crate::sample::{BLOCK, everything, file, node, noise, tree};
use crate::tools::{Mount, unsquashfs, write};

fn image_len(tree: &Tree) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    write(tree, dir.path());
    fs::metadata(dir.path().join("image")).unwrap().len()
}

#[test]
fn equal_trees_give_equal_bytes() {
    let dir = tempfile::tempdir().unwrap();
    write(&everything(), dir.path());
    let one = fs::read(dir.path().join("image")).unwrap();
    // What the file held before must not shine through.
    let mut out = File::options().read(true).write(true).open(dir.path().join("image")).unwrap();
    std::io::Write::write_all(&mut out, &vec![0xaa; 20 << 20]).unwrap();
    write_squashfs(&everything(), &mut out, &SquashfsOptions::default()).unwrap();
    assert!(one == fs::read(dir.path().join("image")).unwrap());
    assert_eq!(one.len() % 4096, 0);
}

#[test]
fn a_view_reads_the_same_from_any_place() {
    let (view, _) = SquashfsView::new(&everything(), &SquashfsOptions::default()).unwrap();
    let mut whole = vec![0; view.len() as usize];
    view.read_at(&mut whole, 0).unwrap();
    for (offset, len) in [(0, 1), (95, 2), (BLOCK - 1, 3 * BLOCK), (whole.len() - 5000, 5000)]
        .into_iter()
        .chain((0..500).map(|i| (i * 7919 % (whole.len() - 9999), i * 20)))
    {
        let mut part = vec![0xaa; len];
        view.read_at(&mut part, offset as u64).unwrap();
        assert!(part == whole[offset..][..len], "{len} bytes from {offset}");
    }
    for offset in [whole.len() as u64 - 1, u64::MAX] {
        let error = view.read_at(&mut [0; 2], offset).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{offset}");
    }
}

#[test]
fn a_view_whose_source_is_gone_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::write(&source, vec![1; 3 * BLOCK]).unwrap();
    let content = Content::host_file(&source, 3 * BLOCK as u64);
    let tree = tree([("f", node(0o644, Kind::File(content)))]);
    let (view, _) = SquashfsView::new(&tree, &SquashfsOptions::default()).unwrap();
    fs::remove_file(&source).unwrap();
    let message = view.read_at(&mut [0; 200], 0).unwrap_err().to_string();
    assert!(message.contains("source"), "{message}");
}

#[test]
fn equal_files_are_stored_once() {
    let data = noise(1, 20 * BLOCK + 1000);
    let with = |second: Vec<u8>| {
        image_len(&tree([("a", node(0o644, file(data.clone()))), ("b", node(0o600, file(second)))]))
    };
    let once = image_len(&tree([("a", node(0o644, file(data.clone())))]));
    assert_eq!(with(data.clone()), once);
    let mut other = data.clone();
    other[BLOCK + 7] ^= 1;
    assert!(with(other) > once + data.len() as u64 - 4096);
}

#[test]
fn what_is_lost_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut ping = node(0o755, file(*b"elf"));
    ping.meta.xattrs.insert(b"security.capability".to_vec(), vec![1]);
    ping.meta.xattrs.insert(b"system.posix_acl_access".to_vec(), vec![2]);
    let warnings = write(&tree([("ping", ping)]), dir.path());
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "`/ping` loses the extended attribute `system.posix_acl_access`, which squashfs cannot hold"
        ]
    );
}

#[test]
fn times_are_clamped_if_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut out = File::create(dir.path().join("image")).unwrap();
    let options = SquashfsOptions { mtime_limit: Some(60) };
    write_squashfs(&tree([("f", node(0o644, file(*b"x")))]), &mut out, &options).unwrap();
    if let Some(text) = unsquashfs(dir.path(), &["-lln", "-UTC", "image"]) {
        assert!(text.contains("1970-01-01 00:01 squashfs-root/f"), "{text}");
    }
}

#[test]
fn a_source_that_changed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::write(&source, b"123").unwrap();
    let tree = tree([("app/data", node(0o644, Kind::File(Content::host_file(&source, 4))))]);
    let mut out = File::create(dir.path().join("image")).unwrap();
    let message =
        write_squashfs(&tree, &mut out, &SquashfsOptions::default()).unwrap_err().to_string();
    assert!(message.contains("/app/data") && message.contains("changed"), "{message}");
}

#[test]
fn lists_of_blocks_have_a_limit() {
    let huge = Kind::File(Content::host_file("/nonexistent", u64::MAX));
    let tree = tree([(Path::new("huge"), node(0o644, huge))]);
    let mut out = tempfile::tempfile().unwrap();
    let error = write_squashfs(&tree, &mut out, &SquashfsOptions::default()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { unit: "blocks", .. }), "{error}");
}

#[test]
fn more_owners_than_the_format_has_are_refused() {
    let owned = |id: u32| {
        let mut file = node(0o644, file(*b""));
        (file.meta.uid, file.meta.gid) = (id, id);
        (format!("{id}"), file)
    };
    let mut out = tempfile::tempfile().unwrap();
    let options = SquashfsOptions::default();
    assert!(write_squashfs(&tree((0..65_535).map(owned)), &mut out, &options).is_ok());
    let error = write_squashfs(&tree((0..65_536).map(owned)), &mut out, &options).unwrap_err();
    assert!(error.to_string().contains("users and groups exceeds the limit of 65535"), "{error}");
}

/// `tree` as one layer and back.
fn through_a_layer(tree: &Tree) -> Tree {
    let mut layer = LayerBuilder::new(None);
    for entry in tree.walk() {
        match &entry.link_of {
            Some(existing) => layer.hard_link(existing, &entry.path).unwrap(),
            None => layer.put(&entry.path, entry.node.clone()).unwrap(),
        }
    }
    let mut tar = tempfile::NamedTempFile::new().unwrap();
    layer.write(&mut tar).unwrap();
    let mut applied = Tree::new();
    applied.apply_layer(&Blob::open(tar.path()).unwrap()).unwrap();
    applied
}

#[test]
fn what_a_layer_holds_reaches_the_image() {
    let mut tree = everything();
    assert!(tree.remove(Path::new("run/sock")).unwrap());
    let dir = tempfile::tempdir().unwrap();
    write(&through_a_layer(&tree), dir.path());
    if let Some(mount) = Mount::new(dir.path()) {
        assert_same(&tree, mount.root());
    }
}
