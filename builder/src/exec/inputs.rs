//! What COPY and ADD put, as a digest: names, kinds, permissions, owners, extended attributes, link
//! targets and content. Not times: a fresh checkout is no change.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lithify_image::{DeviceNumber, Digest, Hasher};
use lithify_rootfs::{Content, Kind, Special};

use super::Applier;
use super::copier::is_excluded;
use super::transfer::Item;
use crate::cache::Key;
use crate::error::Error;
use crate::ignore::Matcher;
use crate::source_tree::{Found, SourceTree};

impl Applier<'_> {
    /// The digest of all that `items` put, without what the patterns `exclude` leave out.
    pub(super) fn content_digest(
        &self,
        source: SourceTree<'_>,
        items: &[Item],
        exclude: &[String],
    ) -> Result<Digest, Error> {
        let exclude = Matcher::from_patterns(exclude)?;
        let mut key = Key::new("content").number(items.len() as u64);
        for item in items {
            let name = item.named.file_name().unwrap_or_default();
            key = key.bytes(name.as_bytes()).bytes(item.kept.as_os_str().as_bytes());
            for found in &item.found {
                if !is_excluded(&exclude, &found.relative, &item.real) {
                    key = self.add_found(key, source, &item.real, found)?;
                }
            }
            key = key.text("end");
        }
        Ok(key.finish())
    }

    fn add_found(
        &self,
        key: Key,
        source: SourceTree<'_>,
        start: &Path,
        found: &Found,
    ) -> Result<Key, Error> {
        let meta = &found.node.meta;
        let key = key
            .bytes(found.relative.as_os_str().as_bytes())
            .number(meta.mode.into())
            .number(meta.uid.into())
            .number(meta.gid.into())
            .list(meta.xattrs.iter().flat_map(|(name, value)| [name, value]))
            .optional(found.link_of.as_ref().map(|path| path.as_os_str().as_bytes()));
        Ok(match &found.node.kind {
            Kind::Directory => key.text("directory"),
            Kind::Symlink(target) => key.text("link").bytes(target.as_os_str().as_bytes()),
            Kind::Special(special) => add_special(key.text("special"), *special),
            Kind::File(content) => {
                let path = match found.relative.as_os_str().is_empty() {
                    true => start.to_owned(),
                    false => start.join(&found.relative),
                };
                key.text("file").digest(&self.file_digest(source, &path, content)?)
            }
        })
    }

    fn file_digest(
        &self,
        source: SourceTree<'_>,
        path: &Path,
        content: &Content,
    ) -> Result<Digest, Error> {
        let compute = || -> Result<Digest, Error> {
            let mut hasher = Hasher::new();
            let read = std::io::copy(&mut content.reader(), &mut hasher);
            read.map_err(|source| crate::ContextError::Io { path: path.to_owned(), source })?;
            Ok(hasher.finish())
        };
        match source {
            SourceTree::Local(context) => match context.metadata(path)? {
                Some(metadata) => self.digests.get(&context.host(path), &metadata, compute),
                None => compute(),
            },
            _ => compute(),
        }
    }
}

fn add_special(key: Key, special: Special) -> Key {
    match special {
        Special::CharDevice(device) => add_device(key.text("c"), device),
        Special::BlockDevice(device) => add_device(key.text("b"), device),
        Special::Fifo => key.text("p"),
        Special::Socket => key.text("s"),
    }
}

fn add_device(key: Key, device: DeviceNumber) -> Key {
    key.number(device.major.into()).number(device.minor.into())
}
