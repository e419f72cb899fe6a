//! Build arguments: what the user gives, what is predefined, what the file declares.

use std::collections::{BTreeMap, BTreeSet};

use lithify_image::Platform;

/// Set by users behind proxies; known to RUN without a declaration, so never unused.
const PROXY_ARGS: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Meant for the builder, so never unused.
const BUILDER_ARGS: [&str; 2] = ["SOURCE_DATE_EPOCH", "BUILDKIT_INLINE_CACHE"];

/// Values that ARG instructions can get.
#[derive(Debug, Clone, Default)]
pub(crate) struct Args {
    given: BTreeMap<String, String>,
    platform: BTreeMap<&'static str, String>,
    globals: BTreeMap<String, String>,
}

impl Args {
    pub(crate) fn new(given: &BTreeMap<String, String>, target: &Platform, stage: &str) -> Self {
        Self {
            given: given.clone(),
            platform: platform_args(target, stage),
            globals: BTreeMap::new(),
        }
    }

    /// A value in FROM: platform arguments need no declaration there.
    pub(crate) fn global(&self, name: &str) -> Option<String> {
        self.globals.get(name).or_else(|| self.platform.get(name)).cloned()
    }

    /// Declares an argument before the first FROM.
    pub(crate) fn declare_global(&mut self, name: &str, default: Option<String>) {
        let given = self.given.get(name).cloned();
        if let Some(value) = given.or(default).or_else(|| self.platform.get(name).cloned()) {
            self.globals.insert(name.to_owned(), value);
        }
    }

    /// The value of an argument declared in a stage.
    pub(crate) fn in_stage(&self, name: &str, default: Option<String>) -> Option<String> {
        let given = self.given.get(name).cloned();
        given.or(default).or_else(|| self.global(name))
    }

    /// The proxies given, which RUN sees without a declaration.
    pub(crate) fn proxies(&self) -> impl Iterator<Item = (&str, &str)> {
        PROXY_ARGS.iter().filter_map(|name| Some((*name, self.given.get(*name)?.as_str())))
    }

    /// Arguments given that nothing declares.
    pub(crate) fn unused(&self, declared: &BTreeSet<&str>) -> Vec<&str> {
        let known = |name: &str| {
            declared.contains(name)
                || self.platform.contains_key(name)
                || PROXY_ARGS.contains(&name)
                || BUILDER_ARGS.contains(&name)
        };
        self.given.keys().map(String::as_str).filter(|name| !known(name)).collect()
    }
}

fn platform_args(target: &Platform, stage: &str) -> BTreeMap<&'static str, String> {
    // Steps run in the target machine, so it is the build platform as well.
    let mut args = BTreeMap::from([("TARGETSTAGE", stage.to_owned())]);
    for names in [
        ["TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT"],
        ["BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT"],
    ] {
        let values = [
            target.to_string(),
            target.os.clone(),
            target.architecture.clone(),
            target.variant.clone().unwrap_or_default(),
        ];
        args.extend(names.into_iter().zip(values));
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Args {
        let given = BTreeMap::from([("A".to_owned(), "given".to_owned())]);
        Args::new(&given, &Platform::linux("riscv64"), "default")
    }

    #[test]
    fn given_values_beat_defaults_and_globals() {
        let mut args = args();
        args.declare_global("A", Some("default".into()));
        args.declare_global("B", Some("global".into()));
        args.declare_global("C", None);
        assert_eq!(args.global("A").as_deref(), Some("given"));
        assert_eq!(args.global("C"), None);
        assert_eq!(args.in_stage("A", Some("x".into())).as_deref(), Some("given"));
        assert_eq!(args.in_stage("B", None).as_deref(), Some("global"));
        assert_eq!(args.in_stage("B", Some("own".into())).as_deref(), Some("own"));
        assert_eq!(args.in_stage("D", None), None);
    }

    #[test]
    fn platform_arguments_are_predefined() {
        let args = args();
        for (name, value) in [
            ("TARGETPLATFORM", "linux/riscv64"),
            ("TARGETARCH", "riscv64"),
            ("TARGETVARIANT", ""),
            ("BUILDOS", "linux"),
            ("TARGETSTAGE", "default"),
        ] {
            assert_eq!(args.in_stage(name, None).as_deref(), Some(value), "{name}");
        }
    }

    #[test]
    fn undeclared_arguments_are_unused() {
        assert_eq!(args().unused(&BTreeSet::new()), ["A"]);
        assert!(args().unused(&BTreeSet::from(["A"])).is_empty());
    }
}
