//! Opening, and what open files are for.

use super::{Known, Server, qid_path};
use crate::errno::{Errno, Result};
use crate::fid::{Fid, Opened};
use crate::message::{QID_LEN, Qid, READ_HEADER_LEN, create_flags, entry_type, open_flags};
use crate::node::{Location, Node, OpenFile};
use crate::tree::{Entry, Kind, OpenFlags};
use crate::wire::{Reader, Writer};
use std::rc::Rc;

/// `iounit` of `Rlopen`: as much as fits a message.
const ANY_LEN: u32 = 0;

impl Server {
    pub(super) fn open(&mut self, from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<()> {
        let (number, flags) = (from.u32()?, open_flags(from.u32()?));
        let fid = self.fids.get(number)?;
        let (node, kind) = (Rc::clone(&fid.node), fid.kind);
        if fid.opened.is_some() {
            return Err(Errno::INVAL);
        }
        if (flags.write || flags.truncate) && self.is_read_only(&node)? {
            return Err(Errno::ROFS);
        }
        let (qid, opened) = match kind {
            Kind::Directory if flags.write || flags.truncate => return Err(Errno::ISDIR),
            Kind::Directory => self.open_directory(&node)?,
            Kind::File => self.open_file(&node, flags)?,
            Kind::Symlink => return Err(Errno::LOOP),
            // Nothing is opened that would wait for somebody or do something.
            Kind::Other => return Err(Errno::NXIO),
        };
        self.keep_open(number, opened)?;
        to.qid(qid).u32(ANY_LEN);
        Ok(())
    }

    fn open_directory(&mut self, node: &Rc<Node>) -> Result<(Qid, Opened)> {
        let Location::In { export, path } = node.locate()? else {
            return Ok((Known::top(self.exports.len()).qid, Opened::Top));
        };
        let tree = self.tree(export)?;
        let handle = tree.open_directory(&path)?;
        let stat = tree.stat_handle(handle).inspect_err(|_| tree.close(handle))?;
        let file = OpenFile { export, handle, writable: false };
        Ok((Known::new(stat).qid, Opened::Directory { file, device: stat.device }))
    }

    fn open_file(&mut self, node: &Rc<Node>, flags: OpenFlags) -> Result<(Qid, Opened)> {
        let Location::In { export, path } = node.locate()? else { return Err(Errno::ISDIR) };
        self.open_path(export, &path, flags)
    }

    fn open_path(&mut self, export: usize, path: &str, flags: OpenFlags) -> Result<(Qid, Opened)> {
        let tree = self.tree(export)?;
        let handle = tree.open(path, flags)?;
        let stat = tree.stat_handle(handle).inspect_err(|_| tree.close(handle))?;
        let file = OpenFile { export, handle, writable: flags.write };
        Ok((Known::new(stat).qid, Opened::File { file, append: flags.append }))
    }

    fn keep_open(&mut self, number: u32, opened: Opened) -> Result<()> {
        let fid = self.fids.get_mut(number)?;
        fid.opened = Some(opened);
        if let Some(file) = opened.file() {
            fid.node.opened(file);
        }
        Ok(())
    }

    /// The directory's fid becomes that of the new file.
    pub(super) fn create(&mut self, from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<()> {
        let (number, name, flags) = (from.u32()?, from.name()?, create_flags(from.u32()?));
        let (mode, gid) = (from.u32()?, from.u32()?);
        if self.fids.get(number)?.opened.is_some() {
            return Err(Errno::INVAL);
        }
        let (export, path) = self.writable_entry(number, name)?;
        let exists = self.tree(export)?.stat(&path).is_ok();
        let (qid, opened) = self.open_path(export, &path, flags)?;
        let directory = self.fids.get(number)?;
        let (user, node) = (directory.user, directory.node.child(name));
        self.fids.insert(number, Fid { node, kind: Kind::File, user, opened: None });
        self.keep_open(number, opened)?;
        if !exists {
            self.own(Kind::File, qid, mode, user, gid);
        }
        to.qid(qid).u32(ANY_LEN);
        Ok(())
    }

    /// The open regular file of a fid, and whether writes go to its end.
    fn open_file_of(&self, number: u32) -> Result<(OpenFile, bool)> {
        match self.fids.get(number)?.opened {
            Some(Opened::File { file, append }) => Ok((file, append)),
            Some(_) => Err(Errno::ISDIR),
            None => Err(Errno::BADF),
        }
    }

    /// Bytes of data that an answer to a read has room for.
    fn room(&self, wanted: u32) -> usize {
        (wanted as usize).min(self.max_len as usize - READ_HEADER_LEN)
    }

    pub(super) fn read(&mut self, from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<()> {
        let (number, offset, count) = (from.u32()?, from.u64()?, from.u32()?);
        let (file, _) = self.open_file_of(number)?;
        let room = self.room(count);
        to.u32(0).0.resize(READ_HEADER_LEN + room, 0);
        let len =
            self.tree(file.export)?.read(file.handle, offset, &mut to.0[READ_HEADER_LEN..])?;
        finish_data(to, len.min(room));
        Ok(())
    }

    pub(super) fn write(&mut self, from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<()> {
        let (number, offset, count) = (from.u32()?, from.u64()?, from.u32()?);
        let bytes = from.bytes(count as usize)?;
        let (file, append) = self.open_file_of(number)?;
        if !file.writable {
            return Err(Errno::BADF);
        }
        let tree = self.tree(file.export)?;
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let result = match append {
                true => tree.append(file.handle, rest),
                false => tree.write(file.handle, offset.saturating_add(done as u64), rest),
            };
            match result {
                Ok(0) => break,
                Ok(len) => done += len.min(rest.len()),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        to.u32(done as u32);
        Ok(())
    }

    pub(super) fn read_directory(
        &mut self,
        from: &mut Reader<'_>,
        to: &mut Writer<'_>,
    ) -> Result<()> {
        let (number, offset, count) = (from.u32()?, from.u64()?, from.u32()?);
        let opened = self.fids.get(number)?.opened;
        let room = self.room(count);
        to.u32(0);
        match opened {
            Some(Opened::Top) => self.read_top(offset, room, to),
            Some(Opened::Directory { file, device }) => {
                let mut failed_to_fit = false;
                let tree = self.tree(file.export)?;
                tree.read_directory(file.handle, offset, &mut |entry| {
                    let fits = put_entry(to, room, device, entry);
                    failed_to_fit |= !fits;
                    fits
                })?;
                if failed_to_fit && to.0.len() == READ_HEADER_LEN {
                    return Err(Errno::INVAL);
                }
            }
            Some(Opened::File { .. }) => return Err(Errno::NOTDIR),
            None => return Err(Errno::BADF),
        }
        finish_data(to, to.0.len() - READ_HEADER_LEN);
        Ok(())
    }

    fn read_top(&mut self, offset: u64, room: usize, to: &mut Writer<'_>) {
        let names = [".", ".."].map(|name| (name.to_owned(), Kind::Directory)).into_iter();
        let exports = self.exports.iter_mut().enumerate().map(|(number, export)| {
            let kind = export.tree.stat("").map_or(Kind::Other, |stat| stat.kind);
            (number.to_string(), kind)
        });
        let entries = (0..).zip(names.chain(exports)).skip_while(|(at, _)| *at < offset);
        for (position, (name, kind)) in entries {
            let entry = Entry { name: &name, kind, inode: position, next: position + 1 };
            if !put_entry(to, room, 0, &entry) {
                break;
            }
        }
    }

    pub(super) fn sync(&mut self, from: &mut Reader<'_>) -> Result<()> {
        let (number, data_only) = (from.u32()?, from.u32()?);
        match self.fids.get(number)?.opened {
            Some(Opened::Top) => Ok(()),
            Some(Opened::File { file, .. }) => {
                self.tree(file.export)?.sync(file.handle, data_only != 0)
            }
            // wasmtime has no sync of directories and says that they are no files.
            Some(Opened::Directory { file, .. }) => {
                match self.tree(file.export)?.sync(file.handle, data_only != 0) {
                    Err(Errno::BADF) => Ok(()),
                    other => other,
                }
            }
            None => Err(Errno::BADF),
        }
    }

    /// Granted: the guest's kernel keeps its processes' locks apart, and nobody else asks here.
    pub(super) fn lock(&mut self, from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<()> {
        const SUCCESS: u8 = 0;
        self.fids.get(from.u32()?)?;
        to.u8(SUCCESS);
        Ok(())
    }

    /// Nobody holds the lock.
    pub(super) fn get_lock(&mut self, from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<()> {
        const UNLOCKED: u8 = 2;
        self.fids.get(from.u32()?)?;
        let (_kind, start, len) = (from.u8()?, from.u64()?, from.u64()?);
        let (process, client) = (from.u32()?, from.str()?);
        to.u8(UNLOCKED).u64(start).u64(len).u32(process).str(client);
        Ok(())
    }
}

/// Sets the length in front of the data.
fn finish_data(to: &mut Writer<'_>, len: usize) {
    to.0.truncate(READ_HEADER_LEN + len);
    to.0[READ_HEADER_LEN - 4..READ_HEADER_LEN].copy_from_slice(&(len as u32).to_le_bytes());
}

/// Appends a directory entry unless it would pass `room`.
fn put_entry(to: &mut Writer<'_>, room: usize, device: u64, entry: &Entry<'_>) -> bool {
    /// Qid, offset, type, length of the name.
    const FIXED_LEN: usize = QID_LEN + 8 + 1 + 2;
    if to.0.len() + FIXED_LEN + entry.name.len() > READ_HEADER_LEN + room {
        return false;
    }
    to.qid(Qid::new(entry.kind, qid_path(device, entry.inode)));
    to.u64(entry.next).u8(entry_type(entry.kind)).str(entry.name);
    true
}
