//! Finding things. Paths are resolved as Linux would inside a `chroot`: symbolic links lead
//! nowhere else, and `..` stops at the root.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::{NodeId, ROOT, Tree};
use crate::limits::{MAX_DEPTH, MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_SYMLINK_HOPS};
use crate::node::check_len;
use crate::{Error, Kind, Node};

/// Whether a symbolic link at the end of a path is followed. Those before the end always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// As `stat` does.
    Yes,
    /// As `lstat` does.
    No,
}

/// Where a path leads: the part that exists and the part that does not.
#[derive(Default)]
pub(super) struct Trail {
    found: Vec<(OsString, NodeId)>,
    pub(super) missing: Vec<OsString>,
}

impl Trail {
    /// The deepest node that exists.
    pub(super) fn end(&self) -> NodeId {
        self.found.last().map_or(ROOT, |(_, id)| *id)
    }

    /// The node, if all of the path exists.
    pub(super) fn node(&self) -> Option<NodeId> {
        self.missing.is_empty().then(|| self.end())
    }

    /// The path without links, absolute.
    pub(super) fn path(&self) -> PathBuf {
        let names = self.found.iter().map(|(name, _)| name).chain(&self.missing);
        Path::new("/").join(names.collect::<PathBuf>())
    }

    /// The path of the part that exists.
    pub(super) fn found_path(&self) -> PathBuf {
        Path::new("/").join(self.found.iter().map(|(name, _)| name).collect::<PathBuf>())
    }

    fn up(&mut self) {
        if self.missing.pop().is_none() {
            self.found.pop();
        }
    }

    /// Checks that `more` names can follow; `path` is for the message.
    pub(super) fn check_depth(&self, path: &Path, more: usize) -> Result<(), Error> {
        if self.found.len() + self.missing.len() + more > MAX_DEPTH {
            let what = format!("the depth of `{}`", path.display());
            return Err(Error::TooLarge { what, limit: MAX_DEPTH, unit: "directories" });
        }
        Ok(())
    }
}

impl Tree {
    /// The node at `path`, or `None` if there is none. Fails on symbolic link loops and on paths
    /// beyond the caps.
    pub fn get(&self, path: &Path, follow: Follow) -> Result<Option<&Node>, Error> {
        match self.trail(path, follow) {
            Ok(trail) => Ok(trail.node().map(|id| &self.slot(id).node)),
            Err(Error::NotADirectory(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The absolute path without symbolic links that `path` leads to. What does not exist is kept
    /// as it is. Fails where a file is used as a directory.
    pub fn resolve(&self, path: &Path, follow: Follow) -> Result<PathBuf, Error> {
        Ok(self.trail(path, follow)?.path())
    }

    /// The entries of the directory at `path`, sorted by name. Symbolic links are followed.
    pub fn children(&self, path: &Path) -> Result<Vec<(&OsStr, &Node)>, Error> {
        let id = self.existing(path, Follow::Yes)?;
        if !self.is_directory(id) {
            return Err(Error::NotADirectory(path.to_owned()));
        }
        let entries = self.slot(id).entries.iter();
        Ok(entries.map(|(name, id)| (name.as_os_str(), &self.slot(*id).node)).collect())
    }

    /// All bytes of the file at `path`, or `None` if it does not exist. Symbolic links are
    /// followed. Fails if it has more than `limit` bytes.
    pub fn read_file(&self, path: &Path, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        let Some(node) = self.get(path, Follow::Yes)? else { return Ok(None) };
        let Kind::File(content) = &node.kind else {
            return Err(Error::NotAFile(path.to_owned()));
        };
        let len = usize::try_from(content.len()).unwrap_or(usize::MAX);
        check_len(&format!("the file `{}`", path.display()), len, limit)?;
        let mut bytes = Vec::with_capacity(len);
        content.reader().read_to_end(&mut bytes).map_err(Error::content(path))?;
        Ok(Some(bytes))
    }

    pub(super) fn existing(&self, path: &Path, follow: Follow) -> Result<NodeId, Error> {
        self.trail(path, follow)?.node().ok_or_else(|| Error::NotFound(path.to_owned()))
    }

    pub(super) fn trail(&self, path: &Path, follow: Follow) -> Result<Trail, Error> {
        check_len("a path", path.as_os_str().as_bytes().len(), MAX_PATH_BYTES)?;
        let mut trail = Trail::default();
        let mut ahead: VecDeque<OsString> = VecDeque::new();
        push_front(&mut ahead, path);
        let mut hops = 0;
        while let Some(name) = ahead.pop_front() {
            let is_last = ahead.is_empty();
            if name == ".." {
                trail.up();
                continue;
            }
            let Some(id) = self.step(&trail, &name)? else {
                trail.missing.push(name);
                trail.check_depth(path, 0)?;
                continue;
            };
            match &self.slot(id).node.kind {
                Kind::Symlink(target) if !is_last || follow == Follow::Yes => {
                    hops += 1;
                    if hops > MAX_SYMLINK_HOPS {
                        return Err(Error::SymlinkLoop(path.to_owned()));
                    }
                    if target.is_absolute() {
                        trail = Trail::default();
                    }
                    push_front(&mut ahead, target);
                }
                _ => trail.found.push((name, id)),
            }
            trail.check_depth(path, 0)?;
        }
        Ok(trail)
    }

    /// The entry `name` where `trail` ends, or `None` if it does not exist.
    fn step(&self, trail: &Trail, name: &OsStr) -> Result<Option<NodeId>, Error> {
        check_len("a name", name.as_bytes().len(), MAX_NAME_BYTES)?;
        if !trail.missing.is_empty() {
            return Ok(None);
        }
        if !self.is_directory(trail.end()) {
            return Err(Error::NotADirectory(trail.found_path()));
        }
        Ok(self.child(trail.end(), name))
    }
}

/// Puts the components of `path` before what is `ahead`.
fn push_front(ahead: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => ahead.push_front(name.to_owned()),
            Component::ParentDir => ahead.push_front(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}
