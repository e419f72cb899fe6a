//! The calls on host files beyond those that every descriptor has.

use super::errno::Errno;
use super::host_files::filetype;
use super::memory::GuestMemory;
use super::{Host, Outcome};
use lithify_hostdir::{FileType, OpenFlags, SetTimes, Stat};

/// `filestat`.
pub(super) const FILESTAT_SIZE: usize = 64;

/// `oflags`.
mod oflags {
    pub(super) const CREAT: u32 = 1;
    pub(super) const DIRECTORY: u32 = 1 << 1;
    pub(super) const EXCL: u32 = 1 << 2;
    pub(super) const TRUNC: u32 = 1 << 3;
}

/// `fstflags`.
mod fstflags {
    pub(super) const ATIM: u32 = 1;
    pub(super) const ATIM_NOW: u32 = 1 << 1;
    pub(super) const MTIM: u32 = 1 << 2;
    pub(super) const MTIM_NOW: u32 = 1 << 3;
}

const FDFLAGS_APPEND: u32 = 1;
const RIGHTS_FD_READ: u64 = 1 << 1;
const RIGHTS_FD_WRITE: u64 = 1 << 6;

/// What `path_open` asks for.
pub(super) fn open_flags(oflags: u32, rights: u64, fdflags: u32) -> OpenFlags {
    OpenFlags {
        read: rights & RIGHTS_FD_READ != 0,
        write: rights & RIGHTS_FD_WRITE != 0,
        create: oflags & oflags::CREAT != 0,
        exclusive: oflags & oflags::EXCL != 0,
        truncate: oflags & oflags::TRUNC != 0,
        append: fdflags & FDFLAGS_APPEND != 0,
        directory: oflags & oflags::DIRECTORY != 0,
    }
}

fn times(accessed: u64, modified: u64, flags: u32) -> lithify_hostdir::Timestamps {
    let time = |value, given, now| match (flags & given != 0, flags & now != 0) {
        (_, true) => SetTimes::Now,
        (true, false) => SetTimes::At(value),
        (false, false) => SetTimes::Keep,
    };
    SetTimes::pair(
        time(accessed, fstflags::ATIM, fstflags::ATIM_NOW),
        time(modified, fstflags::MTIM, fstflags::MTIM_NOW),
    )
}

/// `filestat`: device at 0, inode at 8, type at 16, links at 24, size at 32, times of access,
/// modification and change at 40.
#[expect(clippy::unnecessary_cast, reason = "the types vary by host")]
pub(super) fn filestat(stat: &Stat) -> [u8; FILESTAT_SIZE] {
    let time = |seconds: i64, rest: u64| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(rest)
    };
    let mut bytes = [0; FILESTAT_SIZE];
    let fields = [
        stat.st_dev as u64,
        stat.st_ino as u64,
        u64::from(filetype(FileType::from_raw_mode(stat.st_mode))),
        stat.st_nlink as u64,
        stat.st_size as u64,
        time(stat.st_atime as i64, stat.st_atime_nsec as u64),
        time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
    ];
    for (to, field) in bytes.chunks_exact_mut(8).zip(fields) {
        to.copy_from_slice(&field.to_le_bytes());
    }
    bytes
}

impl Host {
    pub(super) fn fd_pread(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: u32,
        count: u32,
        offset: u64,
        read: u32,
    ) -> Outcome {
        let vector = memory.first_iovec(iovs, count)?;
        let to = memory.bytes_mut(vector.at, vector.len)?;
        let len = rustix::io::pread(self.files.file(fd)?, to, offset).map_err(Errno::from)?;
        Ok(memory.put_u32(read, len as u32)?)
    }

    pub(super) fn fd_pwrite(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: u32,
        count: u32,
        offset: u64,
        written: u32,
    ) -> Outcome {
        let vector = memory.first_iovec(iovs, count)?;
        let from = memory.bytes(vector.at, vector.len)?;
        let len =
            rustix::io::pwrite(self.files.writable(fd)?, from, offset).map_err(Errno::from)?;
        Ok(memory.put_u32(written, len as u32)?)
    }

    pub(super) fn fd_readdir(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        buffer: u32,
        len: u32,
        from: u64,
        used: u32,
    ) -> Outcome {
        let len = self.files.list(fd, memory.bytes_mut(buffer, len)?, from)?;
        Ok(memory.put_u32(used, len as u32)?)
    }

    pub(super) fn fd_sync(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Outcome {
        Ok(rustix::fs::fsync(self.files.file(fd)?).map_err(Errno::from)?)
    }

    pub(super) fn fd_datasync(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Outcome {
        Ok(rustix::fs::fdatasync(self.files.file(fd)?).map_err(Errno::from)?)
    }

    pub(super) fn fd_filestat_set_size(
        &mut self,
        _: &mut GuestMemory<'_>,
        fd: u32,
        size: u64,
    ) -> Outcome {
        Ok(rustix::fs::ftruncate(self.files.writable(fd)?, size).map_err(Errno::from)?)
    }

    pub(super) fn fd_filestat_set_times(
        &mut self,
        _: &mut GuestMemory<'_>,
        fd: u32,
        accessed: u64,
        modified: u64,
        flags: u32,
    ) -> Outcome {
        Ok(self.files.set_times(fd, &times(accessed, modified, flags))?)
    }

    pub(super) fn path_filestat_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        dir: u32,
        _lookup: u32,
        path: u32,
        len: u32,
        stat: u32,
    ) -> Outcome {
        let found = self.files.directory(dir)?.stat(memory.bytes(path, len)?)?;
        Ok(memory.put(stat, &filestat(&found))?)
    }

    #[expect(clippy::too_many_arguments, reason = "the call has seven, witx says so")]
    pub(super) fn path_filestat_set_times(
        &mut self,
        memory: &mut GuestMemory<'_>,
        dir: u32,
        _lookup: u32,
        path: u32,
        len: u32,
        accessed: u64,
        modified: u64,
        flags: u32,
    ) -> Outcome {
        let directory = self.files.changeable(dir)?;
        let times = times(accessed, modified, flags);
        Ok(directory.set_times(memory.bytes(path, len)?, &times)?)
    }

    pub(super) fn path_create_directory(
        &mut self,
        memory: &mut GuestMemory<'_>,
        dir: u32,
        path: u32,
        len: u32,
    ) -> Outcome {
        Ok(self.files.changeable(dir)?.create_directory(memory.bytes(path, len)?)?)
    }

    pub(super) fn path_remove_directory(
        &mut self,
        memory: &mut GuestMemory<'_>,
        dir: u32,
        path: u32,
        len: u32,
    ) -> Outcome {
        Ok(self.files.changeable(dir)?.remove_directory(memory.bytes(path, len)?)?)
    }

    pub(super) fn path_unlink_file(
        &mut self,
        memory: &mut GuestMemory<'_>,
        dir: u32,
        path: u32,
        len: u32,
    ) -> Outcome {
        Ok(self.files.changeable(dir)?.remove_file(memory.bytes(path, len)?)?)
    }

    #[expect(clippy::too_many_arguments, reason = "the call has six, witx says so")]
    pub(super) fn path_rename(
        &mut self,
        memory: &mut GuestMemory<'_>,
        dir: u32,
        path: u32,
        len: u32,
        new_dir: u32,
        new_path: u32,
        new_len: u32,
    ) -> Outcome {
        let (from, to) = (self.files.changeable(dir)?, self.files.changeable(new_dir)?);
        Ok(from.rename(memory.bytes(path, len)?, to, memory.bytes(new_path, new_len)?)?)
    }

    #[expect(clippy::too_many_arguments, reason = "the call has seven, witx says so")]
    pub(super) fn path_link(
        &mut self,
        memory: &mut GuestMemory<'_>,
        dir: u32,
        _lookup: u32,
        path: u32,
        len: u32,
        new_dir: u32,
        new_path: u32,
        new_len: u32,
    ) -> Outcome {
        let (from, to) = (self.files.changeable(dir)?, self.files.changeable(new_dir)?);
        Ok(from.link(memory.bytes(path, len)?, to, memory.bytes(new_path, new_len)?)?)
    }

    pub(super) fn path_symlink(
        &mut self,
        memory: &mut GuestMemory<'_>,
        target: u32,
        target_len: u32,
        dir: u32,
        path: u32,
        len: u32,
    ) -> Outcome {
        let target = memory.bytes(target, target_len)?;
        Ok(self.files.changeable(dir)?.symlink(target, memory.bytes(path, len)?)?)
    }

    #[expect(clippy::too_many_arguments, reason = "the call has six, witx says so")]
    pub(super) fn path_readlink(
        &mut self,
        memory: &mut GuestMemory<'_>,
        dir: u32,
        path: u32,
        len: u32,
        buffer: u32,
        buffer_len: u32,
        used: u32,
    ) -> Outcome {
        let target = self.files.directory(dir)?.read_link(memory.bytes(path, len)?)?;
        let target = target.get(..buffer_len as usize).unwrap_or(&target);
        memory.put(buffer, target)?;
        Ok(memory.put_u32(used, target.len() as u32)?)
    }
}
