//! What a file is: `Tgetattr`, `Tsetattr`, `Tstatfs`.

use super::{Known, Server};
use crate::errno::{Errno, Result};
use crate::fid::Opened;
use crate::message::{GETATTR_BASIC, mode_bits, valid};
use crate::node::{Node, OpenFile};
use crate::ownership::PERMISSIONS;
use crate::tree::{Kind, OpenFlags, SetTime};
use crate::wire::{Reader, Writer};
use std::rc::Rc;

/// What programs are told to read and write at once. Each request costs the guest's kernel some
/// ten thousand instructions.
const BLOCK_LEN: u64 = 64 << 10;
/// Unit of `st_blocks`.
const SECTOR_LEN: u64 = 512;

const NANOSECONDS: u64 = 1_000_000_000;

/// `Tsetattr` after its fid.
struct Wish {
    valid: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    accessed: u64,
    modified: u64,
}

impl Wish {
    fn read(from: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            valid: from.u32()?,
            mode: from.u32()?,
            uid: from.u32()?,
            gid: from.u32()?,
            size: from.u64()?,
            accessed: time(from)?,
            modified: time(from)?,
        })
    }

    fn has(&self, bits: u32) -> bool {
        self.valid & bits != 0
    }

    fn time(&self, bit: u32, given: u32, value: u64) -> SetTime {
        match (self.has(bit), self.has(given)) {
            (false, _) => SetTime::Keep,
            (true, false) => SetTime::Now,
            (true, true) => SetTime::At(value),
        }
    }
}

/// Times before 1970 and after 2554 become the first and last that there are.
fn time(from: &mut Reader<'_>) -> Result<u64> {
    let (seconds, rest) = (from.u64()?.cast_signed(), from.u64()?);
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Ok(seconds.saturating_mul(NANOSECONDS).saturating_add(rest.min(NANOSECONDS - 1)))
}

impl Server {
    /// What the file of a fid is: an open one's by its handle, whatever its name now means.
    fn known(&mut self, number: u32) -> Result<Known> {
        let fid = self.fids.get(number)?;
        let (node, opened) = (Rc::clone(&fid.node), fid.opened.and_then(Opened::file));
        match opened {
            Some(file) => self.tree(file.export)?.stat_handle(file.handle).map(Known::new),
            None => self.look_at(&node),
        }
    }

    pub(super) fn get_attributes(
        &mut self,
        from: &mut Reader<'_>,
        to: &mut Writer<'_>,
    ) -> Result<()> {
        let Known { stat, qid } = self.known(from.u32()?)?;
        let own = self.ownership.of(stat.kind, qid.path);
        to.u64(GETATTR_BASIC).qid(qid).u32(mode_bits(stat.kind) | own.mode).u32(own.uid);
        to.u32(own.gid).u64(stat.links).u64(0).u64(stat.size).u64(BLOCK_LEN);
        to.u64(stat.size.div_ceil(SECTOR_LEN));
        for time in [stat.accessed, stat.modified, stat.changed, 0] {
            to.u64(time / NANOSECONDS).u64(time % NANOSECONDS);
        }
        // Generation and data version: not known.
        to.u64(0).u64(0);
        Ok(())
    }

    pub(super) fn set_attributes(&mut self, from: &mut Reader<'_>) -> Result<()> {
        let number = from.u32()?;
        let wish = Wish::read(from)?;
        let node = Rc::clone(&self.fids.get(number)?.node);
        if self.is_read_only(&node)? {
            return Err(Errno::ROFS);
        }
        if wish.has(valid::SIZE) {
            self.set_size(number, wish.size)?;
        }
        if wish.has(valid::MODE | valid::UID | valid::GID) {
            self.change_owner(number, &wish)?;
        }
        if wish.has(valid::ATIME | valid::MTIME) {
            let accessed = wish.time(valid::ATIME, valid::ATIME_SET, wish.accessed);
            let modified = wish.time(valid::MTIME, valid::MTIME_SET, wish.modified);
            self.set_times(&node, accessed, modified)?;
        }
        Ok(())
    }

    /// Of a file without a name, which `ftruncate` for example changes, by a handle.
    fn set_times(&mut self, node: &Rc<Node>, accessed: SetTime, modified: SetTime) -> Result<()> {
        match (self.writable(node), node.any_open(true)) {
            (Err(Errno::NOENT), Some(OpenFile { export, handle, .. })) => {
                self.tree(export)?.set_times_handle(handle, accessed, modified)
            }
            (place, _) => {
                let (export, path) = place?;
                self.tree(export)?.set_times(&path, accessed, modified)
            }
        }
    }

    fn set_size(&mut self, number: u32, size: u64) -> Result<()> {
        let fid = self.fids.get(number)?;
        let node = Rc::clone(&fid.node);
        if fid.kind != Kind::File {
            return Err(Errno::ISDIR);
        }
        let own = fid.opened.and_then(Opened::file).filter(|file| file.writable);
        if let Some(file) = own.or_else(|| node.any_open(true)) {
            return self.tree(file.export)?.set_size(file.handle, size);
        }
        let (export, path) = self.writable(&node)?;
        let tree = self.tree(export)?;
        let file = tree.open(&path, OpenFlags { write: true, ..OpenFlags::default() })?;
        let result = tree.set_size(file, size);
        tree.close(file);
        result
    }

    fn change_owner(&mut self, number: u32, wish: &Wish) -> Result<()> {
        let Known { stat, qid } = self.known(number)?;
        let mut own = self.ownership.of(stat.kind, qid.path);
        if wish.has(valid::MODE) {
            own.mode = wish.mode & PERMISSIONS;
        }
        if wish.has(valid::UID) {
            own.uid = wish.uid;
        }
        if wish.has(valid::GID) {
            own.gid = wish.gid;
        }
        self.ownership.set(stat.kind, qid.path, own);
        Ok(())
    }

    /// WASI cannot ask its host how much room there is: plenty, as far as anybody knows.
    pub(super) fn file_system(&mut self, from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<()> {
        const V9FS_MAGIC: u32 = 0x0102_1997;
        const UNIT: u32 = 4096;
        const UNITS: u64 = (1 << 40) / UNIT as u64;
        const FILES: u64 = 1 << 30;
        const MAX_NAME_LEN: u32 = 255;
        self.fids.get(from.u32()?)?;
        to.u32(V9FS_MAGIC).u32(UNIT).u64(UNITS).u64(UNITS).u64(UNITS);
        to.u64(FILES).u64(FILES).u64(0).u32(MAX_NAME_LEN);
        Ok(())
    }
}
