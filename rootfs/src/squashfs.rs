//! A tree as a squashfs 4.0 image, for the guest to mount.
//!
//! All blocks are stored uncompressed: the guest's processor is emulated, so decompressing there
//! would cost several times what the whole start costs otherwise. What carries the image
//! compresses it.
//!
//! There is one writer and two places for what it writes: a file, which holds equal files once and
//! no blocks of zeros, and [`SquashfsView`], which reads the files' data from where it is.

mod data;
mod file_sink;
mod format;
mod ids;
mod inodes;
mod listing;
mod metadata;
mod nodes;
mod view;
mod writer;
mod xattrs;

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::{Content, Error, Kind, Metadata, Special, Tree};
use file_sink::FileSink;
pub use view::SquashfsView;
use writer::{Finished, SquashfsWriter};

/// What receives a tree, entry by entry: parents first, sorted, the root directory first of all.
/// Extended attributes come with the metadata.
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
    /// A further name of the entry at `existing`, which came before and is no directory.
    fn hardlink(&mut self, path: &Path, existing: &Path) -> Result<(), Error>;
}

/// Something of a tree that the image does not show as it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// An extended attribute was left out. Squashfs has the name spaces `user`, `trusted` and
    /// `security`; what is missing are mainly access control lists, which it does not enforce.
    #[error("`{}` loses the extended attribute `{name}`, which squashfs cannot hold", path.display())]
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
    let mut writer = SquashfsWriter::new(FileSink::new(out))?;
    write_tree(tree, &mut writer, options)?;
    let Finished { data, metadata, warnings } = writer.finish()?;
    data.complete(&metadata)?;
    Ok(warnings)
}

/// Feeds `tree` to `writer`.
pub fn write_tree(
    tree: &Tree,
    writer: &mut impl RootfsWriter,
    options: &SquashfsOptions,
) -> Result<(), Error> {
    for entry in tree.walk() {
        let path = &entry.path;
        if let Some(existing) = &entry.link_of {
            writer.hardlink(path, existing)?;
            continue;
        }
        let meta = &clamped(&entry.node.meta, options.mtime_limit);
        match &entry.node.kind {
            Kind::Directory => writer.dir(path, meta)?,
            Kind::File(content) => writer.file(path, meta, content)?,
            Kind::Symlink(target) => writer.symlink(path, meta, target)?,
            Kind::Special(special) => writer.node(path, meta, *special)?,
        }
    }
    Ok(())
}

fn clamped(meta: &Metadata, limit: Option<u32>) -> Metadata {
    Metadata { mtime: meta.mtime.min(limit.unwrap_or(u32::MAX)), ..meta.clone() }
}

/// `value` as one of the format's 32-bit numbers, or an error that names what is too large.
fn fits_u32(what: &str, value: u64, unit: &'static str) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| {
        let (what, limit) = (what.to_owned(), u32::MAX as usize);
        Error::TooLarge { what, limit, unit }
    })
}
