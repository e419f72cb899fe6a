//! Image references in the grammar of the distribution project, with Docker's defaults:
//! `[registry[:port]/]path[:tag][@digest]`.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, Error};

const DEFAULT_REGISTRY: &str = "docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const DEFAULT_TAG: &str = "latest";

/// Longest name (registry and repository) that the grammar allows, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// Longest tag that the grammar allows, in bytes.
const MAX_TAG_BYTES: usize = 128;

/// A validated image reference. Without tag and digest it means the tag `latest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry's host, with its port if it has one; `docker.io` by default.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's path in the registry, for example `library/debian`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` if the reference named neither tag nor digest.
    pub fn tag(&self) -> Option<&str> {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => Some(tag),
            (None, None) => Some(DEFAULT_TAG),
            (None, Some(_)) => None,
        }
    }

    /// The digest, which wins over the tag.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The short form that users write: default registry and `library/` left out.
    pub fn familiar(&self) -> String {
        let name = if self.registry == DEFAULT_REGISTRY {
            self.repository.strip_prefix(OFFICIAL_PREFIX).unwrap_or(&self.repository).to_owned()
        } else {
            format!("{}/{}", self.registry, self.repository)
        };
        name + &self.suffix()
    }

    fn suffix(&self) -> String {
        let tag = self.tag().map(|tag| format!(":{tag}"));
        let digest = self.digest.map(|digest| format!("@{digest}"));
        tag.unwrap_or_default() + &digest.unwrap_or_default()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.repository, self.suffix())
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |reason| Error::InvalidReference { text: text.to_owned(), reason };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(invalid("a tag is up to 128 letters, digits, `_`, `.` and `-`"));
        }
        let (registry, path) = split_registry(name);
        let official = registry == DEFAULT_REGISTRY && !path.contains('/');
        let repository =
            if official { format!("{OFFICIAL_PREFIX}{path}") } else { path.to_owned() };
        if registry.len() + 1 + repository.len() > MAX_NAME_BYTES {
            return Err(invalid("the name is longer than 255 bytes"));
        }
        if !is_host(&registry) {
            return Err(invalid("the registry is not a host name with an optional port"));
        }
        if !repository.split('/').all(is_path_component) {
            return Err(invalid(
                "a repository is lower-case letters and digits, separated by `/`, `.`, `_`, `__` or `-`",
            ));
        }
        Ok(Self { registry, repository, tag: tag.map(str::to_owned), digest })
    }
}

/// A colon after the last slash starts the tag; one before it belongs to a port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// Docker's rule: the first component is a registry if it could not be a path component or is
/// `localhost`.
fn split_registry(name: &str) -> (String, &str) {
    match name.split_once('/') {
        Some(("index.docker.io", path)) => (DEFAULT_REGISTRY.to_owned(), path),
        Some((host, path))
            if host.contains(['.', ':'])
                || host == "localhost"
                || host.chars().any(char::is_uppercase) =>
        {
            (host.to_owned(), path)
        }
        _ => (DEFAULT_REGISTRY.to_owned(), name),
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=MAX_TAG_BYTES).contains(&tag.len())
        && word(tag.as_bytes()[0])
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let hex = address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
            return hex
                && !address.is_empty()
                && (rest.is_empty() || is_port(rest.strip_prefix(':')));
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.split('.').all(label) && (port.is_none() || is_port(port))
}

fn is_port(port: Option<&str>) -> bool {
    port.is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn is_path_component(component: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.split(alphanumeric).all(is_separator)
}

/// What may stand between two runs of letters and digits.
fn is_separator(separator: &[u8]) -> bool {
    matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_names_get_dockers_defaults() {
        for (text, full, familiar) in [
            ("debian", "docker.io/library/debian:latest", "debian:latest"),
            ("debian:trixie-slim", "docker.io/library/debian:trixie-slim", "debian:trixie-slim"),
            ("me/app:1", "docker.io/me/app:1", "me/app:1"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            ("index.docker.io/debian", "docker.io/library/debian:latest", "debian:latest"),
            ("ghcr.io/x/y__z-1", "ghcr.io/x/y__z-1:latest", "ghcr.io/x/y__z-1:latest"),
            ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(full.parse::<Reference>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn a_digest_needs_no_tag() {
        let reference: Reference = format!("debian@sha256:{HEX}").parse().unwrap();
        assert_eq!(reference.tag(), None);
        assert_eq!(reference.to_string(), format!("docker.io/library/debian@sha256:{HEX}"));
        let both: Reference = format!("debian:13@sha256:{HEX}").parse().unwrap();
        assert_eq!(both.tag(), Some("13"));
    }

    #[test]
    fn malformed_references_are_refused() {
        for text in [
            "",
            "Debian",
            "debian:",
            "debian:-x",
            "debian@sha256:12",
            "a//b",
            "/a",
            "a/",
            "a_-b",
            "a...b",
            "../etc",
            "ho_st.example/x",
            "host:port/x",
            "debian:a b",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?} was accepted");
        }
        assert!("a".repeat(300).parse::<Reference>().is_err());
        assert!(format!("a:{}", "t".repeat(129)).parse::<Reference>().is_err());
    }
}
