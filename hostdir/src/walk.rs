//! From a path to an open directory and a last name.

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Linux's `PATH_MAX`. A walk keeps no string, so it would allow more: a guest could then make
/// trees that no tool of the host's user can remove.
const MAX_PATH_LEN: usize = 4096;

/// Where a path ends: a name in a directory.
pub(crate) struct Place<'a> {
    directory: Directory<'a>,
    /// One plain name, or `.` for the root itself.
    pub(crate) name: &'a [u8],
}

impl<'a> Place<'a> {
    /// The entry `name` of the root, which is one plain name.
    pub(crate) fn in_root(root: BorrowedFd<'a>, name: &'a [u8]) -> Self {
        Self { directory: Directory::Root(root), name }
    }
}

enum Directory<'a> {
    Root(BorrowedFd<'a>),
    Below(OwnedFd),
}

impl AsFd for Place<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.directory {
            Directory::Root(root) => *root,
            Directory::Below(directory) => directory.as_fd(),
        }
    }
}

/// Whether `path` names the root itself.
pub(crate) fn is_root(path: &[u8]) -> bool {
    matches!(path, b"" | b".")
}

/// Walks `path`, of which every name but the last must be a directory. An empty path and `.` are
/// the root.
///
/// # Errors
/// `EPERM` for a path with a name that is not plain, `ENAMETOOLONG`, and what the host answers.
pub(crate) fn walk<'a>(root: BorrowedFd<'a>, path: &'a [u8]) -> Result<Place<'a>> {
    if path.len() >= MAX_PATH_LEN {
        return Err(Errno::NAMETOOLONG);
    }
    if is_root(path) {
        return Ok(Place::in_root(root, b"."));
    }
    let mut directory = Directory::Root(root);
    let mut names = path.split(|byte| *byte == b'/');
    let last = names.next_back().unwrap_or_default();
    if names.clone().chain([last]).any(|name| matches!(name, b"" | b"." | b"..")) {
        return Err(Errno::PERM);
    }
    for name in names {
        let parent = match &directory {
            Directory::Root(root) => *root,
            Directory::Below(directory) => directory.as_fd(),
        };
        directory = Directory::Below(rustix::fs::openat(parent, name, STEP, Mode::empty())?);
    }
    Ok(Place { directory, name: last })
}

/// What opens a directory on the way; a symbolic link is `ENOTDIR`.
const STEP: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
