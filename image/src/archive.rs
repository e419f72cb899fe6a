//! Image archives: a tar of an OCI layout, or what `docker save` writes. Newer versions of the
//! latter are both; the OCI half wins, as its digests cover everything.
//!
//! Members are read in place. Only a compressed archive is first expanded into a temporary file.

use std::collections::BTreeMap;
use std::path::Path;

use crate::blob::check_digest;
use crate::compression::Compression;
use crate::image::{check_layers, check_platform};
use crate::layout::{Files, INDEX, Layout, MARKER};
use crate::limits::MAX_JSON_BYTES;
use crate::manifest::{DockerImage, parse};
use crate::tarball::{TarEntries, TarEntry, TarKind};
use crate::{
    Blob, Digest, Error, Image, ImageChoice, ImageConfig, Layer, Reference, Selection, Store,
};

const DOCKER_MANIFEST: &str = "manifest.json";

/// Links that lead from one member to another: docker wrote equal layers as links, never as
/// chains of links.
const MAX_LINK_HOPS: usize = 8;

/// Opens the image that `selection` asks for in the archive at `path`. A compressed archive is
/// expanded into a temporary file of `store`, which vanishes with the image.
pub fn open_archive(path: &Path, selection: &Selection, store: &Store) -> Result<Image, Error> {
    let members = members(&store.expand(&Blob::open(path)?)?).map_err(|error| match error {
        // The very first header: this was never a tar.
        Error::Tar { offset: 0, reason, .. } => Error::NotAnImage { path: path.to_owned(), reason },
        error => error,
    })?;
    let has = |name: &str| members.contains_key(name.as_bytes());
    if has(MARKER) && has(INDEX) {
        return Layout { path: path.to_owned(), files: Files::Archive(members) }.open(selection);
    }
    if has(DOCKER_MANIFEST) {
        return DockerArchive { path, members }.open(selection);
    }
    let reason = format!("there is neither `{INDEX}` nor `{DOCKER_MANIFEST}` in it");
    Err(Error::NotAnImage { path: path.to_owned(), reason })
}

/// The archive's files by name, links followed.
fn members(tar: &Blob) -> Result<BTreeMap<Vec<u8>, Blob>, Error> {
    let mut files = BTreeMap::new();
    let mut links = BTreeMap::new();
    for entry in TarEntries::new(tar.clone(), tar.name().to_owned()) {
        let entry = entry?;
        let name = normal(&entry.path);
        match &entry.kind {
            TarKind::File(_) => drop(files.insert(name, member(tar, &entry)?)),
            TarKind::Symlink(target) => drop(links.insert(name.clone(), beside(&name, target))),
            TarKind::HardLink(target) => drop(links.insert(name, normal(target))),
            _ => {}
        }
    }
    for (name, target) in &links {
        if let Some(file) = follow(target, &files, &links) {
            files.insert(name.clone(), file);
        }
    }
    Ok(files)
}

fn member(tar: &Blob, entry: &TarEntry) -> Result<Blob, Error> {
    let whole = match &entry.kind {
        TarKind::File(data) => match data.extents[..] {
            [] if data.len == 0 => tar.slice(0, 0),
            [extent] if extent.len == data.len => tar.slice(extent.blob_offset, extent.len),
            _ => None,
        },
        _ => None,
    };
    whole.ok_or_else(|| Error::Tar {
        what: tar.name().to_owned(),
        offset: entry.offset,
        reason: "a sparse file in an image archive".to_owned(),
    })
}

fn follow(
    target: &[u8],
    files: &BTreeMap<Vec<u8>, Blob>,
    links: &BTreeMap<Vec<u8>, Vec<u8>>,
) -> Option<Blob> {
    let mut target = target;
    for _ in 0..MAX_LINK_HOPS {
        match files.get(target) {
            Some(file) => return Some(file.clone()),
            None => target = links.get(target)?,
        }
    }
    None
}

/// The path without `.`, empty and `..` components; the latter never lead above the root.
fn normal(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// `target`, relative to the directory of `name`.
fn beside(name: &[u8], target: &[u8]) -> Vec<u8> {
    let dir = name.iter().rposition(|byte| *byte == b'/').map_or(&[][..], |slash| &name[..slash]);
    normal(&[dir, b"/", target].concat())
}

struct DockerArchive<'a> {
    path: &'a Path,
    members: BTreeMap<Vec<u8>, Blob>,
}

impl DockerArchive<'_> {
    fn open(&self, selection: &Selection) -> Result<Image, Error> {
        let manifest = self.read_json(DOCKER_MANIFEST)?;
        let what = format!("{}: {DOCKER_MANIFEST}", self.path.display());
        let images: Vec<DockerImage> = parse(&manifest, &what)?;
        let image = self.choose(&images, selection)?;
        let (config, config_digest) = self.config(&image.config)?;
        let what = self.path.display().to_string();
        check_platform(&what, selection, &config.platform())?;
        check_layers(&what, image.layers.len(), config.rootfs.diff_ids.len())?;
        let layers = image.layers.iter().zip(&config.rootfs.diff_ids);
        let layers =
            layers.map(|(name, diff_id)| self.layer(name, *diff_id)).collect::<Result<_, _>>()?;
        Ok(Image { config, config_digest, manifest_digest: None, layers })
    }

    fn choose<'i>(
        &self,
        images: &'i [DockerImage],
        selection: &Selection,
    ) -> Result<&'i DockerImage, Error> {
        let tags = |image: &DockerImage| image.repo_tags.clone().unwrap_or_default();
        let path = self.path.to_owned();
        let available = images.iter().flat_map(tags).collect();
        match (&selection.image, images) {
            (Some(choice), images) => {
                let found = images.iter().find(|image| is_named(image, choice));
                let wanted = choice.to_string();
                found.ok_or(Error::NoSuchImage { path, wanted, available })
            }
            (None, [image]) => Ok(image),
            (None, _) => Err(Error::AmbiguousImage { path, available }),
        }
    }

    fn config(&self, name: &str) -> Result<(ImageConfig, Digest), Error> {
        let json = self.read_json(name)?;
        let what = format!("{}: {name}", self.path.display());
        let digest = Digest::of(&json);
        if let Some(expected) = digest_in_name(name) {
            check_digest(&what, &expected, digest)?;
        }
        Ok((ImageConfig::from_json(&json, &what)?, digest))
    }

    /// Legacy archives say nothing about a layer's stored form: an uncompressed one is what the
    /// config calls its `diff_id`, otherwise the digest is computed here.
    fn layer(&self, name: &str, diff_id: Digest) -> Result<Layer, Error> {
        let blob = self.member(name)?;
        Ok(match Compression::detect(&blob)? {
            Compression::None => Layer::uncompressed(diff_id, blob),
            Compression::Gzip => Layer::compressed("gzip", blob.digest()?, diff_id, blob),
            Compression::Zstd => Layer::compressed("zstd", blob.digest()?, diff_id, blob),
        })
    }

    fn read_json(&self, name: &str) -> Result<Vec<u8>, Error> {
        let what = format!("{}: {name}", self.path.display());
        self.member(name)?.read_all(MAX_JSON_BYTES, &what)
    }

    fn member(&self, name: &str) -> Result<Blob, Error> {
        self.members.get(&normal(name.as_bytes())).cloned().ok_or_else(|| Error::NotAnImage {
            path: self.path.to_owned(),
            reason: format!("`{name}` is missing from it"),
        })
    }
}

fn is_named(image: &DockerImage, choice: &ImageChoice) -> bool {
    match choice {
        ImageChoice::Digest(digest) => digest_in_name(&image.config) == Some(*digest),
        ImageChoice::Tag(wanted) => {
            let reference: Option<Reference> = wanted.parse().ok();
            image.repo_tags.iter().flatten().any(|tag| {
                let short = tag.rsplit_once(':').is_some_and(|(_, tag)| tag == wanted);
                short || (reference.is_some() && tag.parse().ok() == reference)
            })
        }
    }
}

/// Configs are called `<hex>.json` or `blobs/sha256/<hex>`.
fn digest_in_name(name: &str) -> Option<Digest> {
    let file = name.rsplit('/').next()?;
    format!("sha256:{}", file.strip_suffix(".json").unwrap_or(file)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_names_are_normalised_within_the_archive() {
        for (name, expected) in
            [("./a/b", "a/b"), ("/a//b/", "a/b"), ("../../a", "a"), ("a/../b", "b")]
        {
            assert_eq!(normal(name.as_bytes()), expected.as_bytes());
        }
        assert_eq!(beside(b"x/layer.tar", b"../y/layer.tar"), b"y/layer.tar");
        assert_eq!(beside(b"top", b"y"), b"y");
    }

    #[test]
    fn link_cycles_end() {
        let links =
            BTreeMap::from([(b"a".to_vec(), b"b".to_vec()), (b"b".to_vec(), b"a".to_vec())]);
        assert!(follow(b"a", &BTreeMap::new(), &links).is_none());
    }
}
