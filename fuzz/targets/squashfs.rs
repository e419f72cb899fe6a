//! Generated trees as squashfs images, both ways, read by the `backhand` crate.
#![no_main]

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::os::unix::fs::FileExt;

use backhand::{FilesystemReader, InnerNode};
use libfuzzer_sys::fuzz_target;
use lithify_fuzz::{Choices, absolute, path};
use lithify_rootfs::{
    Content, DeviceNumber, Kind, Metadata, Node, Special, SquashfsOptions, SquashfsView, Tree,
    write_squashfs,
};
use rustix::fs::{MemfdFlags, memfd_create};

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::new(bytes);
    let mut tree = Tree::new();
    while !choices.is_over() {
        change(&mut tree, &mut choices);
    }
    let options = SquashfsOptions::default();
    let mut file =
        File::from(memfd_create("image", MemfdFlags::CLOEXEC).expect("a file in memory"));
    write_squashfs(&tree, &mut file, &options).expect("an image");
    let mut written = vec![0; file.metadata().expect("a file").len() as usize];
    file.read_exact_at(&mut written, 0).expect("the image");
    assert_shows(&tree, written);
    let (view, _) = SquashfsView::new(&tree, &options).expect("an image");
    let mut seen = vec![0; view.len() as usize];
    view.read_at(&mut seen, 0).expect("the image");
    assert_shows(&tree, seen);
});

/// One change; those that a tree refuses leave it as it is.
fn change(tree: &mut Tree, choices: &mut Choices<'_>) {
    let path = absolute(&path(choices));
    let device = DeviceNumber { major: 8, minor: u32::from(choices.byte()) << 8 };
    let kind = match choices.below(8) {
        0 => Kind::Directory,
        1 => Kind::Symlink(path.clone()),
        2 => Kind::Special(Special::CharDevice(device)),
        3 => Kind::Special(Special::Fifo),
        4 => {
            let existing = absolute(&self::path(choices));
            let _ = tree.hard_link(&existing, &path);
            return;
        }
        5 => Kind::File(Content::inline(choices.data().repeat(2))),
        _ => Kind::File(Content::inline(choices.data())),
    };
    let mut meta = Metadata::root_owned(u16::from(choices.byte()) << 4);
    (meta.uid, meta.mtime) = (u32::from(choices.byte()) << 12, u32::from(choices.byte()) << 24);
    if choices.below(4) == 0 {
        meta.xattrs.insert(b"user.note".to_vec(), vec![choices.byte(); choices.below(200)]);
    }
    let _ = tree.insert(&path, Node { meta, kind });
}

fn assert_shows(tree: &Tree, image: Vec<u8>) {
    let image = BufReader::new(Cursor::new(image));
    let image = FilesystemReader::from_reader(image).expect("a squashfs image");
    let mut found: Vec<_> = image.files().collect();
    found.sort_by(|a, b| a.fullpath.cmp(&b.fullpath));
    let mut entries: Vec<_> = tree.walk().collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(found.len(), entries.len());
    for (found, entry) in found.iter().zip(&entries) {
        assert_eq!(found.fullpath, entry.path);
        let (header, meta) = (found.header, &entry.node.meta);
        assert_eq!((header.permissions, header.uid), (meta.mode, meta.uid), "{:?}", entry.path);
        assert_eq!((header.gid, header.mtime), (meta.gid, meta.mtime), "{:?}", entry.path);
        match (&found.inner, &entry.node.kind) {
            (InnerNode::File(file), Kind::File(content)) => {
                let mut read = Vec::new();
                image.file(file).reader().read_to_end(&mut read).expect("a file of the image");
                let mut expected = vec![0; content.len() as usize];
                content.read_at(&mut expected, 0).expect("a file in memory");
                assert!(read == expected, "{:?}", entry.path);
            }
            (InnerNode::Symlink(link), Kind::Symlink(target)) => assert_eq!(&link.link, target),
            (InnerNode::Dir(_), Kind::Directory)
            | (InnerNode::CharacterDevice(_) | InnerNode::NamedPipe, Kind::Special(_)) => {}
            (found, kind) => panic!("{:?}: {found:?} for {kind:?}", entry.path),
        }
    }
}
