//! OCI image layouts (image-spec `image-layout.md`), as a directory or as the members of a tar.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::blob::{check_digest, check_size};
use crate::image::{check_layers, check_platform};
use crate::limits::{MAX_INDEX_DEPTH, MAX_INDEX_ENTRIES, MAX_JSON_BYTES};
use crate::manifest::{Descriptor, Index, LayoutMarker, Manifest, OCI_MANIFEST, parse};
use crate::{
    Blob, Digest, Error, Image, ImageChoice, ImageConfig, Layer, Platform, Reference, Selection,
    Store,
};

/// The file that marks a layout.
pub(crate) const MARKER: &str = "oci-layout";
/// The file that lists a layout's images.
pub(crate) const INDEX: &str = "index.json";

/// Opens the image that `selection` asks for in the layout directory `dir`.
pub fn open_oci_layout(dir: &Path, selection: &Selection) -> Result<Image, Error> {
    Layout { path: dir.to_owned(), files: Files::Directory(dir.to_owned()) }.open(selection)
}

const BLOBS: &str = "blobs/sha256/";

/// Where a blob is in a layout.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}{}", digest.hex())
}

impl Store {
    /// Opens the image that `selection` asks for in this store; the tag is a whole reference.
    pub fn image(&self, selection: &Selection) -> Result<Image, Error> {
        Layout { path: self.root().to_owned(), files: Files::Store(self.clone()) }.open(selection)
    }
}

/// A layout to read from.
pub(crate) struct Layout {
    pub(crate) path: PathBuf,
    pub(crate) files: Files,
}

/// What holds a layout's files.
pub(crate) enum Files {
    Directory(PathBuf),
    Store(Store),
    Archive(BTreeMap<Vec<u8>, Blob>),
}

impl Files {
    fn open(&self, name: &str) -> Result<Option<Blob>, Error> {
        match self {
            Self::Directory(dir) => open_file(&dir.join(name)),
            Self::Store(store) => match name.strip_prefix(BLOBS) {
                Some(hex) => store.find(&format!("sha256:{hex}").parse()?),
                None => open_file(&store.root().join(name)),
            },
            Self::Archive(members) => Ok(members.get(name.as_bytes()).cloned()),
        }
    }
}

fn open_file(path: &Path) -> Result<Option<Blob>, Error> {
    match Blob::open(path) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        blob => blob.map(Some),
    }
}

/// A manifest and what it is for.
struct Candidate {
    manifest: Descriptor,
    platform: Platform,
}

impl Layout {
    /// Opens the image that `selection` asks for.
    pub(crate) fn open(&self, selection: &Selection) -> Result<Image, Error> {
        self.check_marker()?;
        let index: Index = self.file(INDEX)?;
        let roots = match &selection.image {
            None => index.manifests,
            Some(ImageChoice::Tag(tag)) => self.named(index.manifests, tag)?,
            Some(ImageChoice::Digest(digest)) => vec![self.by_digest(&index.manifests, digest)?],
        };
        let manifest = self.choose(&roots, selection)?;
        self.image(&manifest, selection)
    }

    fn check_marker(&self) -> Result<(), Error> {
        let marker: LayoutMarker = self.file(MARKER)?;
        if marker.image_layout_version.starts_with("1.") {
            return Ok(());
        }
        let version = marker.image_layout_version;
        let reason = format!("{MARKER} has version `{version}`, expected 1.x");
        Err(Error::NotAnImage { path: self.path.clone(), reason })
    }

    fn file<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let Some(blob) = self.files.open(name)? else {
            let reason = format!("there is no `{name}`");
            return Err(Error::NotAnImage { path: self.path.clone(), reason });
        };
        let what = format!("{}: {name}", self.path.display());
        parse(&blob.read_all(MAX_JSON_BYTES, &what)?, &what)
    }

    /// The entries of `index.json` that carry `name`, as a tag or as a full reference.
    fn named(&self, entries: Vec<Descriptor>, name: &str) -> Result<Vec<Descriptor>, Error> {
        let reference: Option<Reference> = name.parse().ok();
        let is_meant = |candidate: &str| {
            candidate == name || (reference.is_some() && candidate.parse().ok() == reference)
        };
        let available = names(&entries);
        let found: Vec<Descriptor> =
            entries.into_iter().filter(|entry| entry.names().any(is_meant)).collect();
        if found.is_empty() {
            let (path, wanted) = (self.path.clone(), name.to_owned());
            return Err(Error::NoSuchImage { path, wanted, available });
        }
        Ok(found)
    }

    /// The entry with `digest`, or else the blob itself: nested manifests and such that only a
    /// digest names are not listed in `index.json`.
    fn by_digest(&self, entries: &[Descriptor], digest: &Digest) -> Result<Descriptor, Error> {
        if let Some(entry) = entries.iter().find(|entry| entry.digest == *digest) {
            return Ok(entry.clone());
        }
        let Some(blob) = self.files.open(&blob_path(digest))? else {
            return Err(Error::NoSuchImage {
                path: self.path.clone(),
                wanted: digest.to_string(),
                available: entries.iter().map(|entry| entry.digest.to_string()).collect(),
            });
        };
        let what = self.what("manifest", digest);
        let json = blob.read_all(MAX_JSON_BYTES, &what)?;
        let head: MediaTypeOnly = parse(&json, &what)?;
        let media_type = head.media_type.unwrap_or_else(|| OCI_MANIFEST.to_owned());
        Ok(Descriptor { digest: *digest, ..Descriptor::new(&media_type, &json) })
    }

    /// The manifest to use: the first that fits in each root, which must then agree.
    fn choose(&self, roots: &[Descriptor], selection: &Selection) -> Result<Descriptor, Error> {
        let mut fitting: Vec<Descriptor> = Vec::new();
        let mut available = Vec::new();
        let mut visited = 0;
        for root in roots {
            let mut candidates = Vec::new();
            self.collect(root, None, 0, &mut visited, &mut candidates)?;
            let fits = |candidate: &&Candidate| selection.platform.accepts(&candidate.platform);
            if let Some(found) = candidates.iter().find(fits) {
                fitting.push(found.manifest.clone());
            }
            available.extend(candidates.iter().map(|candidate| candidate.platform.to_string()));
        }
        fitting.dedup_by(|a, b| a.digest == b.digest);
        match fitting.len() {
            1 => Ok(fitting.remove(0)),
            0 => Err(Error::NoSuchPlatform {
                what: self.path.display().to_string(),
                wanted: selection.platform.clone(),
                available,
            }),
            _ => Err(Error::AmbiguousImage { path: self.path.clone(), available: names(roots) }),
        }
    }

    /// All image manifests at and below `descriptor`, with their platforms. An index's word for a
    /// platform also holds for what is nested below it. `visited` counts descriptors, also those of
    /// indexes that hold no manifest: a few of them, each naming the next a thousand times, would
    /// take for ever.
    fn collect(
        &self,
        descriptor: &Descriptor,
        inherited: Option<&Platform>,
        depth: usize,
        visited: &mut usize,
        found: &mut Vec<Candidate>,
    ) -> Result<(), Error> {
        *visited += 1;
        self.check_count(*visited)?;
        let platform = descriptor.platform.as_ref().or(inherited);
        if descriptor.is_attestation() {
            return Ok(());
        }
        if descriptor.is_manifest() {
            let platform = match platform {
                Some(platform) => platform.clone(),
                None => self.config(&self.manifest(descriptor)?)?.0.platform(),
            };
            found.push(Candidate { manifest: descriptor.clone(), platform });
            return Ok(());
        }
        if !descriptor.is_index() {
            return Ok(());
        }
        if depth >= MAX_INDEX_DEPTH {
            return Err(self.too_large("nested indexes", MAX_INDEX_DEPTH));
        }
        let index: Index = self.json(descriptor, "index")?;
        let mut entries = index.manifests.iter();
        entries.try_for_each(|entry| self.collect(entry, platform, depth + 1, visited, found))
    }

    fn check_count(&self, entries: usize) -> Result<(), Error> {
        if entries > MAX_INDEX_ENTRIES {
            return Err(self.too_large("index entries", MAX_INDEX_ENTRIES));
        }
        Ok(())
    }

    fn too_large(&self, unit: &'static str, limit: usize) -> Error {
        Error::TooLarge { what: self.path.display().to_string(), limit: limit as u64, unit }
    }

    fn image(&self, descriptor: &Descriptor, selection: &Selection) -> Result<Image, Error> {
        let what = self.what("image", &descriptor.digest);
        let manifest = self.manifest(descriptor)?;
        let (config, config_digest) = self.config(&manifest)?;
        check_platform(&what, selection, &config.platform())?;
        check_layers(&what, manifest.layers.len(), config.rootfs.diff_ids.len())?;
        let layers = manifest.layers.iter().zip(&config.rootfs.diff_ids);
        let layers =
            layers.map(|(layer, diff_id)| self.layer(layer, *diff_id)).collect::<Result<_, _>>()?;
        Ok(Image { config, config_digest, manifest_digest: Some(descriptor.digest), layers })
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, Error> {
        self.json(descriptor, "manifest")
    }

    fn config(&self, manifest: &Manifest) -> Result<(ImageConfig, Digest), Error> {
        let descriptor = &manifest.config;
        if !descriptor.is_image_config() {
            return Err(Error::MediaType {
                what: self.what("config", &descriptor.digest),
                media_type: descriptor.media_type.clone(),
                expected: "an image configuration",
            });
        }
        Ok((self.json(descriptor, "config")?, descriptor.digest))
    }

    fn layer(&self, descriptor: &Descriptor, diff_id: Digest) -> Result<Layer, Error> {
        if !descriptor.is_layer() {
            return Err(Error::MediaType {
                what: self.what("layer", &descriptor.digest),
                media_type: descriptor.media_type.clone(),
                expected: "a tar, plain or with gzip or zstd",
            });
        }
        let blob = self.blob(descriptor, "layer")?;
        let media_type = descriptor.media_type.clone();
        Ok(Layer { media_type, digest: descriptor.digest, diff_id, blob })
    }

    fn blob(&self, descriptor: &Descriptor, kind: &str) -> Result<Blob, Error> {
        let Some(blob) = self.files.open(&blob_path(&descriptor.digest))? else {
            return Err(Error::MissingBlob { path: self.path.clone(), digest: descriptor.digest });
        };
        check_size(&self.what(kind, &descriptor.digest), descriptor.size, blob.len())?;
        Ok(blob)
    }

    fn json<T: DeserializeOwned>(&self, descriptor: &Descriptor, kind: &str) -> Result<T, Error> {
        let what = self.what(kind, &descriptor.digest);
        let json = self.blob(descriptor, kind)?.read_all(MAX_JSON_BYTES, &what)?;
        check_digest(&what, &descriptor.digest, Digest::of(&json))?;
        parse(&json, &what)
    }

    fn what(&self, kind: &str, digest: &Digest) -> String {
        format!("{kind} {digest} in {}", self.path.display())
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaTypeOnly {
    media_type: Option<String>,
}

fn names(entries: &[Descriptor]) -> Vec<String> {
    let name = |entry: &Descriptor| {
        entry.names().next().map_or_else(|| entry.digest.to_string(), str::to_owned)
    };
    entries.iter().map(name).collect()
}
