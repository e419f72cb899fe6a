//! The folder `/.lithify` that only our runner offers: requests that WASI has no words for, and what
//! the vm has to say in return.

use super::errno::Errno;
use crate::Events;
use lithify_control::{Overrides, Statistics};
use lithify_hostnet::Uplink;
use std::os::fd::BorrowedFd;

/// WASI looks for preopened folders from descriptor 3 on.
pub(super) const FOLDER: u32 = 3;
/// Out of the way: the descriptors behind the folder's are those of other opened directories.
pub(super) const FIRST_FILE: u32 = 1 << 30;
/// The vm opens each file once; a loop that only opens must not grow the table.
const MAX_OPEN: usize = 16;

/// What a descriptor from 3 on means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Folder,
    File {
        size: u64,
    },
    /// Frames as they come.
    Events,
}

/// What is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// With the position of the next read.
    Text(Text, usize),
    Events,
    Statistics,
}

/// A file whose contents are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Request,
    Uplink,
}

/// A folder with read-only files: the request, the network and the events if there are any. Sockets
/// are somebody else's.
pub(crate) struct OwnFolder {
    request: Vec<u8>,
    uplink: Option<Vec<u8>>,
    events: Option<Events>,
    statistics: Option<Statistics>,
    /// The open files by descriptor, from [`FIRST_FILE`] on.
    open: Vec<Option<Open>>,
}

impl OwnFolder {
    pub(crate) fn new(request: Vec<u8>, uplink: Option<Vec<u8>>, events: Option<Events>) -> Self {
        Self { request, uplink, events, statistics: None, open: Vec::new() }
    }

    fn text(&self, text: Text) -> &[u8] {
        match text {
            Text::Request => &self.request,
            Text::Uplink => self.uplink.as_deref().unwrap_or_default(),
        }
    }

    pub(super) fn entry(&self, fd: u32) -> Result<Entry, Errno> {
        if fd == FOLDER {
            return Ok(Entry::Folder);
        }
        let slot = slot(fd).and_then(|slot| self.open.get(slot)).copied().flatten();
        match slot.ok_or(Errno::BadF)? {
            Open::Text(text, _) => Ok(Entry::File { size: self.text(text).len() as u64 }),
            Open::Events => Ok(Entry::Events),
            Open::Statistics => Ok(Entry::File { size: 0 }),
        }
    }

    /// The host's descriptor behind an open file that can be waited for.
    pub(super) fn pollable(&self, fd: u32) -> Result<BorrowedFd<'_>, Errno> {
        let events = (self.entry(fd)? == Entry::Events).then_some(self.events.as_ref()).flatten();
        events.map(Events::frames).ok_or(Errno::BadF)
    }

    /// The folder's name if `fd` is the folder.
    pub(super) fn name(fd: u32) -> Result<&'static [u8], Errno> {
        (fd == FOLDER).then_some(Overrides::DIRECTORY.as_bytes()).ok_or(Errno::BadF)
    }

    pub(super) fn open(&mut self, folder: u32, path: &[u8]) -> Result<u32, Errno> {
        if self.entry(folder)? != Entry::Folder {
            return Err(Errno::NotDir);
        }
        let file = match str::from_utf8(path) {
            Ok(Overrides::FILE) => Open::Text(Text::Request, 0),
            Ok(Uplink::FILE) if self.uplink.is_some() => Open::Text(Text::Uplink, 0),
            Ok(Statistics::FILE) => Open::Statistics,
            Ok(Overrides::EVENTS) if self.events.is_some() => Open::Events,
            _ => return Err(Errno::NoEnt),
        };
        let free = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
        match self.open.get_mut(free) {
            Some(slot) => *slot = Some(file),
            None if free < MAX_OPEN => self.open.push(Some(file)),
            None => return Err(Errno::MFile),
        }
        Ok(FIRST_FILE + free as u32)
    }

    pub(super) fn close(&mut self, fd: u32) -> Result<(), Errno> {
        let slot = slot(fd).and_then(|slot| self.open.get_mut(slot)).ok_or(Errno::BadF)?;
        slot.take().map(drop).ok_or(Errno::BadF)
    }

    pub(super) fn read(&mut self, fd: u32, to: &mut [u8]) -> Result<usize, Errno> {
        if let Ok(events) = self.pollable(fd) {
            return Ok(rustix::io::read(events, to)?);
        }
        let (text, at) = self.position(fd)?;
        let (text, at) = (*text, *at);
        let rest = self.text(text).get(at..).unwrap_or_default();
        let len = rest.len().min(to.len());
        to[..len].copy_from_slice(&rest[..len]);
        *self.position(fd)?.1 = at + len;
        Ok(len)
    }

    /// Takes the statistics, whole.
    pub(super) fn write(&mut self, fd: u32, from: &[u8]) -> Result<usize, Errno> {
        match slot(fd).and_then(|slot| self.open.get(slot)).copied().flatten() {
            Some(Open::Statistics) => {
                self.statistics = Some(Statistics::decode(from).map_err(|_| Errno::Inval)?);
                Ok(from.len())
            }
            _ => Err(Errno::BadF),
        }
    }

    /// What the vm has written.
    pub(crate) fn statistics(&self) -> Option<Statistics> {
        self.statistics
    }

    /// `whence`: 0 from the start, 1 from the position, 2 from the end.
    pub(super) fn seek(&mut self, fd: u32, offset: i64, whence: u32) -> Result<u64, Errno> {
        let text = *self.position(fd)?.0;
        let size = self.text(text).len();
        let (_, position) = self.position(fd)?;
        let base = match whence {
            0 => 0,
            1 => *position,
            2 => size,
            _ => return Err(Errno::Inval),
        };
        let target = i64::try_from(base).ok().and_then(|base| base.checked_add(offset));
        let target = target.and_then(|target| usize::try_from(target).ok()).ok_or(Errno::Inval)?;
        *position = target;
        Ok(target as u64)
    }

    fn position(&mut self, fd: u32) -> Result<(&mut Text, &mut usize), Errno> {
        match slot(fd).and_then(|slot| self.open.get_mut(slot)) {
            Some(Some(Open::Text(text, position))) => Ok((text, position)),
            Some(Some(Open::Events | Open::Statistics)) => Err(Errno::SPipe),
            Some(None) | None => Err(Errno::BadF),
        }
    }
}

fn slot(fd: u32) -> Option<usize> {
    fd.checked_sub(FIRST_FILE).map(|slot| slot as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_read_in_pieces_to_its_end() {
        let mut folder = OwnFolder::new(b"hello".to_vec(), None, None);
        assert_eq!(OwnFolder::name(3), Ok(&b"/.lithify"[..]));
        let fd = folder.open(3, b"request").unwrap();
        assert_eq!(folder.entry(fd), Ok(Entry::File { size: 5 }));
        let mut piece = [0; 3];
        assert_eq!((folder.read(fd, &mut piece), &piece), (Ok(3), b"hel"));
        assert_eq!((folder.read(fd, &mut piece), &piece[..2]), (Ok(2), &b"lo"[..]));
        assert_eq!(folder.read(fd, &mut piece), Ok(0));
        assert_eq!(folder.seek(fd, -1, 2), Ok(4));
        assert_eq!(folder.read(fd, &mut piece), Ok(1));
        assert_eq!(folder.seek(fd, 100, 0), Ok(100));
        assert_eq!(folder.read(fd, &mut piece), Ok(0));
        assert_eq!(folder.seek(fd, -101, 1), Err(Errno::Inval));
        folder.close(fd).unwrap();
        assert_eq!(folder.read(fd, &mut piece), Err(Errno::BadF));
    }

    #[test]
    fn nothing_else_can_be_opened() {
        let mut folder = OwnFolder::new(Vec::new(), None, None);
        for path in [&b"../request"[..], b"other", b"", b"/request", b"events", b"network", b"\xff"]
        {
            assert_eq!(folder.open(3, path), Err(Errno::NoEnt));
        }
        let fd = folder.open(3, b"request").unwrap();
        assert_eq!(folder.open(fd, b"request"), Err(Errno::NotDir));
        assert_eq!(folder.open(9, b"request"), Err(Errno::BadF));
        assert_eq!(folder.entry(0), Err(Errno::BadF));
    }

    #[test]
    fn descriptors_are_reused_and_limited() {
        let mut folder = OwnFolder::new(Vec::new(), None, None);
        let fds: Vec<u32> = (0..MAX_OPEN).map(|_| folder.open(3, b"request").unwrap()).collect();
        assert_eq!(folder.open(3, b"request"), Err(Errno::MFile));
        folder.close(fds[2]).unwrap();
        assert_eq!(folder.open(3, b"request"), Ok(fds[2]));
    }
}
