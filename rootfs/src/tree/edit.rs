//! Changing a tree.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::lookup::Trail;
use super::{Follow, NodeId, ROOT, Tree};
use crate::limits::{MAX_NAME_BYTES, MAX_PATH_BYTES};
use crate::node::check_len;
use crate::{Error, Metadata, Node};

impl Tree {
    /// Puts `node` at `path`. Symbolic links before the last name are followed, missing parents
    /// are made with mode 0755. What is there is replaced, except that a directory put over a
    /// directory keeps its entries and changes its metadata only.
    pub fn insert(&mut self, path: &Path, node: Node) -> Result<(), Error> {
        node.validate()?;
        if is_root(path) {
            return self.replace_root(node);
        }
        let (dir, name) = self.parent_for(path)?;
        if let Some(existing) = self.child(dir, &name)
            && node.kind.is_directory()
            && self.is_directory(existing)
        {
            self.slot_mut(existing).node = node;
            return Ok(());
        }
        let id = self.add_slot(node)?;
        self.slot_mut(dir).entries.insert(name, id);
        Ok(())
    }

    /// Gives the node at `existing` the further name `new`. A symbolic link at the end of
    /// `existing` is linked itself. What is at `new` is replaced.
    pub fn hard_link(&mut self, existing: &Path, new: &Path) -> Result<(), Error> {
        let id = self.existing(existing, Follow::No)?;
        if self.is_directory(id) {
            return Err(Error::LinkToDirectory(existing.to_owned()));
        }
        let (dir, name) = self.parent_for(new)?;
        self.slot_mut(dir).entries.insert(name, id);
        Ok(())
    }

    /// Makes the directory at `path` and those above it that are missing, all with `meta`.
    /// Symbolic links are followed. Returns the paths made, without symbolic links.
    pub fn make_dirs(&mut self, path: &Path, meta: &Metadata) -> Result<Vec<PathBuf>, Error> {
        let trail = self.trail(path, Follow::Yes)?;
        let mut made = trail.found_path();
        let names = trail.missing.iter();
        let paths = names.map(|name| {
            made.push(name);
            made.clone()
        });
        let paths = paths.collect();
        self.make_missing(trail, meta)?;
        Ok(paths)
    }

    /// Makes what `trail` misses and returns where it leads.
    fn make_missing(&mut self, trail: Trail, meta: &Metadata) -> Result<NodeId, Error> {
        let mut dir = trail.end();
        if !self.is_directory(dir) {
            return Err(Error::NotADirectory(trail.found_path()));
        }
        for name in trail.missing {
            let id = self.add_slot(Node::directory(meta.clone()))?;
            self.slot_mut(dir).entries.insert(name, id);
            dir = id;
        }
        Ok(dir)
    }

    /// Removes what is at `path`, with all that is below it, and says whether anything was there.
    /// A symbolic link at the end of `path` is removed itself.
    pub fn remove(&mut self, path: &Path) -> Result<bool, Error> {
        let (parent, name) = split(path)?;
        let dir = match self.trail(parent, Follow::Yes) {
            Ok(trail) => trail.node(),
            Err(Error::NotADirectory(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(dir.is_some_and(|dir| self.slot_mut(dir).entries.remove(name).is_some()))
    }

    /// Removes all entries of the directory at `path`, if there is one.
    pub(crate) fn clear(&mut self, path: &Path) -> Result<(), Error> {
        let dir = match self.trail(path, Follow::Yes) {
            Ok(trail) => trail.node(),
            Err(Error::NotADirectory(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(dir) = dir {
            self.slot_mut(dir).entries.clear();
        }
        Ok(())
    }

    fn replace_root(&mut self, node: Node) -> Result<(), Error> {
        if !node.kind.is_directory() {
            return Err(Error::NotADirectory(PathBuf::from("/")));
        }
        self.slot_mut(ROOT).node = node;
        Ok(())
    }

    /// The directory that `path` is in, made if it is missing, and the last name.
    fn parent_for(&mut self, path: &Path) -> Result<(NodeId, OsString), Error> {
        let (parent, name) = split(path)?;
        check_len("a path", path.as_os_str().as_bytes().len(), MAX_PATH_BYTES)?;
        check_len("a name", name.as_bytes().len(), MAX_NAME_BYTES)?;
        let trail = self.trail(parent, Follow::Yes)?;
        trail.check_depth(path, 1)?;
        Ok((self.make_missing(trail, &Metadata::dir())?, name.to_owned()))
    }
}

fn is_root(path: &Path) -> bool {
    path.components().all(|component| matches!(component, Component::RootDir | Component::CurDir))
}

fn split(path: &Path) -> Result<(&Path, &OsStr), Error> {
    let no_name = || Error::NoName(path.to_owned());
    let name = path.file_name().ok_or_else(no_name)?;
    Ok((path.parent().ok_or_else(no_name)?, name))
}
