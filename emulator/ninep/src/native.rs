//! A tree on the host's own files.

use crate::errno::{Errno, Result};
use crate::tree::{Entry, FileTree, Handle, Kind, OpenFlags, SetTime, Stat};
use lithify_hostdir::{self as hostdir, FileType, HostDir, SetTimes};
use std::os::fd::{AsFd, OwnedFd};

/// A directory of the host, without a WASI runtime in between.
#[derive(Debug)]
pub struct NativeTree {
    directory: HostDir,
    open: Vec<Option<OwnedFd>>,
}

impl NativeTree {
    /// The tree below `directory`.
    #[must_use]
    pub fn new(directory: HostDir) -> Self {
        Self { directory, open: Vec::new() }
    }

    fn file(&self, handle: Handle) -> Result<&OwnedFd> {
        self.open.get(handle.0 as usize).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    fn keep(&mut self, file: OwnedFd) -> Handle {
        let free = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
        if free == self.open.len() {
            self.open.push(None);
        }
        self.open[free] = Some(file);
        Handle(free as u32)
    }
}

fn errno(errno: hostdir::Errno) -> Errno {
    Errno(errno.raw_os_error().unsigned_abs())
}

fn kind(kind: FileType) -> Kind {
    match kind {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

/// Times before 1970 become its first.
#[expect(clippy::unnecessary_cast, reason = "the types vary by host")]
fn stat(stat: &hostdir::Stat) -> Stat {
    let time = |seconds: i64, rest: u64| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(rest)
    };
    Stat {
        kind: kind(FileType::from_raw_mode(stat.st_mode)),
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        links: stat.st_nlink as u64,
        size: stat.st_size as u64,
        accessed: time(stat.st_atime as i64, stat.st_atime_nsec as u64),
        modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        changed: time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
    }
}

fn set_time(time: SetTime) -> SetTimes {
    match time {
        SetTime::Keep => SetTimes::Keep,
        SetTime::Now => SetTimes::Now,
        SetTime::At(ns) => SetTimes::At(ns),
    }
}

impl FileTree for NativeTree {
    fn stat(&mut self, path: &str) -> Result<Stat> {
        self.directory.stat(path.as_bytes()).map(|found| stat(&found)).map_err(errno)
    }

    fn stat_handle(&mut self, file: Handle) -> Result<Stat> {
        rustix::fs::fstat(self.file(file)?).map(|found| stat(&found)).map_err(errno)
    }

    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<Handle> {
        let OpenFlags { read, write, create, exclusive, truncate, append } = flags;
        let directory = false;
        let flags =
            hostdir::OpenFlags { read, write, create, exclusive, truncate, append, directory };
        let file = self.directory.open_file(path.as_bytes(), flags).map_err(errno)?;
        Ok(self.keep(file))
    }

    fn open_directory(&mut self, path: &str) -> Result<Handle> {
        let flags =
            hostdir::OpenFlags { read: true, directory: true, ..hostdir::OpenFlags::default() };
        let directory = self.directory.open_file(path.as_bytes(), flags).map_err(errno)?;
        Ok(self.keep(directory))
    }

    fn close(&mut self, file: Handle) {
        if let Some(open) = self.open.get_mut(file.0 as usize) {
            *open = None;
        }
    }

    fn read(&mut self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize> {
        let file = self.file(file)?;
        let mut done = 0;
        while done < into.len() {
            match rustix::io::pread(file, &mut into[done..], offset.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if done == 0 => return Err(errno(error)),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn write(&mut self, file: Handle, offset: u64, from: &[u8]) -> Result<usize> {
        rustix::io::pwrite(self.file(file)?, from, offset).map_err(errno)
    }

    fn append(&mut self, file: Handle, from: &[u8]) -> Result<usize> {
        rustix::io::write(self.file(file)?, from).map_err(errno)
    }

    fn set_size(&mut self, file: Handle, size: u64) -> Result<()> {
        rustix::fs::ftruncate(self.file(file)?, size).map_err(errno)
    }

    fn sync(&mut self, file: Handle, data_only: bool) -> Result<()> {
        let file = self.file(file)?;
        let synced = if data_only { rustix::fs::fdatasync(file) } else { rustix::fs::fsync(file) };
        synced.map_err(errno)
    }

    fn read_directory(
        &mut self,
        directory: Handle,
        from: u64,
        take: &mut dyn FnMut(&Entry<'_>) -> bool,
    ) -> Result<()> {
        let directory = self.file(directory)?.as_fd();
        hostdir::read_entries(directory, from, &mut |entry| {
            // A name that is not UTF-8 cannot be asked for and is left out.
            let Ok(name) = str::from_utf8(entry.name) else { return true };
            take(&Entry { name, kind: kind(entry.kind), inode: entry.inode, next: entry.next })
        })
        .map_err(errno)
    }

    fn set_times(&mut self, path: &str, accessed: SetTime, modified: SetTime) -> Result<()> {
        let times = SetTimes::pair(set_time(accessed), set_time(modified));
        self.directory.set_times(path.as_bytes(), &times).map_err(errno)
    }

    fn set_times_handle(
        &mut self,
        file: Handle,
        accessed: SetTime,
        modified: SetTime,
    ) -> Result<()> {
        let times = SetTimes::pair(set_time(accessed), set_time(modified));
        rustix::fs::futimens(self.file(file)?, &times).map_err(errno)
    }

    fn create_directory(&mut self, path: &str) -> Result<()> {
        self.directory.create_directory(path.as_bytes()).map_err(errno)
    }

    fn remove_directory(&mut self, path: &str) -> Result<()> {
        self.directory.remove_directory(path.as_bytes()).map_err(errno)
    }

    fn remove_file(&mut self, path: &str) -> Result<()> {
        self.directory.remove_file(path.as_bytes()).map_err(errno)
    }

    fn rename(&mut self, path: &str, to: &str) -> Result<()> {
        self.directory.rename(path.as_bytes(), &self.directory, to.as_bytes()).map_err(errno)
    }

    fn link(&mut self, path: &str, to: &str) -> Result<()> {
        self.directory.link(path.as_bytes(), &self.directory, to.as_bytes()).map_err(errno)
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<()> {
        self.directory.symlink(target.as_bytes(), path.as_bytes()).map_err(errno)
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        let target = self.directory.read_link(path.as_bytes()).map_err(errno)?;
        String::from_utf8(target).map_err(|_| Errno::ILSEQ)
    }
}
