//! Layers made by a build: a set of changes becomes a tar with the same bytes each time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use lithify_image::{Layer, Store};

use crate::tar_writer::TarWriter;
use crate::{Error, Metadata, Node};

/// The changes that one instruction makes, to be written as one OCI layer.
///
/// Paths are taken as they are: symbolic links in them must have been resolved, for example with
/// [`crate::Tree::resolve`]. A leading `/` is optional.
#[derive(Clone, Debug, Default)]
pub struct LayerBuilder {
    changes: BTreeMap<PathBuf, Change>,
    opaque: BTreeSet<PathBuf>,
    mtime_limit: Option<u32>,
}

#[derive(Clone, Debug)]
enum Change {
    Put(Node),
    HardLink(PathBuf),
    Whiteout,
}

impl LayerBuilder {
    /// No changes. Times later than `mtime_limit` (seconds since the epoch) are set to it, as
    /// `SOURCE_DATE_EPOCH` demands.
    pub fn new(mtime_limit: Option<u32>) -> Self {
        Self { mtime_limit, ..Self::default() }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.opaque.is_empty()
    }

    /// Adds or replaces what is at `path`. A directory keeps the entries that lower layers gave it.
    pub fn put(&mut self, path: &Path, node: Node) -> Result<(), Error> {
        node.validate()?;
        self.change(path, Change::Put(node))
    }

    /// Gives the file at `existing`, in this layer or a lower one, the further name `new`.
    pub fn hard_link(&mut self, existing: &Path, new: &Path) -> Result<(), Error> {
        let existing = relative(existing)?;
        self.change(new, Change::HardLink(existing))
    }

    /// Hides what lower layers have at `path`.
    pub fn whiteout(&mut self, path: &Path) -> Result<(), Error> {
        self.change(path, Change::Whiteout)
    }

    /// Hides all that lower layers have in the directory `dir`.
    pub fn opaque(&mut self, dir: &Path) -> Result<(), Error> {
        self.opaque.insert(relative(dir)?);
        Ok(())
    }

    fn change(&mut self, path: &Path, change: Change) -> Result<(), Error> {
        let relative = relative(path)?;
        let names_root = relative.as_os_str().is_empty();
        if names_root && !matches!(&change, Change::Put(node) if node.kind.is_directory()) {
            return Err(Error::NoName(path.to_owned()));
        }
        self.changes.insert(relative, change);
        Ok(())
    }

    /// Writes the layer's uncompressed tar: sorted by path, hard links last so that their targets
    /// precede them.
    pub fn write(&self, out: impl Write) -> Result<(), Error> {
        let mut tar = TarWriter::new(out);
        for dir in &self.opaque {
            tar.marker(&dir.join(".wh..wh..opq"))?;
        }
        for (path, change) in &self.changes {
            match change {
                Change::Put(node) => tar.node(path, &self.clamped(&node.meta), &node.kind)?,
                Change::Whiteout => tar.marker(&whiteout_of(path))?,
                Change::HardLink(_) => {}
            }
        }
        for (path, change) in &self.changes {
            if let Change::HardLink(existing) = change {
                tar.hard_link(path, existing)?;
            }
        }
        tar.finish()
    }

    /// Writes the layer's uncompressed tar into `store`.
    pub fn store(&self, store: &Store) -> Result<Layer, Error> {
        let mut writer = store.writer()?;
        self.write(&mut writer)?;
        let (diff_id, _) = writer.commit(None)?;
        Ok(store.layer(&diff_id)?)
    }

    fn clamped(&self, meta: &Metadata) -> Metadata {
        let mtime = meta.mtime.min(self.mtime_limit.unwrap_or(u32::MAX));
        Metadata { mtime, ..meta.clone() }
    }
}

fn whiteout_of(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".wh.");
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

fn relative(path: &Path) -> Result<PathBuf, Error> {
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => relative.push(name),
            Component::ParentDir => return Err(Error::DotDot(path.to_owned())),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(relative)
}

#[cfg(test)]
mod tests;
