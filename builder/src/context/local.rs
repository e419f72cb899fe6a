//! A directory of the host as a source of files.
//!
//! Nothing outside the directory can be named: symbolic links are resolved here, component by
//! component, as if the directory were the root, and never by the host.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::Metadata as HostMetadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use lithify_rootfs::{Content, Kind, Metadata, Node};
use rustix::buffer::spare_capacity;
use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;

use super::ContextError;
use crate::ignore::Matcher;
use crate::source_tree::Found;

/// A context with more files than this is a mistake, such as a home directory.
const MAX_FILES: usize = 2_000_000;

/// Deeper directories than Linux can name by one path.
const MAX_DEPTH: usize = 2048;

/// The most that Linux gives, of a file's names and of one value.
const MAX_XATTR_BYTES: usize = 64 << 10;

/// As many as Linux follows.
const MAX_LINKS: usize = 40;

/// A directory of the host.
#[derive(Debug)]
pub(crate) struct LocalContext {
    root: PathBuf,
    /// The paths that exist for the build; all if nothing is ignored.
    visible: Option<BTreeSet<PathBuf>>,
}

impl LocalContext {
    pub(crate) fn open(path: &Path, ignore: &Matcher) -> Result<Self, ContextError> {
        let root = path
            .canonicalize()
            .map_err(|source| ContextError::Root { path: path.to_owned(), source })?;
        if !root.is_dir() {
            return Err(ContextError::NotADirectory { path: path.to_owned() });
        }
        let mut context = Self { root, visible: None };
        if !ignore.is_empty() {
            context.visible = Some(context.visible_paths(ignore)?);
        }
        Ok(context)
    }

    /// The directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The path on the host; `path` must hold no `..`.
    pub(crate) fn host(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    fn is_visible(&self, path: &Path) -> bool {
        let visible = self.visible.as_ref();
        path.as_os_str().is_empty() || visible.is_none_or(|visible| visible.contains(path))
    }

    /// Whether something is there that only the patterns hide.
    pub(crate) fn hides(&self, path: &Path) -> bool {
        !self.is_visible(path) && self.host(path).symlink_metadata().is_ok()
    }

    /// What is not ignored, and the directories above it.
    fn visible_paths(&self, ignore: &Matcher) -> Result<BTreeSet<PathBuf>, ContextError> {
        let mut visible = BTreeSet::new();
        let mut ahead = vec![PathBuf::new()];
        let mut count = 0;
        while let Some(dir) = ahead.pop() {
            for (name, is_dir) in self.read_dir(&dir)? {
                let path = dir.join(name);
                count_file(&mut count)?;
                let excluded = ignore.excludes(&path);
                if is_dir && (!excluded || ignore.keeps_some()) {
                    check_depth(&path)?;
                    ahead.push(path.clone());
                }
                if !excluded {
                    add_with_parents(&mut visible, &path);
                }
            }
        }
        Ok(visible)
    }

    /// Names in a directory, sorted, and which of them are directories.
    fn read_dir(&self, dir: &Path) -> Result<BTreeMap<OsString, bool>, ContextError> {
        let host = self.host(dir);
        let failed = |source| ContextError::Io { path: host.clone(), source };
        std::fs::read_dir(&host)
            .map_err(failed)?
            .map(|entry| {
                let entry = entry.map_err(failed)?;
                let is_dir = entry.file_type().map_err(failed)?.is_dir();
                Ok((entry.file_name(), is_dir))
            })
            .collect()
    }

    /// Names in a directory, sorted.
    pub(crate) fn children(&self, dir: &Path) -> Result<Vec<OsString>, ContextError> {
        let names = self.read_dir(dir)?.into_keys();
        Ok(names.filter(|name| self.is_visible(&dir.join(name))).collect())
    }

    /// About the file itself at `path`, if it is there and visible.
    pub(crate) fn metadata(&self, path: &Path) -> Result<Option<HostMetadata>, ContextError> {
        if !self.is_visible(path) {
            return Ok(None);
        }
        match self.host(path).symlink_metadata() {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(source) => Err(ContextError::Io { path: self.host(path), source }),
        }
    }

    pub(crate) fn is_directory(&self, path: &Path) -> Result<bool, ContextError> {
        Ok(path.as_os_str().is_empty()
            || self.metadata(path)?.is_some_and(|metadata| metadata.is_dir()))
    }

    /// Where `path` leads, every symbolic link followed within the context.
    pub(crate) fn resolve(&self, path: &Path) -> Result<Option<PathBuf>, ContextError> {
        let mut found = PathBuf::new();
        let mut ahead = VecDeque::new();
        push_front(&mut ahead, path);
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == ".." {
                found.pop();
                continue;
            }
            let next = found.join(&name);
            let Some(metadata) = self.metadata(&next)? else { return Ok(None) };
            if !metadata.is_symlink() {
                found = next;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(ContextError::LinkLoop { path: path.to_owned() });
            }
            let target = self.read_link(&next)?;
            if target.is_absolute() {
                found = PathBuf::new();
            }
            push_front(&mut ahead, &target);
        }
        Ok(Some(found))
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, ContextError> {
        let host = self.host(path);
        std::fs::read_link(&host).map_err(|source| ContextError::Io { path: host, source })
    }

    /// What is at `start` and below, parents first, sorted; symbolic links stay links.
    pub(crate) fn walk(&self, start: &Path) -> Result<Vec<Found>, ContextError> {
        let mut found = Vec::new();
        let mut first_names = BTreeMap::new();
        let mut ahead = vec![PathBuf::new()];
        while let Some(relative) = ahead.pop() {
            let path = below(start, &relative);
            // Gone since its directory was read, or ignored.
            let Some(metadata) = self.metadata(&path)? else { continue };
            if metadata.is_dir() {
                check_depth(&path)?;
                let names = self.children(&path)?;
                ahead.extend(names.into_iter().rev().map(|name| relative.join(name)));
            }
            let link_of = first_name(&mut first_names, &metadata, &relative);
            found.push(Found { node: self.node(&path, &metadata)?, relative, link_of });
            if found.len() > MAX_FILES {
                return Err(ContextError::TooManyFiles { limit: MAX_FILES });
            }
        }
        Ok(found)
    }

    /// Owner and group are root's: those of the host mean nothing in an image.
    fn node(&self, path: &Path, metadata: &HostMetadata) -> Result<Node, ContextError> {
        let kind = metadata.file_type();
        let special = |kind| ContextError::SpecialFile { path: path.to_owned(), kind };
        let kind = if kind.is_dir() {
            Kind::Directory
        } else if kind.is_file() {
            Kind::File(Content::host_file(self.host(path), metadata.len()))
        } else if kind.is_symlink() {
            Kind::Symlink(self.read_link(path)?)
        } else if kind.is_socket() {
            return Err(special("socket"));
        } else if kind.is_fifo() {
            return Err(special("named pipe"));
        } else {
            return Err(special("device"));
        };
        let mtime = u32::try_from(metadata.mtime().max(0)).unwrap_or(u32::MAX);
        let mode = u16::try_from(metadata.mode() & 0o7777).expect("twelve bits fit");
        let xattrs = attributes(&self.host(path))
            .map_err(|source| ContextError::Io { path: self.host(path), source })?;
        Ok(Node { meta: Metadata { mtime, xattrs, ..Metadata::root_owned(mode) }, kind })
    }
}

/// The extended attributes that mean something elsewhere: the user's own and a file's capabilities.
fn attributes(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = Vec::with_capacity(MAX_XATTR_BYTES);
    match llistxattr(path, spare_capacity(&mut names)) {
        Ok(_) => {}
        Err(Errno::NOTSUP | Errno::ACCESS) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.into()),
    }
    let mut attributes = BTreeMap::new();
    for name in names.split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        let mut value = Vec::with_capacity(MAX_XATTR_BYTES);
        match lgetxattr(path, name, spare_capacity(&mut value)) {
            Ok(_) => drop(attributes.insert(name.to_vec(), value)),
            // Gone since it was listed.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(attributes)
}

fn is_kept(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name == b"security.capability"
}

/// Joining an empty path would add a slash, and `file/` is not a file.
fn below(start: &Path, relative: &Path) -> PathBuf {
    if relative.as_os_str().is_empty() { start.to_owned() } else { start.join(relative) }
}

fn first_name(
    names: &mut BTreeMap<(u64, u64), PathBuf>,
    metadata: &HostMetadata,
    relative: &Path,
) -> Option<PathBuf> {
    if !metadata.is_file() || metadata.nlink() < 2 {
        return None;
    }
    let id = (metadata.dev(), metadata.ino());
    let first = names.get(&id).cloned();
    if first.is_none() {
        names.insert(id, relative.to_owned());
    }
    first
}

fn add_with_parents(visible: &mut BTreeSet<PathBuf>, path: &Path) {
    for path in path.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        if !visible.insert(path.to_owned()) {
            break;
        }
    }
}

fn count_file(count: &mut usize) -> Result<(), ContextError> {
    *count += 1;
    if *count > MAX_FILES {
        return Err(ContextError::TooManyFiles { limit: MAX_FILES });
    }
    Ok(())
}

fn check_depth(path: &Path) -> Result<(), ContextError> {
    if path.components().count() > MAX_DEPTH {
        return Err(ContextError::TooDeep { path: path.to_owned(), limit: MAX_DEPTH });
    }
    Ok(())
}

fn push_front(ahead: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => ahead.push_front(name.to_owned()),
            Component::ParentDir => ahead.push_front(OsStr::new("..").to_owned()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn context(ignore: &str) -> (tempfile::TempDir, LocalContext) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/file"), "x").unwrap();
        std::fs::write(root.join("top"), "y").unwrap();
        symlink("../../../../../top", root.join("a/up")).unwrap();
        symlink("/a/b", root.join("abs")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let ignore = Matcher::from_file_text(ignore, ".dockerignore").unwrap();
        let context = LocalContext::open(root, &ignore).unwrap();
        (dir, context)
    }

    #[test]
    fn links_are_resolved_within_the_context() {
        let (_dir, context) = context("");
        let table = [
            ("top", Some("top")),
            ("../../top", Some("top")),
            ("a/up", Some("top")),
            ("abs/file", Some("a/b/file")),
            ("a/./b/../b/file", Some("a/b/file")),
            ("/", Some("")),
            ("missing", None),
            ("top/below", None),
            ("missing/..", None),
        ];
        for (path, expected) in table {
            let found = context.resolve(Path::new(path)).unwrap();
            assert_eq!(found.as_deref(), expected.map(Path::new), "{path}");
        }
        assert!(matches!(context.resolve(Path::new("loop")), Err(ContextError::LinkLoop { .. })));
    }

    #[test]
    fn ignored_paths_do_not_exist_but_the_way_to_kept_ones_does() {
        let (_dir, context) = context("*\n!a/b/file");
        let found: Vec<PathBuf> =
            context.walk(Path::new("")).unwrap().into_iter().map(|found| found.relative).collect();
        assert_eq!(found, ["", "a", "a/b", "a/b/file"].map(PathBuf::from));
        assert_eq!(context.resolve(Path::new("top")).unwrap(), None);
        assert!(context.hides(Path::new("top")));
        assert!(!context.hides(Path::new("missing")));
    }

    #[test]
    fn special_files_are_refused_by_name() {
        let (dir, context) = context("");
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap();
        let error = context.walk(Path::new("")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`s` is a socket: only files, directories and symbolic links can be copied"
        );
    }

    #[test]
    fn hard_links_name_their_first_name() {
        let (dir, context) = context("");
        std::fs::hard_link(dir.path().join("top"), dir.path().join("zlink")).unwrap();
        let found = context.walk(Path::new("")).unwrap();
        let link = found.iter().find(|found| found.relative == Path::new("zlink")).unwrap();
        assert_eq!(link.link_of.as_deref(), Some(Path::new("top")));
    }
}
