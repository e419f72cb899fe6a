//! Where a build's files come from: a folder, or standard input, which carries a tar or a Dockerfile.

use crate::args::BuildArgs;
use crate::error::CliError;
use lithify_builder::{DockerfileInput, read_archive, unpack};
use lithify_image::{Blob, Store};
use lithify_rootfs::{Content, Tree};
use std::fmt::Display;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A Dockerfile is never larger; the builder has the same limit.
const MAX_DOCKERFILE_BYTES: usize = 8 << 20;

/// The context and the Dockerfile.
pub(crate) struct Input {
    pub(crate) context: PathBuf,
    pub(crate) dockerfile: DockerfileInput,
    /// What came by standard input, unpacked; it goes with this value.
    _unpacked: Option<TempDir>,
}

impl Input {
    /// Both cannot come the same way.
    pub(crate) fn check(args: &BuildArgs) -> Result<(), CliError> {
        if is_stdin(&args.context) && args.file.as_deref().is_some_and(is_stdin) {
            return Err(CliError::usage("context and Dockerfile cannot both be standard input"));
        }
        Ok(())
    }

    /// Finds, or reads from standard input, what the arguments name.
    pub(crate) fn of(args: &BuildArgs, store: &Store) -> Result<Self, CliError> {
        let file_is_stdin = args.file.as_deref().is_some_and(is_stdin);
        match is_stdin(&args.context) {
            true => Self::from_stdin(args.file.as_deref(), store)
                .map_err(|error| error.about("standard input")),
            false => Ok(Self {
                context: args.context.clone(),
                dockerfile: match &args.file {
                    None => DockerfileInput::InContext,
                    Some(_) if file_is_stdin => DockerfileInput::Bytes(read_stdin()?),
                    Some(path) => DockerfileInput::Path(path.clone()),
                },
                _unpacked: None,
            }),
        }
    }

    /// An archive is the context, anything else the Dockerfile of an empty one.
    fn from_stdin(file: Option<&Path>, store: &Store) -> Result<Self, CliError> {
        let failed = |error: &dyn Display| CliError::build(error);
        let dir = TempDir::new_in(store.temporary()).map_err(|error| failed(&error))?;
        let mut spool = tempfile::tempfile_in(store.temporary()).map_err(|error| failed(&error))?;
        let len = io::copy(&mut io::stdin().lock(), &mut spool).map_err(|error| failed(&error))?;
        let content = Content::blob(Blob::whole(spool, len, "standard input".to_owned()));
        let context = dir.path().join("context");
        let archive = read_archive(&content, Path::new("standard input"), store)
            .map_err(|error| failed(&error))?;
        let dockerfile = match archive {
            Some(tree) => unpacked_context(&tree, &context, file)?,
            None if file.is_some() => {
                return Err(CliError::build("it is no archive that could hold the Dockerfile"));
            }
            None => {
                fs::create_dir(&context).map_err(|error| failed(&error))?;
                read_dockerfile(content.reader())?
            }
        };
        let dockerfile = DockerfileInput::Bytes(dockerfile);
        Ok(Self { context, dockerfile, _unpacked: Some(dir) })
    }
}

/// Unpacks the archive. The Dockerfile is read from the archive itself: as a link in the folder it
/// could lead out of it.
fn unpacked_context(tree: &Tree, context: &Path, file: Option<&Path>) -> Result<Vec<u8>, CliError> {
    unpack(tree, context).map_err(CliError::build)?;
    let ignore = context.join(".dockerignore");
    if ignore.is_symlink() {
        fs::remove_file(&ignore).map_err(CliError::build)?;
    }
    let file = file.unwrap_or(Path::new("Dockerfile"));
    let found = tree.read_file(&Path::new("/").join(file), MAX_DOCKERFILE_BYTES);
    found
        .map_err(CliError::build)?
        .ok_or_else(|| CliError::build(format!("the archive has no `{}`", file.display())))
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn read_stdin() -> Result<Vec<u8>, CliError> {
    read_dockerfile(io::stdin().lock()).map_err(|error| error.about("standard input"))
}

/// One byte more than allowed is enough for the builder to refuse it.
fn read_dockerfile(from: impl Read) -> Result<Vec<u8>, CliError> {
    let mut text = Vec::new();
    let limit = MAX_DOCKERFILE_BYTES as u64 + 1;
    from.take(limit).read_to_end(&mut text).map_err(CliError::build)?;
    Ok(text)
}
