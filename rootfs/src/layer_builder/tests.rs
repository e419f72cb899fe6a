use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;

use super::*;
use crate::testing::{blob, listing};
use crate::{Content, DeviceNumber, Kind, Special, Tree};

fn bytes(layer: &LayerBuilder) -> Vec<u8> {
    let mut bytes = Vec::new();
    layer.write(&mut bytes).unwrap();
    bytes
}

fn put(layer: &mut LayerBuilder, path: &str, kind: Kind) {
    layer.put(Path::new(path), Node { meta: Metadata::root_owned(0o755), kind }).unwrap();
}

fn file(text: &str) -> Kind {
    Kind::File(Content::inline(text.as_bytes()))
}

#[test]
fn a_written_layer_applies_as_it_was_described() {
    let mut tree = Tree::new();
    let mut base = LayerBuilder::new(None);
    put(&mut base, "/old/a", file("1"));
    put(&mut base, "/old/b", file("2"));
    put(&mut base, "/hidden/x", file("3"));
    tree.apply_layer(&blob(&bytes(&base))).unwrap();

    let mut layer = LayerBuilder::new(None);
    let long = "/long/".to_owned() + &"n".repeat(200);
    put(&mut layer, &long, file("4"));
    put(&mut layer, "/z", file("target"));
    put(&mut layer, "/s", Kind::Symlink("t".repeat(150).into()));
    put(
        &mut layer,
        "/dev",
        Kind::Special(Special::BlockDevice(DeviceNumber { major: 8, minor: 70_000 })),
    );
    layer.hard_link(Path::new("/z"), Path::new("/a")).unwrap();
    layer.hard_link(Path::new("/old/b"), Path::new("/c")).unwrap();
    layer.whiteout(Path::new("/old/a")).unwrap();
    layer.opaque(Path::new("/hidden")).unwrap();
    put(&mut layer, "/hidden/y", file("5"));
    tree.apply_layer(&blob(&bytes(&layer))).unwrap();

    let (n, t) = ("n".repeat(200), "t".repeat(150));
    assert_eq!(
        listing(&tree),
        format!(
            "a=target c=2 dev BlockDevice(DeviceNumber {{ major: 8, minor: 70000 }}) hidden/ hidden/y=5 \
             long/ long/{n}=4 old/ old/b==c s->{t} z==a"
        )
    );
}

#[test]
fn order_of_calls_does_not_matter() {
    let mut one = LayerBuilder::new(None);
    put(&mut one, "/b", file("1"));
    put(&mut one, "a", Kind::Directory);
    one.whiteout(Path::new("c")).unwrap();
    let mut two = LayerBuilder::new(None);
    two.whiteout(Path::new("/./c")).unwrap();
    put(&mut two, "/a/", Kind::Directory);
    put(&mut two, "b", file("1"));
    assert_eq!(bytes(&one), bytes(&two));
}

#[test]
fn times_are_clamped() {
    let mut layer = LayerBuilder::new(Some(1000));
    for (path, mtime) in [("early", 999), ("late", 1001)] {
        let meta = Metadata { mtime, ..Metadata::file() };
        layer.put(Path::new(path), Node::file(meta, Content::inline(*b""))).unwrap();
    }
    let mut tree = Tree::new();
    tree.apply_layer(&blob(&bytes(&layer))).unwrap();
    let mtime = |path| tree.get(Path::new(path), crate::Follow::No).unwrap().unwrap().meta.mtime;
    assert_eq!((mtime("early"), mtime("late")), (999, 1000));
}

#[test]
fn what_a_layer_cannot_hold_is_refused() {
    let mut layer = LayerBuilder::new(None);
    assert!(matches!(layer.whiteout(Path::new("/")), Err(Error::NoName(_))));
    assert!(matches!(layer.whiteout(Path::new("a/../b")), Err(Error::DotDot(_))));
    put(&mut layer, "sock", Kind::Special(Special::Socket));
    assert!(matches!(layer.write(Vec::new()), Err(Error::SocketInLayer(_))));
}

#[test]
fn a_file_that_changes_meanwhile_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, b"12345").unwrap();
    let mut layer = LayerBuilder::new(None);
    put(&mut layer, "/in/image", Kind::File(Content::host_file(&path, 4)));
    let message = layer.write(Vec::new()).unwrap_err().to_string();
    assert!(message.contains("in/image") && message.contains("changed"), "{message}");
}

#[test]
fn a_stored_layer_is_its_own_diff_id() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut layer = LayerBuilder::new(None);
    put(&mut layer, "f", file("1"));
    let stored = layer.store(&store).unwrap();
    assert_eq!(stored.digest, lithify_image::Digest::of(&bytes(&layer)));
    assert_eq!(stored.diff_id, stored.digest);
    assert_eq!(listing(&Tree::from_layers(&[stored], &store).unwrap()), "f=1");
}

/// GNU tar reads what is written here, PAX records included.
#[test]
fn gnu_tar_lists_a_written_layer() {
    let mut layer = LayerBuilder::new(None);
    let meta = Metadata { mode: 0o4711, uid: 5_000_000, gid: 6, mtime: 86_400, ..Metadata::file() };
    let long = "d/".to_owned() + &"n".repeat(120);
    layer.put(Path::new(&long), Node::file(meta, Content::inline(*b"12345"))).unwrap();
    put(&mut layer, "/", Kind::Directory);
    put(&mut layer, "link", Kind::Symlink("target".into()));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layer.tar");
    std::fs::write(&path, bytes(&layer)).unwrap();
    let listed = Command::new("tar").args(["--numeric-owner", "--utc", "-tvf"]).arg(&path).output();
    let Ok(listed) = listed else {
        println!("skipped: no `tar` program");
        return;
    };
    let text = String::from_utf8(listed.stdout).unwrap();
    let words: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["drwxr-xr-x", "0/0", "0", "1970-01-01", "00:00", "./"]);
    assert_eq!(words[1], ["-rws--x--x", "5000000/6", "5", "1970-01-02", "00:00", &long]);
    assert_eq!(words[2][5..], ["link", "->", "target"]);
    assert!(listed.status.success() && listed.stderr.is_empty());
}

/// A host file of 6 GiB with some bytes at its start, in the middle and at its end.
fn huge(dir: &Path, end: u64) -> (Content, [(u64, &'static [u8]); 3]) {
    let pieces: [(u64, &[u8]); 3] = [(0, b"start"), ((4 << 30) + 70_000, b"middle"), (end, b"end")];
    let path = dir.join("huge");
    let file = File::create(&path).unwrap();
    file.set_len(6 << 30).unwrap();
    pieces.iter().for_each(|(offset, bytes)| file.write_all_at(bytes, *offset).unwrap());
    (Content::host_file(path, 6 << 30), pieces)
}

#[test]
fn a_sparse_file_stays_sparse() {
    for end in [(6 << 30) - 3, 5 << 30] {
        let dir = tempfile::tempdir().unwrap();
        let (content, pieces) = huge(dir.path(), end);
        if content.data_ranges().unwrap().len() == 1 {
            println!("skipped: the file system of {} has no holes", dir.path().display());
            return;
        }
        let mut layer = LayerBuilder::new(None);
        let long = "d/".to_owned() + &"n".repeat(200);
        put(&mut layer, &long, Kind::File(content));
        put(&mut layer, "next", file("1"));
        let tar = bytes(&layer);
        assert!(tar.len() < 4 * 65_536, "{}", tar.len());
        let mut tree = Tree::new();
        tree.apply_layer(&blob(&tar)).unwrap();
        let node = tree.get(Path::new(&long), crate::Follow::No).unwrap().unwrap();
        let Kind::File(content) = &node.kind else { panic!("{node:?}") };
        assert_eq!(content.len(), 6 << 30);
        assert_eq!(content.data_ranges().unwrap().len(), 3);
        for (offset, expected) in pieces {
            let mut found = vec![0; expected.len()];
            content.read_at(&mut found, offset).unwrap();
            assert_eq!(found, expected);
        }
        fs::write(dir.path().join("layer.tar"), &tar).unwrap();
        assert_extracted(dir.path(), &long, &pieces);
    }
}

/// GNU tar and Python's module make the same file of it, and no more of it than that.
fn assert_extracted(dir: &Path, name: &str, pieces: &[(u64, &[u8])]) {
    let python = "import tarfile; tarfile.open('layer.tar').extractall('.', filter='tar')";
    for (program, arguments) in [("tar", ["-xf", "layer.tar"]), ("python3", ["-c", python])] {
        let Ok(output) = Command::new(program).args(arguments).current_dir(dir).output() else {
            println!("skipped: no `{program}` program");
            continue;
        };
        assert!(output.status.success(), "{program}: {output:?}");
        assert_eq!(fs::read(dir.join("next")).unwrap(), b"1");
        let file = File::open(dir.join(name)).unwrap();
        let stat = file.metadata().unwrap();
        assert_eq!(stat.len(), 6 << 30, "{program}");
        assert!(stat.blocks() * 512 < 1 << 20, "{program}");
        for (offset, expected) in pieces {
            let mut found = vec![0; expected.len()];
            file.read_exact_at(&mut found, *offset).unwrap();
            assert_eq!(&found, expected, "{program} at {offset}");
        }
        fs::remove_file(dir.join(name)).unwrap();
    }
}

#[test]
fn zeros_are_left_out_wherever_they_come_from() {
    let dir = tempfile::tempdir().unwrap();
    let mut data = vec![0; 3 << 20];
    data[1_000_000] = 1;
    let path = dir.path().join("f");
    fs::write(&path, &data).unwrap();
    let with = |content: Content| {
        let mut layer = LayerBuilder::new(None);
        put(&mut layer, "f", Kind::File(content));
        bytes(&layer)
    };
    let inline = with(Content::inline(data.clone()));
    assert!(inline.len() < 80_000, "{}", inline.len());
    assert!(inline == with(Content::host_file(&path, 3 << 20)));
    let holes = dir.path().join("holes");
    let file = File::create(&holes).unwrap();
    file.set_len(3 << 20).unwrap();
    file.write_all_at(&[1], 1_000_000).unwrap();
    assert!(inline == with(Content::host_file(&holes, 3 << 20)));
}
