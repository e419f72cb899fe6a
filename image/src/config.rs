//! The image configuration: the JSON that says how an image runs and which layers it has
//! (OCI image-spec `config.md`, with Docker's additions `Healthcheck`, `OnBuild` and `Shell`).
//!
//! Fields that are not named here survive a round trip in `other`, so a derived image keeps what
//! its base said. Maps are ordered, so equal values give equal bytes and equal digests.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{Digest, Error, Platform};

/// An image's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who is responsible for the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Go's GOARCH value.
    pub architecture: String,
    /// Go's GOOS value.
    pub os: String,
    /// The architecture's variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How a container of this image runs.
    #[serde(default, deserialize_with = "null_as_default")]
    pub config: RunConfig,
    /// The layers' identities, lowest first.
    #[serde(default)]
    pub rootfs: RootFs,
    /// How each layer came about, lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub history: Vec<History>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ImageConfig {
    /// The configuration of an image without layers or settings.
    pub fn new(platform: &Platform) -> Self {
        Self {
            created: None,
            author: None,
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            config: RunConfig::default(),
            rootfs: RootFs::default(),
            history: Vec::new(),
            other: Map::new(),
        }
    }

    /// Reads the JSON form. `what` names the document in the error.
    pub fn from_json(json: &[u8], what: &str) -> Result<Self, Error> {
        crate::manifest::parse(json, what)
    }

    /// The JSON form: compact, the same bytes for the same value.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, numbers and string-keyed maps always serialise")
    }

    /// What the image runs on.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        }
    }
}

/// The `config` object: how a container runs. Empty means "not set" wherever `Option` is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunConfig {
    /// `user`, `uid`, `user:group` or `uid:gid`; empty means root.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub user: String,
    /// Ports such as `80/tcp`.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// `NAME=value`, in the order of definition.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments, or the program where there is no entrypoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Paths meant to be mounted over.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// The directory the program starts in; empty means `/`.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub working_dir: String,
    /// Free-form metadata.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the program to end, as a name or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How to find out whether the program is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthCheck>,
    /// Instructions for builds based on this image.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub on_build: Vec<String>,
    /// The shell of the shell forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A health check. Durations are nanoseconds; absent means inherited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub test: Vec<String>,
    /// Nanoseconds between two checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<i64>,
    /// Nanoseconds that one check may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// Nanoseconds at the start in which failures do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<i64>,
    /// Nanoseconds between two checks in the start period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<i64>,
    /// Failures in a row that make the container unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<i64>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The layers' identities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed layer tars, lowest first.
    #[serde(deserialize_with = "null_as_default")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".into(), diff_ids: Vec::new() }
    }
}

/// How one layer, or one step without a layer, came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step made no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Go writes empty slices and maps as `null`.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A set in JSON is an object of empty objects.
mod set {
    use super::{BTreeMap, BTreeSet, Deserialize, Deserializer, Serializer, Value};

    pub(super) fn serialize<S: Serializer>(
        set: &BTreeSet<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(set.iter().map(|key| (key, Value::Object(Default::default()))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<String>, D::Error> {
        let map: Option<BTreeMap<String, Value>> = Option::deserialize(deserializer)?;
        Ok(map.unwrap_or_default().into_keys().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &str = r#"{
        "architecture": "riscv64", "os": "linux", "os.features": ["x"],
        "config": {
            "User": "app:0", "ExposedPorts": {"80/tcp": {}}, "Env": ["PATH=/bin", "A=b"],
            "Entrypoint": ["/init"], "Cmd": null, "Volumes": {"/data": {}}, "WorkingDir": "/srv",
            "Labels": {"b": "2", "a": "1"}, "StopSignal": "SIGINT", "OnBuild": null,
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5000000000, "Retries": 3},
            "Shell": ["/bin/bash", "-c"], "ArgsEscaped": true
        },
        "rootfs": {"type": "layers", "diff_ids": [
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},
        "history": [{"created_by": "ADD", "empty_layer": false}, {"created_by": "CMD", "empty_layer": true}],
        "moby.buildkit.cache.v0": "abc"
    }"#;

    #[test]
    fn known_fields_are_read() {
        let image = ImageConfig::from_json(DOCKER.as_bytes(), "test").unwrap();
        assert_eq!(image.platform(), Platform::linux("riscv64"));
        assert_eq!(image.config.entrypoint.as_deref(), Some(&["/init".to_owned()][..]));
        assert_eq!(image.config.cmd, None);
        assert!(image.config.exposed_ports.contains("80/tcp"));
        assert_eq!(image.config.healthcheck.as_ref().unwrap().interval, Some(5_000_000_000));
        assert_eq!(image.rootfs.diff_ids, [Digest::of(b"")]);
        assert!(image.history[1].empty_layer);
    }

    #[test]
    fn a_round_trip_keeps_unknown_fields_and_is_stable() {
        let image = ImageConfig::from_json(DOCKER.as_bytes(), "test").unwrap();
        let json = image.to_json();
        let text = String::from_utf8(json.clone()).unwrap();
        for kept in
            [r#""ArgsEscaped":true"#, r#""moby.buildkit.cache.v0":"abc""#, r#""os.features":["x"]"#]
        {
            assert!(text.contains(kept), "{kept} lost in {text}");
        }
        let again = ImageConfig::from_json(&json, "test").unwrap();
        assert_eq!(again, image);
        assert_eq!(again.to_json(), json);
    }

    #[test]
    fn a_null_config_is_an_empty_one() {
        let json = br#"{"architecture":"riscv64","os":"linux","config":null,"rootfs":{"type":"layers","diff_ids":null}}"#;
        let image = ImageConfig::from_json(json, "test").unwrap();
        assert_eq!(image.config, RunConfig::default());
        assert!(image.rootfs.diff_ids.is_empty());
    }
}
