//! Artifacts of WebAssembly as OCI describes them: a config of its own kind and one layer, the
//! module itself (CNCF TAG Runtime, "Wasm OCI Artifact layout").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::manifest::{parse, to_json};
use crate::{Descriptor, Digest, Error, Manifest, OCI_MANIFEST, Store};

/// Media type of an artifact's config.
pub const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// Media type of a module or component.
pub const WASM_LAYER: &str = "application/wasm";
/// Annotation with the file name of a layer.
pub const TITLE: &str = "org.opencontainers.image.title";
/// Annotation with the time an artifact was made.
pub const CREATED: &str = "org.opencontainers.image.created";

/// The time in a config whose artifact has none: the layout wants one, and a clock's would make equal
/// input differ.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// What is said about a module besides its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArtifactInfo {
    /// File name, for tools that save the layer.
    pub title: String,
    /// When it was made, as RFC 3339 says it.
    pub created: Option<String>,
    /// Further annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
}

/// An artifact's config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WasmConfig {
    /// When it was made. Ours always say it; those of others may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Always `wasm`.
    pub architecture: String,
    /// `wasip1` for a core module, `wasip2` for a component.
    pub os: String,
    /// Digests of the layers.
    pub layer_digests: Vec<Digest>,
}

/// The JSON documents of an artifact; the module is a blob that both name.
#[derive(Clone, Debug)]
pub struct ArtifactDocuments {
    /// The config's JSON.
    pub config: Vec<u8>,
    /// The manifest's JSON.
    pub manifest: Vec<u8>,
    /// What names the manifest.
    pub descriptor: Descriptor,
}

impl ArtifactDocuments {
    /// Describes the core module with this digest and length in bytes. Equal input gives equal bytes.
    pub fn of_module(module: Digest, len: u64, info: &ArtifactInfo) -> Self {
        let config = to_json(&WasmConfig {
            created: Some(info.created.clone().unwrap_or_else(|| EPOCH.to_owned())),
            architecture: "wasm".to_owned(),
            os: "wasip1".to_owned(),
            layer_digests: vec![module],
        });
        let mut layer = Descriptor::of(WASM_LAYER, module, len);
        layer.annotations.insert(TITLE.to_owned(), info.title.clone());
        let mut manifest = Manifest::new(Descriptor::new(WASM_CONFIG, &config), vec![layer]);
        let created = info.created.iter().map(|time| (CREATED.to_owned(), time.clone()));
        manifest.annotations = created.chain(info.annotations.clone()).collect();
        let manifest = manifest.to_json();
        let descriptor = Descriptor::new(OCI_MANIFEST, &manifest);
        Self { config, manifest, descriptor }
    }
}

/// An artifact that is a module: what a manifest of this kind says.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The config.
    pub config: WasmConfig,
    /// Names the module.
    pub module: Descriptor,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
}

impl Store {
    /// Describes a module that is in the store; the documents are stored with it.
    pub fn put_artifact(
        &self,
        module: Digest,
        len: u64,
        info: &ArtifactInfo,
    ) -> Result<Descriptor, Error> {
        let documents = ArtifactDocuments::of_module(module, len, info);
        self.put(&documents.config[..], None)?;
        self.put(&documents.manifest[..], Some(&documents.descriptor.digest))?;
        Ok(documents.descriptor)
    }

    /// Reads the manifest that `descriptor` names as an artifact; `None` if it is something else.
    pub fn artifact(&self, descriptor: &Descriptor) -> Result<Option<Artifact>, Error> {
        if !descriptor.is_manifest() {
            return Ok(None);
        }
        let manifest: Manifest = self.document(&descriptor.digest)?;
        let [module] = &manifest.layers[..] else { return Ok(None) };
        if manifest.config.media_type != WASM_CONFIG || module.media_type != WASM_LAYER {
            return Ok(None);
        }
        let config = self.document(&manifest.config.digest)?;
        Ok(Some(Artifact { config, module: module.clone(), annotations: manifest.annotations }))
    }

    /// Reads a JSON document.
    pub fn document<T: serde::de::DeserializeOwned>(&self, digest: &Digest) -> Result<T, Error> {
        let blob = self.get(digest)?;
        parse(&blob.read_all(crate::limits::MAX_JSON_BYTES, blob.name())?, blob.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_described_as_the_layout_says() {
        let module = Digest::of(b"module");
        let info = ArtifactInfo {
            title: "app.wasm".to_owned(),
            created: Some("1970-01-01T00:00:00Z".to_owned()),
            annotations: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        };
        let documents = ArtifactDocuments::of_module(module, 6, &info);
        let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        let expected = serde_json::json!({
            "created": "1970-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip1",
            "layerDigests": [module.to_string()],
        });
        assert_eq!(json(&documents.config), expected);
        let expected = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.wasm.config.v0+json",
                "digest": Digest::of(&documents.config).to_string(),
                "size": documents.config.len(),
            },
            "layers": [{
                "mediaType": "application/wasm", "digest": module.to_string(), "size": 6,
                "annotations": { "org.opencontainers.image.title": "app.wasm" },
            }],
            "annotations": { "a": "b", "org.opencontainers.image.created": "1970-01-01T00:00:00Z" },
        });
        assert_eq!(json(&documents.manifest), expected);
    }

    #[test]
    fn an_artifact_in_a_store_is_told_from_an_image() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (module, len) = store.put(&b"module"[..], None).unwrap();
        let info = ArtifactInfo { title: "app.wasm".to_owned(), ..ArtifactInfo::default() };
        let descriptor = store.put_artifact(module, len, &info).unwrap();
        let artifact = store.artifact(&descriptor).unwrap().unwrap();
        assert_eq!((artifact.module.digest, artifact.module.size), (module, 6));
        let image = Manifest::new(Descriptor::new(crate::OCI_CONFIG, b"{}"), Vec::new()).to_json();
        store.put(&image[..], None).unwrap();
        let other = Descriptor::new(OCI_MANIFEST, &image);
        assert!(store.artifact(&other).unwrap().is_none());
    }
}
