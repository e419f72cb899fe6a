//! Unpacking a tree into a folder of the host.
//!
//! The tree is hostile, and so is what the folder already holds. Every name is opened relative to an
//! open directory, one component at a time and never through a symbolic link, so nothing is written
//! outside the folder, whatever changes meanwhile. Files belong to whoever unpacks; devices are left
//! out, as they would give access to the host's.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use lithify_rootfs::{Content, Entry, Kind, Metadata, Special, Tree};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};

use super::UnpackError;

/// Writes all files of `tree` into the folder `dir`, which is created if it is missing. Files that
/// are there are replaced, directories kept. Gives the paths that were left out.
///
/// # Errors
/// The path that cannot be made, and why.
pub fn unpack(tree: &Tree, dir: &Path) -> Result<Vec<PathBuf>, UnpackError> {
    std::fs::create_dir_all(dir).map_err(UnpackError::at("create", dir))?;
    let root = fs::open(dir, directory_flags(), Mode::empty());
    let root = root.map_err(|error| UnpackError::at("open", dir)(error.into()))?;
    let mut unpacker = Unpacker { root, parent: None, dirs: Vec::new(), skipped: Vec::new() };
    for entry in tree.walk().skip(1) {
        unpacker.add(&entry)?;
    }
    unpacker.finish()
}

struct Unpacker<'a> {
    root: OwnedFd,
    /// The directory of the last entry: the next one's, more often than not.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Directories get their modes and times last: one that nobody may write to can be filled so.
    dirs: Vec<(PathBuf, &'a Metadata)>,
    skipped: Vec<PathBuf>,
}

impl<'a> Unpacker<'a> {
    fn add(&mut self, entry: &Entry<'a>) -> Result<(), UnpackError> {
        let (path, node) = (&entry.path, entry.node);
        self.enter(path.parent().unwrap_or(Path::new("/")))?;
        let (_, parent) = self.parent.as_ref().expect("it was just entered");
        let name = path.file_name().unwrap_or_default();
        let made = match (&entry.link_of, &node.kind) {
            (Some(first), _) => self.link(first, parent, name),
            (None, Kind::Directory) => make_directory(parent, name),
            (None, Kind::File(content)) => make_file(parent, name, content, &node.meta),
            (None, Kind::Symlink(target)) => make_symlink(parent, name, target, &node.meta),
            (None, Kind::Special(Special::Fifo)) => make_fifo(parent, name, &node.meta),
            (None, Kind::Special(_)) => {
                self.skipped.push(path.clone());
                return Ok(());
            }
        };
        made.map_err(UnpackError::at("unpack", path))?;
        if node.kind.is_directory() {
            self.dirs.push((path.clone(), &node.meta));
        }
        Ok(())
    }

    fn enter(&mut self, dir: &Path) -> Result<(), UnpackError> {
        if self.parent.as_ref().is_none_or(|(path, _)| path != dir) {
            let opened = open_directory(&self.root, dir).map_err(UnpackError::at("open", dir))?;
            self.parent = Some((dir.to_owned(), opened));
        }
        Ok(())
    }

    fn link(&self, first: &Path, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        if self.skipped.iter().any(|skipped| skipped == first) {
            return Ok(());
        }
        let from = open_directory(&self.root, first.parent().unwrap_or(Path::new("/")))?;
        remove(parent, name)?;
        let first_name = first.file_name().unwrap_or_default();
        Ok(fs::linkat(from, first_name, parent, name, AtFlags::empty())?)
    }

    /// The deepest first: modes can make those above impassable.
    fn finish(self) -> Result<Vec<PathBuf>, UnpackError> {
        for (path, meta) in self.dirs.iter().rev() {
            let finished = open_directory(&self.root, path).and_then(|dir| settle(&dir, meta));
            finished.map_err(UnpackError::at("set the mode of", path))?;
        }
        Ok(self.skipped)
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

/// Opens a path of the tree, name by name.
fn open_directory(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut dir = root.try_clone()?;
    for component in path.components() {
        if let Component::Normal(name) = component {
            let flags = directory_flags() | OFlags::NOFOLLOW;
            dir = fs::openat(&dir, name, flags, Mode::empty())?;
        }
    }
    Ok(dir)
}

/// Only its owner may enter until all is in it.
fn make_directory(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match fs::mkdirat(parent, name, Mode::RWXU) {
        Err(rustix::io::Errno::EXIST) => {
            let flags = directory_flags() | OFlags::NOFOLLOW;
            let dir = fs::openat(parent, name, flags, Mode::empty())?;
            Ok(fs::fchmod(dir, Mode::RWXU)?)
        }
        made => Ok(made?),
    }
}

fn make_file(parent: &OwnedFd, name: &OsStr, content: &Content, meta: &Metadata) -> io::Result<()> {
    remove(parent, name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?);
    io::copy(&mut content.reader().by_ref(), &mut &file)?;
    settle(&file.into(), meta)
}

fn make_symlink(parent: &OwnedFd, name: &OsStr, target: &Path, meta: &Metadata) -> io::Result<()> {
    remove(parent, name)?;
    fs::symlinkat(target, parent, name)?;
    Ok(fs::utimensat(parent, name, &times(meta), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn make_fifo(parent: &OwnedFd, name: &OsStr, meta: &Metadata) -> io::Result<()> {
    remove(parent, name)?;
    fs::mknodat(parent, name, FileType::Fifo, mode(meta), 0)?;
    Ok(fs::utimensat(parent, name, &times(meta), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Removes what is there, unless it is a directory.
fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

fn settle(file: &OwnedFd, meta: &Metadata) -> io::Result<()> {
    fs::fchmod(file, mode(meta))?;
    Ok(fs::futimens(file, &times(meta))?)
}

fn mode(meta: &Metadata) -> Mode {
    Mode::from_raw_mode(meta.mode.into())
}

fn times(meta: &Metadata) -> Timestamps {
    let time = Timespec { tv_sec: meta.mtime.into(), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use lithify_image::DeviceNumber;
    use lithify_rootfs::Node;

    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::new();
        let mut add = |path: &str, node| tree.insert(Path::new(path), node).unwrap();
        let meta = |mode, mtime| Metadata { mtime, ..Metadata::root_owned(mode) };
        let text = |text: &str| Content::inline(text.as_bytes().to_vec());
        add("/d", Node::directory(meta(0o555, 7)));
        add("/d/file", Node::file(meta(0o4750, 8), text("text")));
        add("/link", Node::symlink("/etc/passwd"));
        let fifo = Node { meta: meta(0o600, 9), kind: Kind::Special(Special::Fifo) };
        add("/pipe", fifo);
        let number = DeviceNumber { major: 1, minor: 3 };
        add(
            "/null",
            Node { meta: meta(0o666, 0), kind: Kind::Special(Special::CharDevice(number)) },
        );
        tree.hard_link(Path::new("/d/file"), Path::new("/second")).unwrap();
        tree
    }

    #[test]
    fn files_keep_content_mode_time_and_links() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new/out");
        for _ in 0..2 {
            assert_eq!(unpack(&tree(), &dir).unwrap(), [Path::new("/null")]);
            let about = |path: &str| dir.join(path).symlink_metadata().unwrap();
            assert_eq!(std::fs::read(dir.join("second")).unwrap(), b"text");
            assert_eq!(about("second").ino(), about("d/file").ino());
            assert_eq!((about("d").mode() & 0o7777, about("d").mtime()), (0o555, 7));
            assert_eq!((about("d/file").mode() & 0o7777, about("d/file").mtime()), (0o4750, 8));
            assert_eq!(std::fs::read_link(dir.join("link")).unwrap(), Path::new("/etc/passwd"));
            assert_eq!(about("pipe").mtime(), 9);
            assert!(!dir.join("null").exists());
        }
        // So that the folder can be removed by others than root.
        let writable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.join("d"), writable).unwrap();
    }

    /// A folder prepared by somebody else must not lead elsewhere.
    #[test]
    fn links_in_the_folder_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, outside) = (folder.path().join("out"), folder.path().join("outside"));
        std::fs::create_dir(&dir).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("victim"), "old").unwrap();

        symlink("../outside", dir.join("d")).unwrap();
        assert!(unpack(&tree(), &dir).is_err());
        std::fs::remove_file(dir.join("d")).unwrap();
        std::fs::create_dir(dir.join("d")).unwrap();
        symlink("../../outside/victim", dir.join("d/file")).unwrap();
        unpack(&tree(), &dir).unwrap();
        assert_eq!(std::fs::read(outside.join("victim")).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);

        std::fs::remove_file(dir.join("link")).unwrap();
        std::fs::create_dir(dir.join("link")).unwrap();
        let message = unpack(&tree(), &dir).unwrap_err().to_string();
        assert!(message.starts_with("unpack `/link`"), "{message}");
        let writable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.join("d"), writable).unwrap();
    }
}
