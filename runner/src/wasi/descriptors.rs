//! The `fd_*` and `path_*` calls: which descriptor, which bytes.

use super::errno::Errno;
use super::file_calls::{FILESTAT_SIZE, filestat, open_flags};
use super::host_files;
use super::memory::GuestMemory;
use super::own_folder::{Entry, FIRST_FILE, FOLDER, OwnFolder};
use super::sockets::is_socket;
use super::{Host, Outcome};
use lithify_hostnet::{Kind, Uplink};
use rustix::fs::SeekFrom;

/// Descriptors 0 to 2 are the streams.
const STREAMS: u32 = 3;

/// `filetype`.
mod filetype {
    pub(super) const UNKNOWN: u8 = 0;
    pub(super) const CHARACTER_DEVICE: u8 = 2;
    pub(super) const DIRECTORY: u8 = 3;
    pub(super) const REGULAR_FILE: u8 = 4;
    pub(super) const SOCKET_DGRAM: u8 = 5;
    pub(super) const SOCKET_STREAM: u8 = 6;
}

/// `rights`, one bit each.
mod rights {
    pub(super) const FD_READ: u64 = 1 << 1;
    pub(super) const FD_SEEK: u64 = 1 << 2;
    pub(super) const FD_TELL: u64 = 1 << 5;
    pub(super) const FD_WRITE: u64 = 1 << 6;
    pub(super) const PATH_OPEN: u64 = 1 << 13;
    pub(super) const FD_FILESTAT_GET: u64 = 1 << 21;
    pub(super) const POLL_FD_READWRITE: u64 = 1 << 27;
    /// All that preview 1 has.
    pub(super) const ALL: u64 = (1 << 30) - 1;
}

const STREAM_RIGHTS: u64 = rights::FD_READ | rights::FD_WRITE | rights::POLL_FD_READWRITE;
const FILE_RIGHTS: u64 =
    rights::FD_READ | rights::FD_SEEK | rights::FD_TELL | rights::FD_FILESTAT_GET;

/// `fdstat`: type at 0, flags at 2, rights at 8, inheriting rights at 16.
const FDSTAT_SIZE: usize = 24;

/// Who knows what a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Stream,
    Folder,
    Socket,
    Host,
}

fn owner(fd: u32) -> Owner {
    match fd {
        ..STREAMS => Owner::Stream,
        FOLDER | FIRST_FILE.. => Owner::Folder,
        fd if is_socket(fd) => Owner::Socket,
        _ => Owner::Host,
    }
}

/// `whence`: 0 from the start, 1 from the position, 2 from the end.
fn seek_from(offset: i64, whence: u32) -> Result<SeekFrom, Errno> {
    match whence {
        0 => u64::try_from(offset).map(SeekFrom::Start).map_err(|_| Errno::Inval),
        1 => Ok(SeekFrom::Current(offset)),
        2 => Ok(SeekFrom::End(offset)),
        _ => Err(Errno::Inval),
    }
}

impl Host {
    pub(super) fn fd_read(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: u32,
        count: u32,
        read: u32,
    ) -> Outcome {
        if owner(fd) == Owner::Socket {
            let len = self.sockets.read(memory, fd, iovs, count)?;
            return Ok(memory.put_u32(read, len as u32)?);
        }
        let vector = memory.first_iovec(iovs, count)?;
        let to = memory.bytes_mut(vector.at, vector.len)?;
        let len = match owner(fd) {
            Owner::Stream => self.streams.read(fd, to)?,
            Owner::Folder => self.folder.read(fd, to)?,
            Owner::Host | Owner::Socket => rustix::io::read(self.files.file(fd)?, to)?,
        };
        Ok(memory.put_u32(read, len as u32)?)
    }

    pub(super) fn fd_write(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: u32,
        count: u32,
        written: u32,
    ) -> Outcome {
        if owner(fd) == Owner::Socket {
            let len = self.sockets.write(memory, fd, iovs, count)?;
            return Ok(memory.put_u32(written, len as u32)?);
        }
        let vector = memory.first_iovec(iovs, count)?;
        let from = memory.bytes(vector.at, vector.len)?;
        let len = match owner(fd) {
            Owner::Host => rustix::io::write(self.files.writable(fd)?, from)?,
            Owner::Folder => self.folder.write(fd, from)?,
            _ => self.streams.write(fd, from)?,
        };
        Ok(memory.put_u32(written, len as u32)?)
    }

    pub(super) fn fd_seek(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        offset: i64,
        whence: u32,
        position: u32,
    ) -> Outcome {
        let at = match owner(fd) {
            Owner::Stream | Owner::Socket => return Err(Errno::SPipe.into()),
            Owner::Folder => self.folder.seek(fd, offset, whence)?,
            Owner::Host => rustix::fs::seek(self.files.file(fd)?, seek_from(offset, whence)?)?,
        };
        Ok(memory.put_u64(position, at)?)
    }

    pub(super) fn fd_close(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Outcome {
        // The streams belong to the process, not to the guest.
        match owner(fd) {
            Owner::Stream => Ok(()),
            Owner::Folder => Ok(self.folder.close(fd)?),
            Owner::Socket => Ok(self.sockets.close(fd)?),
            Owner::Host => Ok(self.files.close(fd)?),
        }
    }

    pub(super) fn fd_fdstat_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        stat: u32,
    ) -> Outcome {
        let (filetype, rights, inheriting) = match self.filetype(fd)? {
            filetype::DIRECTORY if self.files.changeable(fd).is_ok() => {
                (filetype::DIRECTORY, rights::ALL, rights::ALL)
            }
            filetype::DIRECTORY => (filetype::DIRECTORY, rights::PATH_OPEN, FILE_RIGHTS),
            filetype::REGULAR_FILE => (filetype::REGULAR_FILE, FILE_RIGHTS, 0),
            stream => (stream, STREAM_RIGHTS, 0),
        };
        let mut bytes = [0; FDSTAT_SIZE];
        bytes[0] = filetype;
        bytes[8..16].copy_from_slice(&rights.to_le_bytes());
        bytes[16..24].copy_from_slice(&inheriting.to_le_bytes());
        Ok(memory.put(stat, &bytes)?)
    }

    pub(super) fn fd_filestat_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        stat: u32,
    ) -> Outcome {
        if owner(fd) == Owner::Host {
            return Ok(memory.put(stat, &filestat(&self.files.stat(fd)?))?);
        }
        let size = match self.folder.entry(fd) {
            Ok(Entry::File { size }) => size,
            Ok(Entry::Folder | Entry::Events) | Err(_) => 0,
        };
        // Device, inode and times are zero.
        let mut bytes = [0; FILESTAT_SIZE];
        bytes[16] = self.filetype(fd)?;
        bytes[24..32].copy_from_slice(&1_u64.to_le_bytes());
        bytes[32..40].copy_from_slice(&size.to_le_bytes());
        Ok(memory.put(stat, &bytes)?)
    }

    fn filetype(&self, fd: u32) -> Result<u8, Errno> {
        match owner(fd) {
            Owner::Stream => {}
            Owner::Folder => {
                return Ok(match self.folder.entry(fd)? {
                    Entry::Folder => filetype::DIRECTORY,
                    Entry::File { .. } => filetype::REGULAR_FILE,
                    Entry::Events => filetype::UNKNOWN,
                });
            }
            Owner::Socket => {
                return Ok(match self.sockets.kind(fd)? {
                    None => filetype::UNKNOWN,
                    Some(Kind::Datagrams) => filetype::SOCKET_DGRAM,
                    Some(Kind::Stream | Kind::Listener) => filetype::SOCKET_STREAM,
                });
            }
            // What has a name is a place where paths start, also if the one path is a file.
            Owner::Host if self.files.mount(fd).is_ok() => return Ok(filetype::DIRECTORY),
            Owner::Host => {
                let kind = rustix::fs::FileType::from_raw_mode(self.files.stat(fd)?.st_mode);
                return Ok(host_files::filetype(kind));
            }
        }
        let terminal = self.streams.get(fd)?.is_some_and(rustix::termios::isatty);
        Ok(if terminal { filetype::CHARACTER_DEVICE } else { filetype::UNKNOWN })
    }

    pub(super) fn fd_prestat_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        prestat: u32,
    ) -> Outcome {
        // Tag 0 is a folder; the name's length follows at 4, so one u64 holds both.
        let len = self.preopen_name(fd)?.len() as u64;
        Ok(memory.put_u64(prestat, len << 32)?)
    }

    pub(super) fn fd_prestat_dir_name(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Outcome {
        let name = self.preopen_name(fd)?;
        let name = name.get(..len as usize).unwrap_or(name);
        Ok(memory.put(path, name)?)
    }

    fn preopen_name(&self, fd: u32) -> Result<&[u8], Errno> {
        OwnFolder::name(fd).or_else(|_| self.files.mount(fd).map(|mount| &mount.target[..]))
    }

    #[expect(clippy::too_many_arguments, reason = "the call has nine, witx says so")]
    pub(super) fn path_open(
        &mut self,
        memory: &mut GuestMemory<'_>,
        dir: u32,
        _dirflags: u32,
        path: u32,
        len: u32,
        oflags: u32,
        rights: u64,
        _inheriting: u64,
        fdflags: u32,
        fd: u32,
    ) -> Outcome {
        if owner(dir) == Owner::Host {
            let flags = open_flags(oflags, rights, fdflags);
            let file = self.files.open(dir, memory.bytes(path, len)?, flags)?;
            return Ok(memory.put_u32(fd, file)?);
        }
        // CREAT, DIRECTORY, EXCL, TRUNC: all ask for what the read-only files are not.
        if oflags != 0 {
            return Err(Errno::Perm.into());
        }
        let path = memory.bytes(path, len)?.to_vec();
        let socket = str::from_utf8(&path).ok().and_then(|path| path.strip_prefix(Uplink::SOCKETS));
        let opened = match socket {
            Some(name) if dir == FOLDER => self.sockets.open(name)?,
            _ => self.folder.open(dir, &path)?,
        };
        Ok(memory.put_u32(fd, opened)?)
    }
}
