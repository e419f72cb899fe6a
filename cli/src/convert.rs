//! `lithify convert`: a finished image becomes an artifact, as by a Dockerfile that says `FROM IMAGE`.

use crate::args::{Arguments, Command, ConvertArgs};
use crate::error::CliError;
use crate::exit::Exit;
use clap::Parser;
use lithify_image::Reference;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The name under which the Dockerfile knows an image that is a file.
const FILE_IMAGE: &str = "image";

/// Converts an image from a registry, a layout or an archive.
pub(crate) fn convert(args: &ConvertArgs) -> Result<Exit, CliError> {
    let folder = tempfile::tempdir().map_err(CliError::build)?;
    let source = Source::of(&args.image)?;
    let dockerfile = format!("FROM {}\n", source.base());
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).map_err(CliError::build)?;
    let mut words: Vec<OsString> = vec!["lithify".into(), "build".into(), "--output".into()];
    words.push(args.output.clone().unwrap_or_else(|| source.output()).into_os_string());
    if let Some(context) = source.context() {
        words.extend(["--build-context".into(), context]);
    }
    words.extend(args.tags.iter().flat_map(|tag| ["--tag".into(), tag.to_string().into()]));
    words.push(folder.path().into());
    let Command::Build(mut build) =
        Arguments::try_parse_from(words).map_err(CliError::usage)?.command
    else {
        return Err(CliError::own("the words of a build were read as another command"));
    };
    build.memory = args.memory;
    build.compress = args.compress;
    build.boot_files.clone_from(&args.boot_files);
    build.registry = args.registry.clone();
    build.pull = args.pull;
    build.progress = args.show.progress;
    build.quiet = args.show.quiet;
    crate::build::build(&build)
}

enum Source {
    /// A layout or archive, perhaps with a tag or digest, as `--build-context` takes it.
    File(String),
    Name(Reference),
}

impl Source {
    /// A file that exists is one, also with a tag behind it; anything else is a name.
    fn of(written: &str) -> Result<Self, CliError> {
        let is_file = written.contains("://") || Path::new(written).exists();
        let untagged = written.rsplit_once([':', '@']).map(|(path, _)| path);
        if is_file || untagged.is_some_and(|path| Path::new(path).exists()) {
            let scheme = if written.contains("://") { "" } else { "oci-archive://" };
            return Ok(Self::File(format!("{scheme}{written}")));
        }
        written.parse().map(Self::Name).map_err(|error| {
            CliError::build(format!("{written}: no such file, and not a name: {error}"))
        })
    }

    fn base(&self) -> String {
        match self {
            Self::File(_) => FILE_IMAGE.to_owned(),
            Self::Name(reference) => reference.to_string(),
        }
    }

    fn context(&self) -> Option<OsString> {
        match self {
            Self::File(spec) => Some(format!("{FILE_IMAGE}={spec}").into()),
            Self::Name(_) => None,
        }
    }

    fn output(&self) -> PathBuf {
        let name = match self {
            Self::File(spec) => {
                let path = spec.rsplit("://").next().unwrap_or_default();
                let stem = Path::new(path).file_stem().unwrap_or_default();
                stem.to_string_lossy().split([':', '@']).next().unwrap_or_default().to_owned()
            }
            Self::Name(reference) => {
                reference.repository().rsplit('/').next().unwrap_or_default().to_owned()
            }
        };
        let name = if name.is_empty() { FILE_IMAGE.to_owned() } else { name };
        PathBuf::from(format!("{name}.wasm"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_file_or_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("some.tar");
        std::fs::write(&archive, "").unwrap();
        let archive = archive.display().to_string();
        for (written, base, context, output) in [
            (
                archive.clone(),
                FILE_IMAGE,
                Some(format!("image=oci-archive://{archive}")),
                "some.wasm",
            ),
            (
                format!("{archive}:v1"),
                FILE_IMAGE,
                Some(format!("image=oci-archive://{archive}:v1")),
                "some.wasm",
            ),
            (
                "oci-layout://a/b:1".into(),
                FILE_IMAGE,
                Some("image=oci-layout://a/b:1".into()),
                "b.wasm",
            ),
            ("debian:trixie".into(), "docker.io/library/debian:trixie", None, "debian.wasm"),
        ] {
            let source = Source::of(&written).unwrap();
            assert_eq!(source.base(), base);
            assert_eq!(source.context(), context.map(OsString::from));
            assert_eq!(source.output(), Path::new(output));
        }
        assert!(Source::of("No Such").is_err());
    }
}
