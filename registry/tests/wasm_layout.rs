//! What we publish is an artifact as the CNCF's "Wasm OCI Artifact layout" has it, field by field, and
//! by the types of a foreign library.

use lithify_image::{ArtifactDocuments, ArtifactInfo, Digest};
use oci_spec::image::{ImageManifest, MediaType};
use serde_json::Value;

/// What a field's value must be.
enum Rule {
    /// This very JSON.
    Is(&'static str),
    Digest,
    Size,
    Time,
    Strings,
    Object(&'static [Field]),
    /// An array of one element.
    One(&'static Rule),
}

struct Field(&'static str, Need, Rule);

#[derive(PartialEq)]
enum Need {
    Must,
    May,
}

use Need::{May, Must};

/// `wasip1` is for core modules; `author` and, for components, `component` are what else there is.
const CONFIG: Rule = Rule::Object(&[
    Field("created", Must, Rule::Time),
    Field("architecture", Must, Rule::Is(r#""wasm""#)),
    Field("os", Must, Rule::Is(r#""wasip1""#)),
    Field("layerDigests", Must, Rule::One(&Rule::Digest)),
]);

/// `artifactType` and `subject` are not in it: the config's media type says what it is.
const MANIFEST: Rule = Rule::Object(&[
    Field("schemaVersion", Must, Rule::Is("2")),
    Field("mediaType", Must, Rule::Is(r#""application/vnd.oci.image.manifest.v1+json""#)),
    Field(
        "config",
        Must,
        Rule::Object(&[
            Field("mediaType", Must, Rule::Is(r#""application/vnd.wasm.config.v0+json""#)),
            Field("digest", Must, Rule::Digest),
            Field("size", Must, Rule::Size),
        ]),
    ),
    Field(
        "layers",
        Must,
        Rule::One(&Rule::Object(&[
            Field("mediaType", Must, Rule::Is(r#""application/wasm""#)),
            Field("digest", Must, Rule::Digest),
            Field("size", Must, Rule::Size),
            Field("annotations", May, Rule::Strings),
        ])),
    ),
    Field("annotations", May, Rule::Strings),
]);

impl Rule {
    fn fits(&self, value: &Value) -> bool {
        match self {
            Self::Is(json) => *value == serde_json::from_str::<Value>(json).unwrap(),
            Self::Digest => value.as_str().is_some_and(|text| text.parse::<Digest>().is_ok()),
            Self::Size => value.as_u64().is_some(),
            // RFC 3339, section 5.6, to the second and in UTC.
            Self::Time => value.as_str().is_some_and(|text| {
                let shape: String =
                    text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
                shape == "0000-00-00T00:00:00Z"
            }),
            Self::Strings => {
                value.as_object().is_some_and(|map| map.values().all(Value::is_string))
            }
            Self::Object(fields) => value.as_object().is_some_and(|map| {
                map.keys().all(|key| fields.iter().any(|Field(name, ..)| name == key))
                    && fields.iter().all(|Field(name, need, rule)| match map.get(*name) {
                        Some(value) => rule.fits(value),
                        None => *need == May,
                    })
            }),
            Self::One(rule) => {
                value.as_array().is_some_and(|array| array.len() == 1 && rule.fits(&array[0]))
            }
        }
    }
}

fn documents(created: Option<&str>) -> ArtifactDocuments {
    let info = ArtifactInfo {
        title: "app.wasm".to_owned(),
        created: created.map(str::to_owned),
        annotations: [("a".to_owned(), "b".to_owned())].into(),
    };
    ArtifactDocuments::of_module(Digest::of(b"module"), 6, &info)
}

#[test]
fn config_and_manifest_fit_the_layout() {
    for created in [None, Some("2026-01-02T03:04:05Z")] {
        let documents = documents(created);
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let (config, manifest) = (json(&documents.config), json(&documents.manifest));
        assert!(CONFIG.fits(&config), "{config}");
        assert!(MANIFEST.fits(&manifest), "{manifest}");
        assert_eq!(manifest["layers"][0]["digest"], config["layerDigests"][0]);
    }
}

#[test]
fn the_layout_refuses_what_it_does_not_know() {
    let documents = documents(None);
    for (rule, document) in [(CONFIG, &documents.config), (MANIFEST, &documents.manifest)] {
        let right: Value = serde_json::from_slice(document).unwrap();
        let mut more = right.clone();
        more["artifactType"] = "application/wasm".into();
        assert!(rule.fits(&right) && !rule.fits(&more));
        for field in ["architecture", "os", "created", "layerDigests", "config", "layers"] {
            let mut less = right.clone();
            if less.as_object_mut().unwrap().remove(field).is_some() {
                assert!(!rule.fits(&less), "{field}");
            }
        }
    }
}

#[test]
fn another_library_reads_the_manifest_and_writes_it_alike() {
    let documents = documents(None);
    let foreign = ImageManifest::from_reader(&documents.manifest[..]).unwrap();
    let config = MediaType::Other("application/vnd.wasm.config.v0+json".to_owned());
    assert_eq!(foreign.config().media_type(), &config);
    assert_eq!(foreign.config().digest().to_string(), Digest::of(&documents.config).to_string());
    assert_eq!(foreign.config().size(), documents.config.len() as u64);
    let [layer] = &foreign.layers()[..] else { panic!("{:?}", foreign.layers()) };
    assert_eq!(layer.media_type(), &MediaType::Other("application/wasm".to_owned()));
    assert!(foreign.artifact_type().is_none() && foreign.subject().is_none());
    let ours: Value = serde_json::from_slice(&documents.manifest).unwrap();
    assert_eq!(serde_json::to_value(&foreign).unwrap(), ours);
}
