//! A directory or a single file of the host by WASI calls.

use super::errno::linux;
use crate::wasi::{self, DIRENT_LEN};
use lithify_ninep::{Entry, Errno, FileTree, Handle, Kind, OpenFlags, SetTime, Stat};
use wasip1::{Fd, Filetype};

type Result<T> = std::result::Result<T, Errno>;

/// What the host is asked for at once: a small directory, then, of a large one, as much as an
/// answer holds, for wasmtime reads a directory from its beginning at each call.
const SMALL_LISTING: usize = 16 << 10;
const LARGE_LISTING: usize = lithify_ninep::MAX_MESSAGE_LEN as usize;

/// Linux's `PATH_MAX`, which limits a link's target.
const MAX_LINK_LEN: usize = 4096;

/// A directory that the host has opened, or a file that is what the path `.` leads to.
#[derive(Debug)]
pub(super) struct WasiTree {
    directory: Fd,
    listing: Vec<u8>,
}

impl WasiTree {
    pub(super) fn new(directory: Fd) -> Self {
        Self { directory, listing: Vec::new() }
    }
}

/// WASI has no empty path.
fn or_itself(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

fn kind(filetype: Filetype) -> Kind {
    match filetype {
        wasip1::FILETYPE_REGULAR_FILE => Kind::File,
        wasip1::FILETYPE_DIRECTORY => Kind::Directory,
        wasip1::FILETYPE_SYMBOLIC_LINK => Kind::Symlink,
        _ => Kind::Other,
    }
}

fn stat(stat: wasip1::Filestat) -> Stat {
    Stat {
        kind: kind(stat.filetype),
        device: stat.dev,
        inode: stat.ino,
        links: stat.nlink,
        size: stat.size,
        accessed: stat.atim,
        modified: stat.mtim,
        changed: stat.ctim,
    }
}

/// The time and its flag, of the two that there are for it.
fn time(time: SetTime, given: u16, now: u16) -> (u64, u16) {
    match time {
        SetTime::Keep => (0, 0),
        SetTime::Now => (0, now),
        SetTime::At(ns) => (ns, given),
    }
}

/// Both times and their flags.
fn times(accessed: SetTime, modified: SetTime) -> ((u64, u64), u16) {
    let (accessed, access_flag) = time(accessed, wasip1::FSTFLAGS_ATIM, wasip1::FSTFLAGS_ATIM_NOW);
    let (modified, modify_flag) = time(modified, wasip1::FSTFLAGS_MTIM, wasip1::FSTFLAGS_MTIM_NOW);
    ((accessed, modified), access_flag | modify_flag)
}

impl FileTree for WasiTree {
    fn stat(&mut self, path: &str) -> Result<Stat> {
        wasi::path_stat(self.directory, or_itself(path)).map(stat).map_err(linux)
    }

    fn stat_handle(&mut self, file: Handle) -> Result<Stat> {
        wasi::stat(file.0).map(stat).map_err(linux)
    }

    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<Handle> {
        let either = |wish: bool, flag| if wish { flag } else { 0 };
        let how = either(flags.create, wasip1::OFLAGS_CREAT)
            | either(flags.exclusive, wasip1::OFLAGS_EXCL)
            | either(flags.truncate, wasip1::OFLAGS_TRUNC);
        let rights = wasip1::RIGHTS_FD_FILESTAT_GET
            | if flags.read { wasi::READ_RIGHTS } else { 0 }
            | if flags.write || flags.truncate { wasi::WRITE_RIGHTS } else { 0 };
        let append = either(flags.append, wasip1::FDFLAGS_APPEND);
        let path = or_itself(path);
        wasi::open(self.directory, path, how, rights, append).map(Handle).map_err(linux)
    }

    fn open_directory(&mut self, path: &str) -> Result<Handle> {
        let (path, how) = (or_itself(path), wasip1::OFLAGS_DIRECTORY);
        wasi::open(self.directory, path, how, wasi::LIST_RIGHTS, 0).map(Handle).map_err(linux)
    }

    fn close(&mut self, file: Handle) {
        wasi::close(file.0);
    }

    fn read(&mut self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < into.len() {
            let at = offset.saturating_add(done as u64);
            match wasi::read_at(file.0, &mut into[done..], at) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if done == 0 => return Err(linux(error)),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn write(&mut self, file: Handle, offset: u64, from: &[u8]) -> Result<usize> {
        wasi::write_at(file.0, from, offset).map_err(linux)
    }

    fn append(&mut self, file: Handle, from: &[u8]) -> Result<usize> {
        wasi::write(file.0, from).map_err(linux)
    }

    fn set_size(&mut self, file: Handle, size: u64) -> Result<()> {
        wasi::set_size(file.0, size).map_err(linux)
    }

    fn sync(&mut self, file: Handle, data_only: bool) -> Result<()> {
        wasi::sync(file.0, data_only).map_err(linux)
    }

    fn read_directory(
        &mut self,
        directory: Handle,
        mut from: u64,
        take: &mut dyn FnMut(&Entry<'_>) -> bool,
    ) -> Result<()> {
        self.listing.resize(self.listing.len().max(SMALL_LISTING), 0);
        loop {
            let len = wasi::read_directory(directory.0, &mut self.listing, from).map_err(linux)?;
            let whole = len == self.listing.len();
            let before = from;
            if !hand_over(&self.listing[..len], &mut from, take) || !whole {
                return Ok(());
            }
            if from == before && self.listing.len() == LARGE_LISTING {
                return Err(Errno::OVERFLOW);
            }
            self.listing.resize(LARGE_LISTING, 0);
        }
    }

    fn set_times(&mut self, path: &str, accessed: SetTime, modified: SetTime) -> Result<()> {
        let (times, flags) = times(accessed, modified);
        wasi::set_times(self.directory, or_itself(path), times, flags).map_err(linux)
    }

    fn set_times_handle(
        &mut self,
        file: Handle,
        accessed: SetTime,
        modified: SetTime,
    ) -> Result<()> {
        let (times, flags) = times(accessed, modified);
        wasi::set_times_of(file.0, times, flags).map_err(linux)
    }

    fn create_directory(&mut self, path: &str) -> Result<()> {
        wasi::create_directory(self.directory, path).map_err(linux)
    }

    fn remove_directory(&mut self, path: &str) -> Result<()> {
        wasi::remove_directory(self.directory, path).map_err(linux)
    }

    fn remove_file(&mut self, path: &str) -> Result<()> {
        wasi::remove_file(self.directory, path).map_err(linux)
    }

    fn rename(&mut self, path: &str, to: &str) -> Result<()> {
        wasi::rename(self.directory, path, to).map_err(linux)
    }

    fn link(&mut self, path: &str, to: &str) -> Result<()> {
        wasi::link(self.directory, path, to).map_err(linux)
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<()> {
        wasi::symlink(self.directory, target, path).map_err(linux)
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        let mut target = vec![0; MAX_LINK_LEN];
        let len = wasi::read_link(self.directory, path, &mut target).map_err(linux)?;
        target.truncate(len);
        String::from_utf8(target).map_err(|_| Errno::ILSEQ)
    }
}

/// Hands the whole entries of a listing to `take`, of which `from` then is behind the last; `false`
/// if it refused one.
fn hand_over(mut listing: &[u8], from: &mut u64, take: &mut dyn FnMut(&Entry<'_>) -> bool) -> bool {
    while let Some((entry, rest)) = listing.split_first_chunk::<DIRENT_LEN>() {
        let dirent = wasi::dirent(entry);
        let Some((name, rest)) = rest.split_at_checked(dirent.d_namlen as usize) else { break };
        // A name that is not UTF-8 cannot be asked for and is left out.
        if let Ok(name) = str::from_utf8(name) {
            let (kind, inode, next) = (kind(dirent.d_type), dirent.d_ino, dirent.d_next);
            if !take(&Entry { name, kind, inode, next }) {
                return false;
            }
        }
        *from = dirent.d_next;
        listing = rest;
    }
    true
}
