use std::path::{Path, PathBuf};

use super::*;
use crate::testing::E::{Dir, File, Link, Sym};
use crate::testing::{listing, merged};
use crate::{Content, Kind};

fn tree() -> Tree {
    merged(&[&[
        Dir("usr/bin"),
        File("usr/bin/sh", "elf"),
        Sym("bin", "usr/bin"),
        Sym("abs", "/usr"),
        Sym("dangling", "usr/nowhere/x"),
        Sym("loop", "loop"),
        File("etc/passwd", "root"),
    ]])
    .unwrap()
}

#[test]
fn paths_resolve_inside_the_root() {
    let tree = tree();
    for (path, expected) in [
        ("/", "/"),
        ("bin/sh", "/usr/bin/sh"),
        ("/abs/bin/../../etc", "/etc"),
        ("../../etc/passwd", "/etc/passwd"),
        ("dangling/y", "/usr/nowhere/x/y"),
        ("new/dir", "/new/dir"),
        ("bin/new/../sh2", "/usr/bin/sh2"),
    ] {
        assert_eq!(tree.resolve(Path::new(path), Follow::Yes).unwrap(), PathBuf::from(expected));
    }
    assert_eq!(tree.resolve(Path::new("bin"), Follow::No).unwrap(), PathBuf::from("/bin"));
    assert!(matches!(tree.resolve(Path::new("loop"), Follow::Yes), Err(Error::SymlinkLoop(_))));
    assert!(matches!(
        tree.resolve(Path::new("etc/passwd/x"), Follow::Yes),
        Err(Error::NotADirectory(path)) if path == Path::new("/etc/passwd")
    ));
}

#[test]
fn get_follows_the_last_link_only_if_asked() {
    let tree = tree();
    let kind = |path, follow| tree.get(Path::new(path), follow).unwrap().map(|node| &node.kind);
    assert!(matches!(kind("bin", Follow::Yes), Some(Kind::Directory)));
    assert!(matches!(kind("bin", Follow::No), Some(Kind::Symlink(_))));
    assert!(matches!(kind("loop", Follow::No), Some(Kind::Symlink(_))));
    assert!(kind("dangling", Follow::Yes).is_none());
    assert!(kind("etc/passwd/x", Follow::Yes).is_none());
}

#[test]
fn make_dirs_says_what_it_made() {
    let mut tree = tree();
    let meta = Metadata { uid: 5, ..Metadata::dir() };
    let made = tree.make_dirs(Path::new("/bin/a/b"), &meta).unwrap();
    assert_eq!(made, [PathBuf::from("/usr/bin/a"), PathBuf::from("/usr/bin/a/b")]);
    assert!(tree.make_dirs(Path::new("/bin/a"), &meta).unwrap().is_empty());
    assert_eq!(tree.get(Path::new("/usr/bin/a"), Follow::No).unwrap().unwrap().meta.uid, 5);
    assert!(tree.make_dirs(Path::new("/etc/passwd"), &meta).is_err());
    assert!(tree.make_dirs(Path::new("/etc/passwd/x"), &meta).is_err());
}

#[test]
fn removing_spares_link_targets_and_other_names() {
    let mut tree = tree();
    tree.hard_link(Path::new("etc/passwd"), Path::new("twin")).unwrap();
    assert!(tree.remove(Path::new("bin")).unwrap());
    assert!(tree.remove(Path::new("etc")).unwrap());
    assert!(!tree.remove(Path::new("etc")).unwrap());
    assert!(!tree.remove(Path::new("twin/x")).unwrap());
    assert!(tree.remove(Path::new("/")).is_err());
    assert_eq!(
        listing(&tree),
        "abs->/usr dangling->usr/nowhere/x loop->loop twin=root usr/ usr/bin/ usr/bin/sh=elf"
    );
}

#[test]
fn reading_a_file_keeps_its_limit() {
    let tree = tree();
    assert_eq!(tree.read_file(Path::new("bin/sh"), 3).unwrap().as_deref(), Some(&b"elf"[..]));
    assert!(matches!(tree.read_file(Path::new("bin/sh"), 2), Err(Error::TooLarge { .. })));
    assert!(matches!(tree.read_file(Path::new("bin"), 2), Err(Error::NotAFile(_))));
    assert!(tree.read_file(Path::new("nope"), 2).unwrap().is_none());
}

#[test]
fn a_walk_of_a_part_knows_only_its_own_links() {
    let tree = merged(&[&[File("a/x", "1"), Link("b/y", "a/x"), Link("b/z", "a/x")]]).unwrap();
    let walk = tree.walk_from(Path::new("b")).unwrap();
    let seen: Vec<_> = walk.map(|entry| (entry.path, entry.link_of)).collect();
    let path = |path: &str| PathBuf::from(path);
    assert_eq!(
        seen,
        [(path("/b"), None), (path("/b/y"), None), (path("/b/z"), Some(path("/b/y")))]
    );
    assert!(tree.walk_from(Path::new("c")).is_err());
}

#[test]
fn children_are_sorted_by_bytes() {
    let tree =
        merged(&[&[File("d/b", ""), File("d/B", ""), File("d/a", ""), File("d/\u{e9}", "")]])
            .unwrap();
    let names: Vec<_> =
        tree.children(Path::new("d")).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["B", "a", "b", "\u{e9}"]);
}

#[test]
fn a_clone_is_independent() {
    let original = tree();
    let mut fork = original.clone();
    fork.insert(Path::new("new"), Node::file(Metadata::file(), Content::inline(*b"1"))).unwrap();
    assert!(original.get(Path::new("new"), Follow::No).unwrap().is_none());
}
