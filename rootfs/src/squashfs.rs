//! A tree as a squashfs 4.0 image, for the guest to mount.
//!
//! All blocks are stored uncompressed: the guest's processor is emulated, so decompressing there
//! would cost several times what the whole start costs otherwise. What carries the image
//! compresses it.

mod backhand;

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::{Content, Error, Kind, Metadata, Node, Special, Tree};
use backhand::BackhandWriter;

/// What receives a tree, entry by entry: parents first, sorted, the root directory first of all.
/// The writer behind it may be replaced; a tree knows nothing of it.
pub trait RootfsWriter {
    /// A directory.
    fn dir(&mut self, path: &Path, meta: &Metadata) -> Result<(), Error>;
    /// A regular file.
    fn file(&mut self, path: &Path, meta: &Metadata, content: &Content) -> Result<(), Error>;
    /// A symbolic link.
    fn symlink(&mut self, path: &Path, meta: &Metadata, target: &Path) -> Result<(), Error>;
    /// A device, fifo or socket.
    fn node(&mut self, path: &Path, meta: &Metadata, special: Special) -> Result<(), Error>;
    /// A further name of the entry at `existing`, which came before. `node` is what both name, for
    /// writers that have to copy it; its metadata is as the earlier call gave it.
    fn hardlink(&mut self, path: &Path, existing: &Path, node: &Node) -> Result<(), Error>;
    /// An extended attribute of the entry that came last.
    fn xattr(&mut self, path: &Path, name: &[u8], value: &[u8]) -> Result<(), Error>;
    /// Completes the image and says what it could not represent.
    fn finish(self) -> Result<Vec<Warning>, Error>;
}

/// Something of a tree that the image does not show as it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A hard link became a file of its own with the same content.
    #[error("`{}` is a hard link to `{}`; it became a separate copy", path.display(), existing.display())]
    HardLinkCopied {
        /// The further name.
        path: PathBuf,
        /// The first name.
        existing: PathBuf,
    },
    /// An extended attribute was left out.
    #[error("`{}` loses the extended attribute `{name}`", path.display())]
    XattrDropped {
        /// The entry.
        path: PathBuf,
        /// The attribute's name, readable.
        name: String,
    },
}

/// How to write an image.
#[derive(Clone, Copy, Debug, Default)]
pub struct SquashfsOptions {
    /// Times later than this (seconds since the epoch) are set to it.
    pub mtime_limit: Option<u32>,
}

/// Writes `tree` to `out`, from its start, and cuts off what was there before. Equal trees give
/// equal bytes.
pub fn write_squashfs(
    tree: &Tree,
    out: &mut File,
    options: &SquashfsOptions,
) -> Result<Vec<Warning>, Error> {
    let mut writer = BackhandWriter::new(out);
    write_tree(tree, &mut writer, options)?;
    writer.finish()
}

/// Feeds `tree` to `writer`, all but the last step.
pub fn write_tree(
    tree: &Tree,
    writer: &mut impl RootfsWriter,
    options: &SquashfsOptions,
) -> Result<(), Error> {
    for entry in tree.walk() {
        let path = &entry.path;
        let node = &clamped(entry.node, options.mtime_limit);
        let meta = &node.meta;
        if let Some(existing) = &entry.link_of {
            writer.hardlink(path, existing, node)?;
            continue;
        }
        match &node.kind {
            Kind::Directory => writer.dir(path, meta)?,
            Kind::File(content) => writer.file(path, meta, content)?,
            Kind::Symlink(target) => writer.symlink(path, meta, target)?,
            Kind::Special(special) => writer.node(path, meta, *special)?,
        }
        for (name, value) in &meta.xattrs {
            writer.xattr(path, name, value)?;
        }
    }
    Ok(())
}

fn clamped(node: &Node, limit: Option<u32>) -> Node {
    let mut node = node.clone();
    node.meta.mtime = node.meta.mtime.min(limit.unwrap_or(u32::MAX));
    node
}
