//! Native code beside an artifact: a referrer (image-spec, "Guidelines for artifact usage") whose
//! subject is the artifact's manifest.
//!
//! Native code runs outside the sandbox, so that a registry has some proves nothing. The artifact
//! lists the digests of its compiled forms in annotations; what it does not list is never fetched.

use std::collections::BTreeMap;

use lithify_image::{
    Descriptor, Digest, Index, Manifest, OCI_INDEX, OCI_MANIFEST, Reference, Store,
};
use serde_json::{Value, json};

use crate::Error;
use crate::registry::{Document, Registry, referrers_tag};

/// What the referrer is.
const ARTIFACT_TYPE: &str = "application/vnd.lithify.compiled.v1";
/// Native code as wasmtime maps it.
const LAYER: &str = "application/vnd.lithify.cwasm";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Annotation of an artifact, followed by what the code is for: the digest of the code.
const LISTED: &str = "dev.lithify.compiled.";
/// Annotation of a referrer: what its code is for.
const ENGINE: &str = "dev.lithify.engine";

/// Annotation by which an artifact lists the compiled form for `engine`.
pub fn compiled_annotation(engine: &str, code: &Digest) -> (String, String) {
    (format!("{LISTED}{engine}"), code.to_string())
}

/// The compiled form for `engine` that annotations of an artifact list.
pub fn listed_compiled(annotations: &BTreeMap<String, String>, engine: &str) -> Option<Digest> {
    annotations.get(&format!("{LISTED}{engine}"))?.parse().ok()
}

impl Registry {
    /// Attaches native code for `engine`, a blob of the store, to the artifact `subject` that was
    /// pushed to the repository of `reference`.
    ///
    /// # Errors
    /// As [`Registry::push`].
    pub fn attach_compiled(
        &self,
        reference: &Reference,
        subject: &Descriptor,
        engine: &str,
        code: &Descriptor,
        store: &Store,
    ) -> Result<(), Error> {
        let repository = reference.repository();
        let json = referrer(subject, engine, code, store)?;
        store.put(&json[..], None)?;
        let descriptor = Descriptor::new(OCI_MANIFEST, &json);
        let target = descriptor.digest.to_string();
        let is_tracked = self.push_as(repository, &target, &descriptor, store, 0)?;
        if is_tracked {
            return Ok(());
        }
        self.list_by_tag(repository, subject, &descriptor, engine)
    }

    /// distribution-spec 1.1, "Referrers Tag Schema": the list is kept by those who push.
    fn list_by_tag(
        &self,
        repository: &str,
        subject: &Descriptor,
        referrer: &Descriptor,
        engine: &str,
    ) -> Result<(), Error> {
        let mut index = self.tagged_referrers(repository, &subject.digest)?;
        let is_same = |entry: &Descriptor| {
            entry.digest == referrer.digest || engine_of(entry) == Some(engine)
        };
        index.manifests.retain(|entry| !is_same(entry));
        let mut entry = referrer.clone();
        entry.annotations.insert(ENGINE.to_owned(), engine.to_owned());
        index.manifests.push(entry);
        let json = with_artifact_types(&index)?;
        let document = Document { descriptor: Descriptor::new(OCI_INDEX, &json), json };
        self.put_document(repository, &referrers_tag(&subject.digest), &document).map(drop)
    }

    /// Brings the native code `listed` for `engine` into the store, if the registry has it.
    ///
    /// # Errors
    /// As [`Registry::pull`].
    pub fn fetch_compiled(
        &self,
        reference: &Reference,
        subject: &Digest,
        engine: &str,
        listed: &Digest,
        store: &Store,
    ) -> Result<bool, Error> {
        let repository = reference.repository();
        let referrers = self.referrers(repository, subject)?.manifests;
        for entry in referrers.iter().filter(|entry| engine_of(entry) == Some(engine)) {
            let document = self.described(repository, entry)?;
            let manifest = Manifest::from_json(&document.json, &entry.digest.to_string())?;
            let is_listed =
                |layer: &&Descriptor| layer.digest == *listed && layer.media_type == LAYER;
            if let Some(code) = manifest.layers.iter().find(is_listed) {
                self.download(repository, std::slice::from_ref(code), store)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn engine_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(ENGINE).map(String::as_str)
}

/// The manifest of the referrer; its empty config is stored.
fn referrer(
    subject: &Descriptor,
    engine: &str,
    code: &Descriptor,
    store: &Store,
) -> Result<Vec<u8>, Error> {
    store.put(&b"{}"[..], None)?;
    let layer = Descriptor::of(LAYER, code.digest, code.size);
    let subject = Descriptor::of(&subject.media_type, subject.digest, subject.size);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": Descriptor::new(EMPTY, b"{}"),
        "layers": [layer],
        "subject": subject,
        "annotations": { ENGINE: engine },
    });
    Ok(manifest.to_string().into_bytes())
}

/// The index with the artifact types that its entries must have there.
fn with_artifact_types(index: &Index) -> Result<Vec<u8>, Error> {
    let mut json: Value = serde_json::from_slice(&index.to_json())
        .map_err(|error| Error::document("referrers", error))?;
    for entry in json["manifests"].as_array_mut().into_iter().flatten() {
        if entry["annotations"].get(ENGINE).is_some() {
            entry["artifactType"] = json!(ARTIFACT_TYPE);
        }
    }
    Ok(json.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_referrer_is_one_for_other_tools() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let subject = Descriptor::new(OCI_MANIFEST, b"subject");
        let code = Descriptor::new("x", b"code");
        let json = referrer(&subject, "engine", &code, &store).unwrap();
        let foreign: oci_spec::image::ImageManifest = serde_json::from_slice(&json).unwrap();
        assert_eq!(
            foreign.subject().as_ref().unwrap().digest().to_string(),
            subject.digest.to_string()
        );
        assert_eq!(foreign.artifact_type().as_ref().unwrap().to_string(), ARTIFACT_TYPE);
        assert_eq!(foreign.layers()[0].size(), 4);
    }

    #[test]
    fn only_what_is_listed_counts() {
        let code = Digest::of(b"code");
        let annotations = BTreeMap::from([compiled_annotation("a", &code)]);
        assert_eq!(listed_compiled(&annotations, "a"), Some(code));
        assert_eq!(listed_compiled(&annotations, "b"), None);
        let broken = BTreeMap::from([("dev.lithify.compiled.a".to_owned(), "x".to_owned())]);
        assert_eq!(listed_compiled(&broken, "a"), None);
    }
}
