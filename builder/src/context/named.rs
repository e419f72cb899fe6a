//! Contexts given by name: `--build-context NAME=…`.

use std::path::{Path, PathBuf};

use lithify_image::{Digest, ImageChoice, Platform, Reference, Selection};

use super::ContextError;

/// A context given by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamedContext {
    /// A directory of files.
    Directory(PathBuf),
    /// An image in a layout or archive.
    Image(PathBuf, Option<Choice>),
    /// An image by its name.
    Named(Reference),
}

/// Which image of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    Tag(String),
    Digest(Digest),
}

/// What an image's own name is written behind.
pub(crate) const IMAGE_SCHEME: &str = "docker-image://";

const IMAGE_SCHEMES: [&str; 3] = ["oci-layout://", "oci-archive://", "docker-archive://"];

impl NamedContext {
    pub(crate) fn parse(name: &str, spec: &str) -> Result<Self, ContextError> {
        let invalid = |source| ContextError::Selection {
            name: name.to_owned(),
            spec: spec.to_owned(),
            source: Box::new(source),
        };
        if let Some(rest) = IMAGE_SCHEMES.iter().find_map(|scheme| spec.strip_prefix(scheme)) {
            return image(rest).map_err(invalid);
        }
        let unsupported = |reason| ContextError::Unsupported {
            name: name.to_owned(),
            spec: spec.to_owned(),
            reason,
        };
        if let Some(reference) = spec.strip_prefix(IMAGE_SCHEME) {
            return reference.parse().map(Self::Named).map_err(invalid);
        }
        if spec.contains("://") || spec.starts_with("git@") {
            return Err(unsupported("; nothing is fetched in this version"));
        }
        let path = Path::new(spec);
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Ok(Self::Directory(path.to_owned())),
            Ok(_) => Ok(Self::Image(path.to_owned(), None)),
            Err(source) => Err(ContextError::Root { path: path.to_owned(), source }),
        }
    }
}

/// `PATH[:TAG][@DIGEST]`; a colon belongs to a tag only if a file of the whole name does not exist.
fn image(rest: &str) -> Result<NamedContext, lithify_image::Error> {
    if let Some((path, digest)) = rest.rsplit_once('@').filter(|(_, d)| d.starts_with("sha256:")) {
        let path = untagged(path).0;
        return Ok(NamedContext::Image(path.into(), Some(Choice::Digest(digest.parse()?))));
    }
    let (path, tag) = untagged(rest);
    Ok(NamedContext::Image(path.into(), tag.map(|tag| Choice::Tag(tag.to_owned()))))
}

fn untagged(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') && !Path::new(text).exists() => (path, Some(tag)),
        _ => (text, None),
    }
}

impl Choice {
    pub(crate) fn selection(choice: Option<&Self>, platform: &Platform) -> Selection {
        let image = choice.map(|choice| match choice {
            Self::Tag(tag) => ImageChoice::Tag(tag.clone()),
            Self::Digest(digest) => ImageChoice::Digest(*digest),
        });
        Selection { image, platform: platform.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_context() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest = format!("sha256:{hex}");
        let tag = |tag: &str| Some(Choice::Tag(tag.to_owned()));
        let table = [
            ("oci-layout:///a/b".to_owned(), "/a/b", None),
            ("oci-layout://a/b:1.0".to_owned(), "a/b", tag("1.0")),
            ("docker-archive:///x.tar:v".to_owned(), "/x.tar", tag("v")),
            ("oci-archive://d:1/x.tar".to_owned(), "d:1/x.tar", None),
            (
                format!("oci-layout:///a/b@{digest}"),
                "/a/b",
                Some(Choice::Digest(digest.parse().unwrap())),
            ),
            (
                format!("oci-layout:///a/b:t@{digest}"),
                "/a/b",
                Some(Choice::Digest(digest.parse().unwrap())),
            ),
        ];
        for (spec, path, choice) in table {
            let parsed = NamedContext::parse("n", &spec).unwrap();
            assert_eq!(parsed, NamedContext::Image(path.into(), choice), "{spec}");
        }
        assert_eq!(NamedContext::parse("n", "/").unwrap(), NamedContext::Directory("/".into()));
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        for (spec, reason) in [
            ("docker-image://Debian", "not an image reference"),
            ("https://example.org/x.git", "nothing is fetched in this version"),
            ("/does/not/exist", "No such file"),
            ("oci-layout:///a@sha256:12", "is not a digest"),
        ] {
            let message = NamedContext::parse("n", spec).unwrap_err().to_string();
            assert!(message.contains(reason), "{message}");
        }
    }
}
