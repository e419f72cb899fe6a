//! `--output`: what to make and where to put it.

use crate::error::CliError;
use lithify_builder::{Built, unpack, write_tar};
use lithify_image::{ArchiveFormat, Digest, ImageArchive, Store};
use std::fmt::Display;
use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tempfile::NamedTempFile;

const BUFFER: usize = 1 << 20;
/// Less what the umask takes.
const FILE_MODE: u32 = 0o666;

/// What to make of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputKind {
    /// The artifact.
    Wasm,
    /// The image as an OCI archive.
    Oci,
    /// The image as `docker load` takes it.
    Docker,
    /// The image's files in one tar.
    Tar,
    /// The image's files in a folder.
    Local,
}

/// Where to put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// A file or folder.
    Path(PathBuf),
}

/// One `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) kind: OutputKind,
    /// `None` names the file after the image.
    pub(crate) dest: Option<Destination>,
}

impl FromStr for Output {
    type Err = String;

    /// `type=KIND[,dest=PATH]`, or a path whose kind shows: `-` and `*.tar` are tars and an existing
    /// folder receives files, as in docker; everything else is an artifact.
    fn from_str(text: &str) -> Result<Self, String> {
        if !text.split(',').all(|field| field.contains('=')) {
            return Ok(Self::at_path(text));
        }
        let (mut kind, mut dest) = (None, None);
        for (name, value) in text.split(',').filter_map(|field| field.split_once('=')) {
            match name {
                "type" => kind = Some(kind_named(value)?),
                "dest" if value == "-" => dest = Some(Destination::Stdout),
                "dest" if !value.is_empty() => dest = Some(Destination::Path(value.into())),
                "dest" => return Err("dest is empty".to_owned()),
                _ => return Err(format!("unknown field `{name}`, expected type or dest")),
            }
        }
        let kind = kind.ok_or("expected type=wasm, oci, docker, tar or local")?;
        match (kind, &dest) {
            (OutputKind::Local, None) => Err("type=local needs a folder: dest=FOLDER".to_owned()),
            (OutputKind::Local, Some(Destination::Stdout)) => {
                Err("type=local cannot go to standard output".to_owned())
            }
            _ => Ok(Self { kind, dest }),
        }
    }
}

fn kind_named(name: &str) -> Result<OutputKind, String> {
    Ok(match name {
        "wasm" => OutputKind::Wasm,
        "oci" => OutputKind::Oci,
        "docker" => OutputKind::Docker,
        "tar" => OutputKind::Tar,
        "local" => OutputKind::Local,
        "image" | "registry" => {
            return Err(format!("type={name}: name the result with -t, then `lithify push` it"));
        }
        _ => {
            return Err(format!("unknown type `{name}`, expected wasm, oci, docker, tar or local"));
        }
    })
}

impl Output {
    fn at_path(text: &str) -> Self {
        let path = Path::new(text);
        let is_tar = path.extension().is_some_and(|extension| extension == "tar");
        let kind = match text {
            "-" => OutputKind::Tar,
            _ if is_tar => OutputKind::Tar,
            _ if text.ends_with('/') || path.is_dir() => OutputKind::Local,
            _ => OutputKind::Wasm,
        };
        let dest = if text == "-" { Destination::Stdout } else { Destination::Path(path.into()) };
        Self { kind, dest: Some(dest) }
    }

    /// The suffix of files that have no name of their own.
    pub(crate) fn suffix(&self) -> &'static str {
        if self.kind == OutputKind::Wasm { "wasm" } else { "tar" }
    }
}

/// What there is to put out.
pub(crate) struct Results<'a> {
    pub(crate) store: &'a Store,
    pub(crate) built: &'a Built,
    pub(crate) image: ImageArchive<'a>,
    pub(crate) artifact: Option<Digest>,
    /// Told about files that a folder cannot hold.
    pub(crate) warn: &'a dyn Fn(&Path),
}

impl Results<'_> {
    /// Puts one output where it belongs: a file whole or not at all.
    pub(crate) fn put(&self, kind: OutputKind, dest: &Destination) -> Result<(), CliError> {
        match dest {
            Destination::Stdout => {
                let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
                self.write(kind, &mut out)
                    .and_then(|()| out.flush().map_err(CliError::build))
                    .map_err(|error| error.about("standard output"))
            }
            Destination::Path(path) if kind == OutputKind::Local => {
                let tree = self.built.tree().map_err(CliError::build)?;
                let skipped = unpack(tree, path);
                let skipped =
                    skipped.map_err(|error| CliError::build(error).about(path.display()))?;
                skipped.iter().for_each(|path| (self.warn)(path));
                Ok(())
            }
            Destination::Path(path) => {
                self.put_file(kind, path).map_err(|error| error.about(path.display()))
            }
        }
    }

    fn put_file(&self, kind: OutputKind, path: &Path) -> Result<(), CliError> {
        let file = new_file_beside(path).map_err(CliError::build)?;
        match (kind, self.artifact) {
            (OutputKind::Wasm, Some(artifact)) => {
                self.store.copy_to(&artifact, file.as_file()).map_err(CliError::build)?;
            }
            _ => {
                let mut out = BufWriter::with_capacity(BUFFER, file.as_file());
                self.write(kind, &mut out)?;
                out.flush().map_err(CliError::build)?;
            }
        }
        file.persist(path).map_err(|error| CliError::build(error.error))?;
        Ok(())
    }

    fn write(&self, kind: OutputKind, out: &mut dyn Write) -> Result<(), CliError> {
        let failed = |error: &dyn Display| CliError::build(error);
        match (kind, self.artifact) {
            (OutputKind::Wasm, Some(artifact)) => {
                let blob = self.store.get(&artifact).map_err(|error| failed(&error))?;
                io::copy(&mut blob.reader(), out).map_err(|error| failed(&error))?;
            }
            (OutputKind::Oci, _) => self.write_image(ArchiveFormat::Oci, out)?,
            (OutputKind::Docker, _) => self.write_image(ArchiveFormat::Docker, out)?,
            (OutputKind::Wasm | OutputKind::Tar | OutputKind::Local, _) => {
                let tree = self.built.tree().map_err(|error| failed(&error))?;
                write_tar(tree, out).map_err(|error| failed(&error))?;
            }
        }
        Ok(())
    }

    fn write_image(&self, format: ArchiveFormat, out: &mut dyn Write) -> Result<(), CliError> {
        self.image.write(format, out).map(|_| ()).map_err(CliError::build)
    }
}

/// A file that gets its name when it is whole.
pub(crate) fn new_file_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    tempfile::Builder::new()
        .prefix(".lithify-")
        .permissions(Permissions::from_mode(FILE_MODE))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_named_by_type_or_by_their_path() {
        let path = |path: &str| Some(Destination::Path(path.into()));
        for (text, kind, dest) in [
            ("app.wasm", OutputKind::Wasm, path("app.wasm")),
            ("app", OutputKind::Wasm, path("app")),
            ("a,b.wasm", OutputKind::Wasm, path("a,b.wasm")),
            ("files.tar", OutputKind::Tar, path("files.tar")),
            ("-", OutputKind::Tar, Some(Destination::Stdout)),
            ("folder/", OutputKind::Local, path("folder/")),
            ("/", OutputKind::Local, path("/")),
            ("type=wasm", OutputKind::Wasm, None),
            ("type=wasm,dest=-", OutputKind::Wasm, Some(Destination::Stdout)),
            ("dest=x.tar,type=oci", OutputKind::Oci, path("x.tar")),
            ("type=docker,dest=a=b", OutputKind::Docker, path("a=b")),
            ("type=tar", OutputKind::Tar, None),
            ("type=local,dest=out", OutputKind::Local, path("out")),
        ] {
            assert_eq!(text.parse(), Ok(Output { kind, dest }), "{text}");
        }
        for (text, expected) in [
            ("type=zip", "unknown type `zip`"),
            ("type=registry", "lithify push"),
            ("dest=x", "expected type="),
            ("type=oci,dest=", "dest is empty"),
            ("type=oci,push=true", "unknown field `push`"),
            ("type=local", "needs a folder"),
            ("type=local,dest=-", "standard output"),
        ] {
            let message = text.parse::<Output>().unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
