//! Host directories and the files open in them.

use super::errno::Errno;
use crate::HostMount;
use lithify_hostdir::{Entry, FileType, HostDir, OpenFlags, Stat, Timestamps, read_entries};
use std::os::fd::{AsFd, OwnedFd};

/// Descriptors follow that of our own folder, where WASI programs look for opened directories.
pub(super) const FIRST: u32 = super::own_folder::FOLDER + 1;
/// The vm bounds what its guest can open; this is for the case that it fails to.
const MAX_OPEN: usize = 1 << 16;

/// A file or directory that is open.
struct Open {
    file: OwnedFd,
    writable: bool,
}

/// Directories and files that the user named, from descriptor [`FIRST`] on, then what is open in them.
pub(crate) struct HostFiles {
    mounts: Vec<HostMount>,
    open: Vec<Option<Open>>,
}

type Result<T> = std::result::Result<T, Errno>;

impl HostFiles {
    pub(crate) fn new(mounts: Vec<HostMount>) -> Self {
        Self { mounts, open: Vec::new() }
    }

    /// The mount whose directory `fd` is; of a single file, too, whose path is the empty one.
    pub(super) fn mount(&self, fd: u32) -> Result<&HostMount> {
        let slot = fd.checked_sub(FIRST).ok_or(Errno::BadF)?;
        self.mounts.get(slot as usize).ok_or(Errno::BadF)
    }

    /// The directory `fd`, for a call that looks.
    pub(super) fn directory(&self, fd: u32) -> Result<&HostDir> {
        self.mount(fd).map(|mount| &mount.directory).map_err(|_| self.no_mount(fd))
    }

    /// The directory `fd`, for a call that changes something.
    pub(super) fn changeable(&self, fd: u32) -> Result<&HostDir> {
        match self.mount(fd) {
            Ok(mount) if mount.read_only => Err(Errno::RoFs),
            Ok(mount) => Ok(&mount.directory),
            Err(_) => Err(self.no_mount(fd)),
        }
    }

    /// Paths start at mounts only, not at directories opened in them.
    fn no_mount(&self, fd: u32) -> Errno {
        if self.get(fd).is_ok() { Errno::NotDir } else { Errno::BadF }
    }

    fn slot(&self, fd: u32) -> Option<usize> {
        (fd.checked_sub(FIRST)? as usize).checked_sub(self.mounts.len())
    }

    fn get(&self, fd: u32) -> Result<&Open> {
        let slot = self.slot(fd).ok_or(Errno::BadF)?;
        self.open.get(slot).and_then(Option::as_ref).ok_or(Errno::BadF)
    }

    /// The file or directory `fd`.
    pub(super) fn file(&self, fd: u32) -> Result<&OwnedFd> {
        self.get(fd).map(|open| &open.file)
    }

    /// The file `fd`, for writing.
    pub(super) fn writable(&self, fd: u32) -> Result<&OwnedFd> {
        self.get(fd).and_then(|open| open.writable.then_some(&open.file).ok_or(Errno::BadF))
    }

    pub(super) fn open(&mut self, directory: u32, path: &[u8], flags: OpenFlags) -> Result<u32> {
        let changes = flags.write || flags.create || flags.truncate;
        let directory =
            if changes { self.changeable(directory)? } else { self.directory(directory)? };
        let file = directory.open_file(path, flags)?;
        let slot = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
        if slot == self.open.len() {
            if slot == MAX_OPEN {
                return Err(Errno::MFile);
            }
            self.open.push(None);
        }
        self.open[slot] = Some(Open { file, writable: flags.write });
        Ok(FIRST + (self.mounts.len() + slot) as u32)
    }

    pub(super) fn close(&mut self, fd: u32) -> Result<()> {
        self.get(fd)?;
        if let Some(slot) = self.slot(fd) {
            self.open[slot] = None;
        }
        Ok(())
    }

    /// What `fd` is, mount or open file.
    pub(super) fn stat(&self, fd: u32) -> Result<Stat> {
        match self.mount(fd) {
            Ok(mount) => Ok(mount.directory.stat(b"")?),
            Err(_) => Ok(rustix::fs::fstat(self.file(fd)?)?),
        }
    }

    pub(super) fn set_times(&self, fd: u32, times: &Timestamps) -> Result<()> {
        Ok(rustix::fs::futimens(self.writable(fd)?, times)?)
    }

    /// Fills `to` with entries of the directory `fd` as WASI lays them out, from position `from`
    /// on, the last one cut; fewer bytes are the end.
    pub(super) fn list(&self, fd: u32, to: &mut [u8], from: u64) -> Result<usize> {
        let mut done = 0;
        let file = self.file(fd)?;
        read_entries(file.as_fd(), from, &mut |entry| {
            for bytes in [&dirent(entry)[..], entry.name] {
                let len = bytes.len().min(to.len() - done);
                to[done..done + len].copy_from_slice(&bytes[..len]);
                done += len;
            }
            done < to.len()
        })?;
        Ok(done)
    }
}

/// `dirent`: next at 0, inode at 8, length of the name at 16, type at 20.
const DIRENT_SIZE: usize = 24;

fn dirent(entry: &Entry<'_>) -> [u8; DIRENT_SIZE] {
    let mut bytes = [0; DIRENT_SIZE];
    bytes[..8].copy_from_slice(&entry.next.to_le_bytes());
    bytes[8..16].copy_from_slice(&entry.inode.to_le_bytes());
    bytes[16..20].copy_from_slice(&(entry.name.len() as u32).to_le_bytes());
    bytes[20] = filetype(entry.kind);
    bytes
}

/// `filetype`.
pub(super) fn filetype(kind: FileType) -> u8 {
    match kind {
        FileType::BlockDevice => 1,
        FileType::CharacterDevice => 2,
        FileType::Directory => 3,
        FileType::RegularFile => 4,
        FileType::Socket => 6,
        FileType::Symlink => 7,
        FileType::Fifo | FileType::Unknown => 0,
    }
}
