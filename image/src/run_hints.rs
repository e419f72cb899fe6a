//! What a registry can say of an artifact without its module: how the program runs, as annotations
//! of the manifest.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::RunConfig;

/// What the names of all run hints begin with.
pub const RUN_HINT: &str = "dev.lithify.run.";
/// A longer hint is left out, so that no image makes a manifest that registries refuse (4 MiB).
const MAX_HINT_BYTES: usize = 64 << 10;

/// Annotations that say how a program runs: JSON, but for the plain strings `user` and `working-dir`
/// and the bytes of `memory`. What is not set has none.
///
/// | name after [`RUN_HINT`] | value |
/// | --- | --- |
/// | `entrypoint`, `cmd`, `env`, `exposed-ports` | array of strings |
/// | `labels` | object of strings |
/// | `user`, `working-dir` | string |
/// | `memory` | bytes, decimal |
pub fn run_hints(config: &RunConfig, memory_bytes: u64) -> BTreeMap<String, String> {
    let hints = [
        ("entrypoint", config.entrypoint.as_ref().map(json)),
        ("cmd", config.cmd.as_ref().map(json)),
        ("env", (!config.env.is_empty()).then(|| json(&config.env))),
        ("exposed-ports", (!config.exposed_ports.is_empty()).then(|| json(&config.exposed_ports))),
        ("labels", (!config.labels.is_empty()).then(|| json(&config.labels))),
        ("user", (!config.user.is_empty()).then(|| config.user.clone())),
        ("working-dir", (!config.working_dir.is_empty()).then(|| config.working_dir.clone())),
        ("memory", Some(memory_bytes.to_string())),
    ];
    let set = hints.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let short = set.filter(|(_, value)| value.len() <= MAX_HINT_BYTES);
    short.map(|(name, value)| (format!("{RUN_HINT}{name}"), value)).collect()
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings in lists and maps always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(config: &RunConfig) -> Vec<String> {
        run_hints(config, 1024).iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn only_what_is_set_is_said() {
        assert_eq!(shown(&RunConfig::default()), ["dev.lithify.run.memory=1024"]);
        let config = RunConfig {
            user: "app".into(),
            exposed_ports: ["80/tcp".to_owned()].into(),
            env: vec!["A=\"b\"".into()],
            entrypoint: Some(vec!["/app".into(), "-x".into()]),
            cmd: Some(Vec::new()),
            working_dir: "/srv".into(),
            labels: [("a".to_owned(), "1".to_owned())].into(),
            ..RunConfig::default()
        };
        let expected = [
            "dev.lithify.run.cmd=[]",
            r#"dev.lithify.run.entrypoint=["/app","-x"]"#,
            r#"dev.lithify.run.env=["A=\"b\""]"#,
            r#"dev.lithify.run.exposed-ports=["80/tcp"]"#,
            r#"dev.lithify.run.labels={"a":"1"}"#,
            "dev.lithify.run.memory=1024",
            "dev.lithify.run.user=app",
            "dev.lithify.run.working-dir=/srv",
        ];
        assert_eq!(shown(&config), expected);
    }

    #[test]
    fn a_hint_that_would_burst_the_manifest_is_left_out() {
        let config = RunConfig { user: "u".repeat(MAX_HINT_BYTES + 1), ..RunConfig::default() };
        assert_eq!(shown(&config), ["dev.lithify.run.memory=1024"]);
    }
}
