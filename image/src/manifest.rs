//! The JSON documents that tie an image together: descriptors, manifests and indexes
//! (OCI image-spec `descriptor.md`, `manifest.md`, `image-index.md`), and Docker's equivalents.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Digest, Error, Platform};

/// Media type of an OCI manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an OCI image config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of Docker's manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of Docker's index.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Media type of Docker's image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The tag of an image in a layout's `index.json`.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The full reference that containerd and newer `docker save` add.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Marks BuildKit's attestations, which sit among the platforms of an index but are no images.
const BUILDKIT_REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// What names a blob: its type, digest and size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// In an index: what the image runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Notes by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Of `bytes`.
    pub fn new(media_type: &str, bytes: &[u8]) -> Self {
        Self::of(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// Of a blob with this digest and length in bytes.
    pub fn of(media_type: &str, digest: Digest, size: u64) -> Self {
        let media_type = media_type.to_owned();
        Self { media_type, digest, size, platform: None, annotations: BTreeMap::new() }
    }

    /// Whether it names an index, of OCI or Docker.
    pub fn is_index(&self) -> bool {
        matches!(self.media_type.as_str(), OCI_INDEX | DOCKER_INDEX)
    }

    /// Whether it names a manifest, of OCI or Docker.
    pub fn is_manifest(&self) -> bool {
        matches!(self.media_type.as_str(), OCI_MANIFEST | DOCKER_MANIFEST)
    }

    /// Whether it names an image config, of OCI or Docker.
    pub fn is_image_config(&self) -> bool {
        matches!(self.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG)
    }

    /// Tars with or without compression, also the deprecated non-distributable kind.
    pub fn is_layer(&self) -> bool {
        let oci = self.media_type.strip_prefix("application/vnd.oci.image.layer.");
        let docker = self.media_type.strip_prefix("application/vnd.docker.image.rootfs.");
        match (oci, docker) {
            (Some(kind), _) => matches!(
                kind.strip_prefix("nondistributable.").unwrap_or(kind),
                "v1.tar" | "v1.tar+gzip" | "v1.tar+zstd"
            ),
            (_, Some(kind)) => matches!(
                kind,
                "diff.tar" | "diff.tar.gzip" | "diff.tar.zstd" | "foreign.diff.tar.gzip"
            ),
            _ => false,
        }
    }

    /// Whether it names one of BuildKit's attestations.
    pub fn is_attestation(&self) -> bool {
        self.annotations.contains_key(BUILDKIT_REFERENCE_TYPE)
            || self.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
    }

    /// The names under which a user may ask for this entry of `index.json`.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        [REF_NAME, CONTAINERD_NAME]
            .into_iter()
            .filter_map(|key| self.annotations.get(key).map(String::as_str))
    }
}

/// A manifest, of an image or an artifact.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The media type of this document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Notes by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// An OCI manifest.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(OCI_MANIFEST.to_owned()),
            config,
            layers,
            annotations: BTreeMap::new(),
        }
    }

    /// The bytes that its digest covers.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }

    /// Parses a manifest; `what` names it in errors.
    pub fn from_json(json: &[u8], what: &str) -> Result<Self, Error> {
        parse(json, what)
    }
}

/// An image index.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The media type of this document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What it lists.
    pub manifests: Vec<Descriptor>,
}

impl Index {
    /// The bytes that its digest covers.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }

    /// Parses an index; `what` names it in errors.
    pub fn from_json(json: &[u8], what: &str) -> Result<Self, Error> {
        parse(json, what)
    }
}

impl Default for Index {
    fn default() -> Self {
        Self { schema_version: 2, media_type: Some(OCI_INDEX.to_owned()), manifests: Vec::new() }
    }
}

/// The file `oci-layout`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayoutMarker {
    pub(crate) image_layout_version: String,
}

/// One image in a docker archive's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DockerImage {
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    pub(crate) layers: Vec<String>,
}

/// Reads a JSON document; `what` names it in the error.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8], what: &str) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|source| Error::Json { what: what.to_owned(), source })
}

/// The JSON of a document.
pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings, numbers and string-keyed maps always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_media_types_are_told_from_others() {
        for (media_type, layer) in [
            ("application/vnd.oci.image.layer.v1.tar", true),
            ("application/vnd.oci.image.layer.v1.tar+gzip", true),
            ("application/vnd.oci.image.layer.v1.tar+zstd", true),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", true),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", true),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", false),
            ("application/wasm", false),
        ] {
            assert_eq!(Descriptor::new(media_type, b"").is_layer(), layer, "{media_type}");
        }
    }

    #[test]
    fn attestations_are_recognised() {
        let mut descriptor = Descriptor::new(OCI_MANIFEST, b"");
        assert!(!descriptor.is_attestation());
        descriptor.platform = Some("unknown/unknown".parse().unwrap());
        assert!(descriptor.is_attestation());
    }
}
