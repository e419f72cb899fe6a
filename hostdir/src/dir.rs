//! The directory and what can be done in it.

use crate::walk::{Place, is_root, walk};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::{Errno, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Permissions of new files and directories, less the process's umask.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);

/// An open directory of the host and all that is below it, or a single file.
#[derive(Debug)]
pub struct HostDir {
    root: OwnedFd,
    /// The name in it that is all there is.
    only: Option<Vec<u8>>,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenFlags {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Made if missing.
    pub create: bool,
    /// With `create`: an error if it exists.
    pub exclusive: bool,
    /// Emptied.
    pub truncate: bool,
    /// Every write goes to the end.
    pub append: bool,
    /// Must be a directory.
    pub directory: bool,
}

/// What becomes of a time stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTimes {
    /// It stays.
    Keep,
    /// The host's time now.
    Now,
    /// Nanoseconds since the Unix epoch.
    At(u64),
}

impl OpenFlags {
    fn raw(self) -> OFlags {
        let access = match (self.read, self.write) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            _ => OFlags::RDONLY,
        };
        let wishes = [
            (self.create, OFlags::CREATE),
            (self.exclusive, OFlags::EXCL),
            (self.truncate, OFlags::TRUNC),
            (self.append, OFlags::APPEND),
            (self.directory, OFlags::DIRECTORY),
        ];
        let wished = wishes.into_iter().filter(|(wish, _)| *wish).map(|(_, flag)| flag);
        wished.fold(access | HARMLESS, OFlags::union)
    }
}

/// Opening a pipe must not wait for its other end, a terminal must not become the process's own.
const HARMLESS: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

impl SetTimes {
    fn raw(self) -> Timespec {
        const NANOSECONDS: u64 = 1_000_000_000;
        let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
        match self {
            Self::Keep => special(rustix::fs::UTIME_OMIT),
            Self::Now => special(rustix::fs::UTIME_NOW),
            Self::At(ns) => Timespec {
                tv_sec: (ns / NANOSECONDS).cast_signed(),
                tv_nsec: (ns % NANOSECONDS).cast_signed(),
            },
        }
    }

    /// Both stamps as the host takes them.
    #[must_use]
    pub fn pair(access: Self, modification: Self) -> Timestamps {
        Timestamps { last_access: access.raw(), last_modification: modification.raw() }
    }
}

impl HostDir {
    /// Opens the directory at `path`, which is the user's: symbolic links in it are followed.
    ///
    /// # Errors
    /// What the host answers, such as that it is no directory.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::open(path, flags, Mode::empty())?, only: None })
    }

    /// The one file at `path`, which is the user's: symbolic links in it are followed, now. It is
    /// the root, and its neighbours have no names. What the host's programs put in its place, as
    /// editors do, is the file from then on.
    ///
    /// # Errors
    /// `EACCES` if it is no regular file, what the host answers otherwise.
    pub fn open_single(path: &Path) -> Result<Self> {
        let path = path
            .canonicalize()
            .map_err(|error| error.raw_os_error().map_or(Errno::INVAL, Errno::from_raw_os_error))?;
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::ISDIR);
        };
        let single = Self { only: Some(name.as_bytes().to_vec()), ..Self::open(folder)? };
        match file_type(&single.stat(b"")?) {
            FileType::RegularFile => Ok(single),
            _ => Err(Errno::ACCESS),
        }
    }

    fn find<'a>(&'a self, path: &'a [u8]) -> Result<Place<'a>> {
        match &self.only {
            None => walk(self.root.as_fd(), path),
            Some(name) if is_root(path) => Ok(Place::in_root(self.root.as_fd(), name)),
            Some(_) => Err(Errno::NOTDIR),
        }
    }

    /// As [`find`](Self::find), for a name that is to be made or removed: never the root.
    fn find_entry<'a>(&'a self, path: &'a [u8]) -> Result<Place<'a>> {
        if is_root(path) { Err(Errno::BUSY) } else { self.find(path) }
    }

    /// Opens a file or directory.
    ///
    /// # Errors
    /// `EACCES` for what is neither, `ELOOP` for a symbolic link, what the host answers otherwise.
    pub fn open_file(&self, path: &[u8], flags: OpenFlags) -> Result<OwnedFd> {
        let place = self.find(path)?;
        let file = rustix::fs::openat(&place, place.name, flags.raw(), FILE_MODE)?;
        match file_type(&rustix::fs::fstat(&file)?) {
            FileType::RegularFile => Ok(file),
            FileType::Directory if self.only.is_none() => Ok(file),
            _ => Err(Errno::ACCESS),
        }
    }

    /// What is known of a name; of a symbolic link itself.
    ///
    /// # Errors
    /// What the host answers.
    pub fn stat(&self, path: &[u8]) -> Result<Stat> {
        let place = self.find(path)?;
        rustix::fs::statat(&place, place.name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Sets the times of a name; of a symbolic link itself.
    ///
    /// # Errors
    /// What the host answers.
    pub fn set_times(&self, path: &[u8], times: &Timestamps) -> Result<()> {
        let place = self.find(path)?;
        rustix::fs::utimensat(&place, place.name, times, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// What the host answers.
    pub fn create_directory(&self, path: &[u8]) -> Result<()> {
        let place = self.find_entry(path)?;
        rustix::fs::mkdirat(&place, place.name, DIRECTORY_MODE)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// What the host answers.
    pub fn remove_directory(&self, path: &[u8]) -> Result<()> {
        let place = self.find_entry(path)?;
        rustix::fs::unlinkat(&place, place.name, AtFlags::REMOVEDIR)
    }

    /// Removes anything but a directory.
    ///
    /// # Errors
    /// What the host answers.
    pub fn remove_file(&self, path: &[u8]) -> Result<()> {
        let place = self.find_entry(path)?;
        rustix::fs::unlinkat(&place, place.name, AtFlags::empty())
    }

    /// Moves `path` to `new_path` in `to`, over what is there.
    ///
    /// # Errors
    /// `EXDEV` between file systems, what the host answers otherwise.
    pub fn rename(&self, path: &[u8], to: &Self, new_path: &[u8]) -> Result<()> {
        let (from, to) = (self.find_entry(path)?, to.find_entry(new_path)?);
        rustix::fs::renameat(&from, from.name, &to, to.name)
    }

    /// Gives the file `path` a second name, `new_path` in `to`.
    ///
    /// # Errors
    /// As [`rename`](Self::rename).
    pub fn link(&self, path: &[u8], to: &Self, new_path: &[u8]) -> Result<()> {
        let (from, to) = (self.find_entry(path)?, to.find_entry(new_path)?);
        rustix::fs::linkat(&from, from.name, &to, to.name, AtFlags::empty())
    }

    /// Makes a symbolic link. Its target is bytes to us: who follows it is somewhere else.
    ///
    /// # Errors
    /// What the host answers.
    pub fn symlink(&self, target: &[u8], path: &[u8]) -> Result<()> {
        let place = self.find_entry(path)?;
        rustix::fs::symlinkat(target, &place, place.name)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `EINVAL` if it is none, what the host answers otherwise.
    pub fn read_link(&self, path: &[u8]) -> Result<Vec<u8>> {
        let place = self.find_entry(path)?;
        rustix::fs::readlinkat(&place, place.name, Vec::new()).map(std::ffi::CString::into_bytes)
    }
}

impl AsFd for HostDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// The type in a `stat`.
fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}
