//! The executor's tar, which is hostile, as the changes of one instruction.
//!
//! Nothing of the tar but its meaning reaches the layer: order, header format and times later
//! than the build's are the layer builder's.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lithify_image::{Blob, TarEntries, TarEntry};
use lithify_rootfs::{Addition, LayerBuilder};

use crate::error::Error;
use crate::exec::ExecError;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Reads the changes; none of them is later than `epoch`.
pub(super) fn read(tar: &Blob, epoch: Option<u32>) -> Result<LayerBuilder, Error> {
    let mut layer = LayerBuilder::new(epoch);
    for entry in TarEntries::new(tar.clone(), tar.name().to_owned()) {
        let entry = entry?;
        let path = Path::new(OsStr::from_bytes(&entry.path));
        add(&mut layer, tar, path, &entry)?;
    }
    Ok(layer)
}

fn add(layer: &mut LayerBuilder, tar: &Blob, path: &Path, entry: &TarEntry) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().unwrap_or_default().as_bytes();
    match name.strip_prefix(WHITEOUT) {
        Some(_) if name == OPAQUE => layer.opaque(dir)?,
        Some(b"" | b"." | b"..") => return Err(damaged(path, "it hides no name")),
        Some(hidden) => layer.whiteout(&dir.join(OsStr::from_bytes(hidden)))?,
        None => match Addition::from_tar(tar, entry) {
            Addition::Node(node) => layer.put(path, node)?,
            Addition::HardLink(target) => layer.hard_link(&target, path)?,
        },
    }
    Ok(())
}

fn damaged(path: &Path, problem: &'static str) -> Error {
    ExecError::BadChange { path: path.to_owned(), problem }.into()
}
