//! A merged tree as one tar.

use std::io::Write;

use lithify_rootfs::{LayerBuilder, Tree};

/// Writes all files of `tree` as a tar, sorted by path, hard links last. Equal trees give equal bytes.
///
/// # Errors
/// What writing or reading a file's content fails with.
pub fn write_tar(tree: &Tree, out: impl Write) -> Result<(), lithify_rootfs::Error> {
    let mut all = LayerBuilder::new(None);
    for entry in tree.walk().skip(1) {
        match &entry.link_of {
            Some(first) => all.hard_link(first, &entry.path)?,
            None => all.put(&entry.path, entry.node.clone())?,
        }
    }
    all.write(out)
}
