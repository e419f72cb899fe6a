//! The executor's tar, which is hostile, as the changes of one instruction.
//!
//! Nothing of the tar but its meaning reaches the layer: order, header format and times later
//! than the build's are the layer builder's.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lithify_image::{Blob, TarData, TarEntries, TarEntry, TarKind};
use lithify_rootfs::{Content, Kind, LayerBuilder, Metadata, Node, Special};

use crate::error::Error;
use crate::exec::ExecError;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Reads the changes; those at and below `hidden`, a relative path, are left out.
pub(super) fn read(tar: &Blob, hidden: &Path, epoch: u32) -> Result<LayerBuilder, Error> {
    let mut layer = LayerBuilder::new(Some(epoch));
    for entry in TarEntries::new(tar.clone(), tar.name().to_owned()) {
        let entry = entry?;
        let path = Path::new(OsStr::from_bytes(&entry.path));
        if !path.starts_with(hidden) {
            add(&mut layer, tar, path, &entry)?;
        }
    }
    Ok(layer)
}

fn add(layer: &mut LayerBuilder, tar: &Blob, path: &Path, entry: &TarEntry) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().unwrap_or_default().as_bytes();
    match (name.strip_prefix(WHITEOUT), &entry.kind) {
        (Some(_), _) if name == OPAQUE => layer.opaque(dir)?,
        (Some(b"" | b"." | b".."), _) => return Err(damaged(path, "it hides no name")),
        (Some(hidden), _) => layer.whiteout(&dir.join(OsStr::from_bytes(hidden)))?,
        (None, TarKind::HardLink(target)) => {
            layer.hard_link(Path::new(OsStr::from_bytes(target)), path)?;
        }
        (None, kind) => layer.put(path, node(tar, path, entry, kind)?)?,
    }
    Ok(())
}

fn node(tar: &Blob, path: &Path, entry: &TarEntry, kind: &TarKind) -> Result<Node, Error> {
    let kind = match kind {
        TarKind::File(data) => Kind::File(content(tar, path, data)?),
        TarKind::Symlink(target) => Kind::Symlink(OsStr::from_bytes(target).into()),
        TarKind::Directory => Kind::Directory,
        TarKind::Fifo => Kind::Special(Special::Fifo),
        TarKind::CharDevice { major, minor } => {
            Kind::Special(Special::CharDevice { major: *major, minor: *minor })
        }
        TarKind::BlockDevice { major, minor } => {
            Kind::Special(Special::BlockDevice { major: *major, minor: *minor })
        }
        TarKind::HardLink(_) => return Err(damaged(path, "it is a link")),
    };
    let meta = Metadata {
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime: u32::try_from(entry.mtime.max(0)).unwrap_or(u32::MAX),
        xattrs: entry.xattrs.iter().cloned().collect(),
    };
    Ok(Node { meta, kind })
}

fn content(tar: &Blob, path: &Path, data: &TarData) -> Result<Content, Error> {
    match data.extents[..] {
        [] if data.len == 0 => Ok(Content::inline(Vec::new())),
        [extent] if extent.len == data.len => tar
            .slice(extent.blob_offset, extent.len)
            .map(Content::blob)
            .ok_or_else(|| damaged(path, "its bytes are missing")),
        _ => Err(damaged(path, "it is sparse")),
    }
}

fn damaged(path: &Path, problem: &'static str) -> Error {
    ExecError::BadChange { path: path.to_owned(), problem }.into()
}
