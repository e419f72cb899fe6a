//! Calls on files and directories. Paths are relative to a directory that the host has opened, and
//! no symbolic link at their end is followed.

use wasip1::{
    Ciovec, Dirent, Errno, Fd, Fdflags, Filestat, Filetype, Fstflags, Iovec, Lookupflags, Oflags,
    Rights,
};

type Result<T> = std::result::Result<T, Errno>;

/// Symbolic links at the end of a path are not followed.
const NO_FOLLOW: Lookupflags = 0;

/// Bytes of an entry before its name in a listing.
pub(crate) const DIRENT_LEN: usize = size_of::<Dirent>();

pub(crate) const READ_RIGHTS: Rights = wasip1::RIGHTS_FD_READ | wasip1::RIGHTS_FD_SEEK;
pub(crate) const WRITE_RIGHTS: Rights = wasip1::RIGHTS_FD_WRITE
    | wasip1::RIGHTS_FD_SEEK
    | wasip1::RIGHTS_FD_SYNC
    | wasip1::RIGHTS_FD_DATASYNC
    | wasip1::RIGHTS_FD_FILESTAT_SET_SIZE
    | wasip1::RIGHTS_FD_FILESTAT_SET_TIMES;
pub(crate) const LIST_RIGHTS: Rights =
    wasip1::RIGHTS_FD_READDIR | wasip1::RIGHTS_FD_FILESTAT_GET | wasip1::RIGHTS_FD_SYNC;

/// Whether the host lets files be made in a directory that it has opened.
pub(crate) fn can_change(directory: Fd) -> bool {
    // SAFETY: the call takes no pointers.
    let stat = unsafe { wasip1::fd_fdstat_get(directory) };
    stat.is_ok_and(|stat| stat.fs_rights_base & wasip1::RIGHTS_PATH_CREATE_FILE != 0)
}

pub(crate) fn open(
    directory: Fd,
    path: &str,
    how: Oflags,
    rights: Rights,
    flags: Fdflags,
) -> Result<Fd> {
    // SAFETY: the path is a string that outlives the call, as below.
    unsafe { wasip1::path_open(directory, NO_FOLLOW, path, how, rights, 0, flags) }
}

pub(crate) fn close(file: Fd) {
    // A descriptor is gone whatever the answer is.
    // SAFETY: the call takes no pointers, as below where nothing else is said.
    let _ = unsafe { wasip1::fd_close(file) };
}

pub(crate) fn stat(file: Fd) -> Result<Filestat> {
    // SAFETY: as above.
    unsafe { wasip1::fd_filestat_get(file) }
}

pub(crate) fn path_stat(directory: Fd, path: &str) -> Result<Filestat> {
    // SAFETY: as in `open`.
    unsafe { wasip1::path_filestat_get(directory, NO_FOLLOW, path) }
}

/// Reads up to `into.len()` bytes; zero is the end.
pub(crate) fn read_at(file: Fd, into: &mut [u8], offset: u64) -> Result<usize> {
    let piece = Iovec { buf: into.as_mut_ptr(), buf_len: into.len() };
    // SAFETY: the piece describes `into`, which outlives the call.
    unsafe { wasip1::fd_pread(file, &[piece], offset) }
}

/// Writes some of `from`.
pub(crate) fn write_at(file: Fd, from: &[u8], offset: u64) -> Result<usize> {
    let piece = Ciovec { buf: from.as_ptr(), buf_len: from.len() };
    // SAFETY: the piece describes `from`, which outlives the call.
    unsafe { wasip1::fd_pwrite(file, &[piece], offset) }
}

pub(crate) fn set_size(file: Fd, size: u64) -> Result<()> {
    // SAFETY: as in `close`.
    unsafe { wasip1::fd_filestat_set_size(file, size) }
}

pub(crate) fn sync(file: Fd, data_only: bool) -> Result<()> {
    // SAFETY: as in `close`.
    unsafe { if data_only { wasip1::fd_datasync(file) } else { wasip1::fd_sync(file) } }
}

/// Fills `into` with entries from position `from` on, the last of them possibly cut; fewer bytes
/// are the end. Each is [`DIRENT_LEN`] bytes for [`dirent`] and its name.
pub(crate) fn read_directory(directory: Fd, into: &mut [u8], from: u64) -> Result<usize> {
    // SAFETY: the buffer has the length that the call is told.
    unsafe { wasip1::fd_readdir(directory, into.as_mut_ptr(), into.len(), from) }
}

/// `dirent` as the witx description lays it out: next, inode, length of the name, type.
pub(crate) fn dirent(bytes: &[u8; DIRENT_LEN]) -> Dirent {
    // SAFETY: the struct is plain integers, for which any bytes are valid, and has this length.
    let dirent = unsafe { bytes.as_ptr().cast::<Dirent>().read_unaligned() };
    const { assert!(DIRENT_LEN == 24 && size_of::<Filetype>() == 1) };
    dirent
}

/// Sets access and modification time, as `flags` say.
pub(crate) fn set_times(
    directory: Fd,
    path: &str,
    times: (u64, u64),
    flags: Fstflags,
) -> Result<()> {
    let (accessed, modified) = times;
    // SAFETY: as in `open`.
    unsafe {
        wasip1::path_filestat_set_times(directory, NO_FOLLOW, path, accessed, modified, flags)
    }
}

/// The same for an open file.
pub(crate) fn set_times_of(file: Fd, times: (u64, u64), flags: Fstflags) -> Result<()> {
    // SAFETY: as in `close`.
    unsafe { wasip1::fd_filestat_set_times(file, times.0, times.1, flags) }
}

pub(crate) fn create_directory(directory: Fd, path: &str) -> Result<()> {
    // SAFETY: as in `open`.
    unsafe { wasip1::path_create_directory(directory, path) }
}

pub(crate) fn remove_directory(directory: Fd, path: &str) -> Result<()> {
    // SAFETY: as in `open`.
    unsafe { wasip1::path_remove_directory(directory, path) }
}

pub(crate) fn remove_file(directory: Fd, path: &str) -> Result<()> {
    // SAFETY: as in `open`.
    unsafe { wasip1::path_unlink_file(directory, path) }
}

pub(crate) fn rename(directory: Fd, path: &str, to: &str) -> Result<()> {
    // SAFETY: as in `open`.
    unsafe { wasip1::path_rename(directory, path, directory, to) }
}

pub(crate) fn link(directory: Fd, path: &str, to: &str) -> Result<()> {
    // SAFETY: as in `open`.
    unsafe { wasip1::path_link(directory, NO_FOLLOW, path, directory, to) }
}

pub(crate) fn symlink(directory: Fd, target: &str, path: &str) -> Result<()> {
    // SAFETY: as in `open`.
    unsafe { wasip1::path_symlink(target, directory, path) }
}

/// Fills `into` with a link's target, cut if it is longer.
pub(crate) fn read_link(directory: Fd, path: &str, into: &mut [u8]) -> Result<usize> {
    // SAFETY: as in `open`, and the buffer has the length that the call is told.
    unsafe { wasip1::path_readlink(directory, path, into.as_mut_ptr(), into.len()) }
}
