//! ADD of files from elsewhere.

use std::path::PathBuf;

use lithify_image::Digest;
use lithify_rootfs::{Content, Metadata, Node};

use super::{Applier, ExecError};
use crate::error::Error;
use crate::machine::MachineError;
use crate::source_tree::Found;

/// What BuildKit gives fetched files.
const MODE: u16 = 0o600;

/// A file that was fetched.
#[derive(Debug)]
pub(super) struct RemoteFile {
    /// The last name of its address.
    pub(super) name: String,
    pub(super) digest: Digest,
    content: Content,
}

impl RemoteFile {
    /// The file as something to copy.
    pub(super) fn found(&self) -> Found {
        let node = Node::file(Metadata::root_owned(MODE), self.content.clone());
        Found { relative: PathBuf::new(), node, link_of: None }
    }

    pub(super) fn content(&self) -> &Content {
        &self.content
    }
}

impl Applier<'_> {
    /// Fetches a file. One that must have a certain digest, and is in the store, is not asked for.
    pub(super) fn remote_file(
        &self,
        url: &str,
        digest: Option<Digest>,
    ) -> Result<RemoteFile, Error> {
        let name = name_in(url).ok_or_else(|| ExecError::RemoteName { url: url.to_owned() })?;
        if let Some(digest) = digest
            && let Some(blob) = self.store.find(&digest)?
        {
            return Ok(RemoteFile { name, digest, content: Content::blob(blob) });
        }
        let Some(remote) = &self.options.remote else {
            return Err(ExecError::Remote { source_text: url.to_owned() }.into());
        };
        let mut writer = self.store.writer()?;
        let fetched = remote.fetch(url, &mut writer, &self.cancel);
        if self.cancel.is_canceled() {
            return Err(MachineError::Canceled.into());
        }
        fetched.map_err(|error| {
            let (url, message) = (url.to_owned(), error.to_string());
            ExecError::Fetch { url, message }
        })?;
        let (actual, _) = writer.commit(None)?;
        if let Some(expected) = digest.filter(|expected| *expected != actual) {
            return Err(ExecError::Checksum { url: url.to_owned(), expected, actual }.into());
        }
        let content = Content::blob(self.store.get(&actual)?);
        Ok(RemoteFile { name, digest: actual, content })
    }
}

/// The last name of an address's path.
fn name_in(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let path = rest.split(['?', '#']).next()?.split_once('/')?.1;
    let name = path.rsplit('/').next()?;
    (!matches!(name, "" | "." | "..")).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_last_of_the_path() {
        for (url, name) in [
            ("https://example.org/a/b.tar?x=/y#z", Some("b.tar")),
            ("http://example.org/a", Some("a")),
            ("http://example.org", None),
            ("http://example.org/", None),
            ("http://example.org/a/..", None),
            ("http://example.org/?a", None),
        ] {
            assert_eq!(name_in(url).as_deref(), name, "{url}");
        }
    }
}
