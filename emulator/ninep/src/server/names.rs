//! Making, moving and removing names.

use super::{Known, Server};
use crate::errno::{Errno, Result};
use crate::message::{AT_REMOVEDIR, Qid};
use crate::tree::Kind;
use crate::wire::{Reader, Writer};
use std::rc::Rc;

impl Server {
    pub(super) fn create_directory(
        &mut self,
        from: &mut Reader<'_>,
        to: &mut Writer<'_>,
    ) -> Result<()> {
        let (number, name, mode, gid) = (from.u32()?, from.name()?, from.u32()?, from.u32()?);
        let (export, path) = self.writable_entry(number, name)?;
        self.tree(export)?.create_directory(&path)?;
        to.qid(self.own_new(number, (export, &path), mode, gid)?);
        Ok(())
    }

    pub(super) fn symlink(&mut self, from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<()> {
        const MODE: u32 = 0o777;
        let (number, name, target, gid) = (from.u32()?, from.name()?, from.str()?, from.u32()?);
        let (export, path) = self.writable_entry(number, name)?;
        self.tree(export)?.symlink(target, &path)?;
        to.qid(self.own_new(number, (export, &path), MODE, gid)?);
        Ok(())
    }

    /// Remembers whose a name is that was just made in the directory of a fid.
    fn own_new(&mut self, directory: u32, at: (usize, &str), mode: u32, gid: u32) -> Result<Qid> {
        let known = self.file_at(at.0, at.1)?;
        let user = self.fids.get(directory)?.user;
        self.own(known.stat.kind, known.qid, mode, user, gid);
        Ok(known.qid)
    }

    pub(super) fn read_link(&mut self, from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<()> {
        let node = Rc::clone(&self.fids.get(from.u32()?)?.node);
        let (export, path) = self.readable(&node)?;
        to.str(&self.tree(export)?.read_link(&path)?);
        Ok(())
    }

    pub(super) fn link(&mut self, from: &mut Reader<'_>) -> Result<()> {
        let (directory, file, name) = (from.u32()?, from.u32()?, from.name()?);
        let node = Rc::clone(&self.fids.get(file)?.node);
        let (export, path) = self.readable(&node)?;
        let (to_export, to_path) = self.writable_entry(directory, name)?;
        if export != to_export {
            return Err(Errno::XDEV);
        }
        self.tree(export)?.link(&path, &to_path)
    }

    pub(super) fn rename(&mut self, from: &mut Reader<'_>) -> Result<()> {
        let (directory, name) = (from.u32()?, from.name()?);
        let (to_directory, to_name) = (from.u32()?, from.name()?);
        let (export, path) = self.writable_entry(directory, name)?;
        let (to_export, to_path) = self.writable_entry(to_directory, to_name)?;
        if export != to_export {
            return Err(Errno::XDEV);
        }
        if path == to_path {
            return self.file_at(export, &path).map(drop);
        }
        // A directory does not move into itself. The host says so as well, but if others move
        // directories at the same time, what it moves is not what the nodes say.
        if to_path.strip_prefix(&path).is_some_and(|rest| rest.starts_with('/')) {
            return Err(Errno::INVAL);
        }
        let moved = self.file_at(export, &path)?;
        let replaced = self.file_at(export, &to_path).ok();
        self.tree(export)?.rename(&path, &to_path)?;
        let replaced = replaced.filter(|replaced| replaced.qid.path != moved.qid.path);
        // Renaming one name of a file over another changes nothing.
        if self.file_at(export, &path).is_ok_and(|still| still.qid == moved.qid) {
            return Ok(());
        }
        if let Some(replaced) = replaced.filter(Known::is_last_name) {
            self.ownership.forget(replaced.qid.path);
        }
        let from_node = Rc::clone(&self.fids.get(directory)?.node);
        let to_node = Rc::clone(&self.fids.get(to_directory)?.node);
        from_node.rename(name, &to_node, to_name);
        Ok(())
    }

    pub(super) fn unlink(&mut self, from: &mut Reader<'_>) -> Result<()> {
        let (directory, name, flags) = (from.u32()?, from.name()?, from.u32()?);
        let (export, path) = self.writable_entry(directory, name)?;
        let known = self.file_at(export, &path)?;
        let tree = self.tree(export)?;
        match (known.stat.kind, flags & AT_REMOVEDIR != 0) {
            (Kind::Directory, false) => return Err(Errno::ISDIR),
            (Kind::Directory, true) => tree.remove_directory(&path)?,
            (_, true) => return Err(Errno::NOTDIR),
            (_, false) => tree.remove_file(&path)?,
        }
        if known.is_last_name() {
            self.ownership.forget(known.qid.path);
        }
        let node = Rc::clone(&self.fids.get(directory)?.node);
        node.remove(name);
        Ok(())
    }
}
