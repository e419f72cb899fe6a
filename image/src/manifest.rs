//! The JSON documents that tie an image together: descriptors, manifests and indexes
//! (OCI image-spec `descriptor.md`, `manifest.md`, `image-index.md`), and Docker's equivalents.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Digest, Error, Platform};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The tag of an image in a layout's `index.json`.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The full reference that containerd and newer `docker save` add.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Marks BuildKit's attestations, which sit among the platforms of an index but are no images.
const BUILDKIT_REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// What names a blob: its type, digest and size.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub(crate) fn new(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    pub(crate) fn is_index(&self) -> bool {
        matches!(self.media_type.as_str(), OCI_INDEX | DOCKER_INDEX)
    }

    pub(crate) fn is_manifest(&self) -> bool {
        matches!(self.media_type.as_str(), OCI_MANIFEST | DOCKER_MANIFEST)
    }

    pub(crate) fn is_image_config(&self) -> bool {
        matches!(self.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG)
    }

    /// Tars with or without compression, also the deprecated non-distributable kind.
    pub(crate) fn is_layer(&self) -> bool {
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

    pub(crate) fn is_attestation(&self) -> bool {
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

/// An image manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// An image index.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
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
