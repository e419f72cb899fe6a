use super::*;
use crate::testing::E::{Char, Dir, DirMode, Fifo, File, Link, Sym};
use crate::testing::{E, blob, listing, merged, tar, tar_bytes};
use crate::{Content, Metadata, Node};

#[test]
fn layers_merge_as_the_specification_says() {
    let base: &[E] = &[Dir("d"), File("d/a", "1"), File("d/b", "2"), File("f", "3")];
    for (name, layers, expected) in [
        (
            "prefixes mean the root",
            &[&[Dir("./"), Dir("./x/"), File("/x/y", "1")][..]][..],
            "x/ x/y=1",
        ),
        ("implicit parents appear", &[&[File("a/b/c", "1")]], "a/ a/b/ a/b/c=1"),
        ("the upper file wins", &[base, &[File("f", "new")]], "d/ d/a=1 d/b=2 f=new"),
        ("the later entry wins", &[&[File("f", "1"), File("f", "2")]], "f=2"),
        ("a whiteout hides a file", &[base, &[File("d/.wh.a", "")]], "d/ d/b=2 f=3"),
        ("a whiteout hides a directory", &[base, &[File(".wh.d", "")]], "f=3"),
        (
            "a whiteout of nothing is harmless",
            &[base, &[File("x/y/.wh.z", "")]],
            "d/ d/a=1 d/b=2 f=3",
        ),
        (
            "a whiteout below a file is harmless",
            &[base, &[File("f/.wh.z", "")]],
            "d/ d/a=1 d/b=2 f=3",
        ),
        (
            "a whiteout spares its own layer",
            &[base, &[File("d/a", "new"), File("d/.wh.a", "")]],
            "d/ d/a=new d/b=2 f=3",
        ),
        (
            "whited out and made anew",
            &[base, &[File(".wh.d", ""), Dir("d"), File("d/c", "4")]],
            "d/ d/c=4 f=3",
        ),
        (
            "opaque hides lower entries",
            &[base, &[Dir("d"), File("d/.wh..wh..opq", ""), File("d/c", "4")]],
            "d/ d/c=4 f=3",
        ),
        (
            "opaque after its entries spares them",
            &[base, &[Dir("d"), File("d/c", "4"), File("d/.wh..wh..opq", "")]],
            "d/ d/c=4 f=3",
        ),
        ("opaque root hides all", &[base, &[File(".wh..wh..opq", ""), File("g", "5")]], "g=5"),
        (
            "opaque of a new directory is harmless",
            &[base, &[File("n/.wh..wh..opq", ""), File("n/x", "1")]],
            "d/ d/a=1 d/b=2 f=3 n/ n/x=1",
        ),
        (
            "AUFS left-overs are ignored",
            &[&[Dir(".wh..wh.plnk"), File(".wh..wh.plnk/1.2", "x"), File(".wh..wh.aufs", "")]],
            "",
        ),
        ("a file replaces a directory", &[base, &[File("d", "file")]], "d=file f=3"),
        (
            "a directory replaces a file",
            &[base, &[Dir("f"), File("f/x", "1")]],
            "d/ d/a=1 d/b=2 f/ f/x=1",
        ),
        (
            "a directory merges",
            &[base, &[DirMode("d", 0o700), File("d/c", "4")]],
            "d/ d/a=1 d/b=2 d/c=4 f=3",
        ),
        ("a link shares the node", &[&[File("a", "1"), Link("b", "a")]], "a=1 b==a"),
        (
            "a link reaches a lower layer",
            &[base, &[Link("n", "./d/a")]],
            "d/ d/a=1 d/b=2 f=3 n==d/a",
        ),
        (
            "a link outlives its target",
            &[&[File("a", "1"), Link("b", "a")], &[File(".wh.a", "")]],
            "b=1",
        ),
        (
            "replacing one name spares the other",
            &[&[File("a", "1"), Link("b", "a")], &[File("a", "2")]],
            "a=2 b=1",
        ),
        ("a link to a symbolic link", &[&[Sym("s", "t"), Link("l", "s")]], "l->t s==l"),
        (
            "parents that are links are followed",
            &[&[Dir("usr/lib"), Sym("lib", "usr/lib")], &[File("lib/x", "1")]],
            "lib->usr/lib usr/ usr/lib/ usr/lib/x=1",
        ),
        (
            "absolute links stay inside",
            &[&[Sym("etc", "/real/etc")], &[File("etc/passwd", "x")]],
            "etc->/real/etc real/ real/etc/ real/etc/passwd=x",
        ),
        (
            "links upwards stop at the root",
            &[&[Sym("up", "../../../..")], &[File("up/x", "1")]],
            "up->../../../.. x=1",
        ),
        (
            "a directory replaces a link",
            &[&[Dir("real"), Sym("d", "real")], &[Dir("d"), File("d/x", "1")]],
            "d/ d/x=1 real/",
        ),
        (
            "a whiteout goes through a link",
            &[&[File("real/x", "1"), Sym("d", "real")], &[File("d/.wh.x", "")]],
            "d->real real/",
        ),
        (
            "but not if its layer replaces the link",
            &[&[File("real/x", "1"), Sym("d", "real")], &[Dir("d"), File("d/.wh.x", "")]],
            "d/ real/ real/x=1",
        ),
        (
            "nor does opaque",
            &[&[File("real/x", "1"), Sym("d", "real")], &[Dir("d"), File("d/.wh..wh..opq", "")]],
            "d/ real/ real/x=1",
        ),
        ("devices and fifos", &[&[Char("null", 1, 3), Fifo("p")]], "null c1:3 p Fifo"),
    ] {
        let tree = merged(layers).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(listing(&tree), expected, "{name}");
    }
}

#[test]
fn hostile_layers_are_refused_with_layer_and_entry() {
    for (name, layers, reason) in [
        ("dot dot in front", &[&[File("../x", "1")][..]][..], "`..`"),
        ("dot dot within", &[&[File("a/../../x", "1")]], "`..`"),
        ("link target with dot dot", &[&[File("a", "1"), Link("b", "../../etc/passwd")]], "`..`"),
        ("link to nothing", &[&[Link("b", "/etc/shadow")]], "does not exist"),
        ("link to a directory", &[&[Dir("d"), Link("b", "d")]], "cannot be hard linked"),
        ("link before its target", &[&[Link("b", "a"), File("a", "1")]], "does not exist"),
        (
            "symbolic link loop",
            &[&[Sym("a", "b"), Sym("b", "a")], &[File("a/x", "1")]],
            "symbolic links",
        ),
        ("file as a directory", &[&[File("f", "1")], &[File("f/x", "2")]], "not a directory"),
        ("root as a file", &[&[File("./", "")], &[Sym("/", "x")]], "not a directory"),
        ("whiteout of the parent", &[&[File("d/.wh...", "")]], "names no file"),
        ("whiteout of itself", &[&[File("d/.wh..", "")]], "names no file"),
        ("whiteout of no name", &[&[File("d/.wh.", "")]], "names no file"),
        ("impossible device", &[&[Char("c", 5000, 1)]], "out of range"),
    ] {
        let message = merged(layers).expect_err(name).to_string();
        assert!(
            message.contains(reason) && message.starts_with("layer: entry `"),
            "{name}: {message}"
        );
    }
}

#[test]
fn a_symbolic_link_bomb_ends() {
    // Each link names the one before it twice: without a cap the last takes 2^60 steps.
    let mut tree = Tree::new();
    tree.insert(Path::new("l0"), Node::directory(Metadata::dir())).unwrap();
    for level in 1..60 {
        let target = format!("l{0}/../l{0}", level - 1);
        tree.insert(Path::new(&format!("l{level}")), Node::symlink(target)).unwrap();
    }
    assert!(matches!(tree.get(Path::new("l59/x"), Follow::Yes), Err(Error::SymlinkLoop(_))));
}

#[test]
fn depth_names_and_paths_are_capped() {
    let deep = "d/".repeat(513) + "f";
    let name = "n".repeat(256);
    let long = "nnnnnnnnn/".repeat(410);
    for (path, reason) in [(deep, "depth"), (name, "a name"), (long, "a path")] {
        let node = Node::directory(Metadata::dir());
        let message = Tree::new().insert(Path::new(&path), node).unwrap_err().to_string();
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn metadata_comes_through_exactly() {
    let meta = Metadata {
        mode: 0o6755,
        uid: 3_000_000,
        gid: 7,
        mtime: 1_700_000_000,
        xattrs: [(b"security.capability".to_vec(), b"\x01\0\n=\xff".to_vec())].into(),
    };
    let mut layer = crate::LayerBuilder::new(None);
    layer.put(Path::new("f"), Node::file(meta.clone(), Content::inline(*b"x"))).unwrap();
    let mut bytes = Vec::new();
    layer.write(&mut bytes).unwrap();
    let mut tree = Tree::new();
    tree.apply_layer(&blob(&bytes)).unwrap();
    assert_eq!(tree.get(Path::new("/f"), Follow::No).unwrap().unwrap().meta, meta);
}

#[test]
fn the_root_takes_its_metadata_from_its_entry() {
    let tree = merged(&[&[DirMode("./", 0o1777)], &[File("x", "1")]]).unwrap();
    assert_eq!(tree.get(Path::new("/"), Follow::No).unwrap().unwrap().meta.mode, 0o1777);
}

#[test]
fn extracting_gives_whiteout_names_no_meaning() {
    let mut tree = merged(&[&[File("d/a", "1")]]).unwrap();
    tree.extract(&tar(&[File("d/.wh.a", "x"), File("t", "2"), Link("u", "t")]), Path::new("/"))
        .unwrap();
    tree.extract(&tar(&[File("t", "3"), Link("u", "t")]), Path::new("/sub")).unwrap();
    assert_eq!(listing(&tree), "d/ d/.wh.a=x d/a=1 sub/ sub/t=3 sub/u==sub/t t=2 u==t");
}

#[test]
fn extracting_stays_below_its_directory() {
    let mut tree = Tree::new();
    assert!(tree.extract(&tar(&[File("../x", "1")]), Path::new("/sub")).is_err());
}

/// Bytes that a fuzzer would find: headers with damaged fields but a right checksum.
#[test]
fn damaged_layers_never_panic() {
    let whole = tar_bytes(&[
        Dir("a/"),
        File("a/b", "0123456789"),
        Link("a/c", "a/b"),
        Sym("s", "a"),
        File("s/.wh.b", ""),
        File("a/.wh..wh..opq", ""),
        Char("n", 1, 3),
    ]);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..=next(3) {
            let block = next(bytes.len() / 512) * 512;
            bytes[block + next(350)] = b"\0./x0157KLSxg\x80\xff"[next(15)];
            let mut header = tar::Header::new_old();
            header.as_mut_bytes().copy_from_slice(&bytes[block..block + 512]);
            header.set_cksum();
            bytes[block..block + 512].copy_from_slice(header.as_bytes());
        }
        let mut tree = Tree::new();
        match tree.apply_layer(&blob(&bytes)) {
            Ok(()) => accepted += 1,
            Err(_) => refused += 1,
        }
        assert!(tree.walk().count() <= 30);
    }
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}
