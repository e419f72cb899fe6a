//! Where a build's files come from: the context directory and contexts given by name.

mod local;
mod named;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub(crate) use local::LocalContext;
pub(crate) use named::{Choice, IMAGE_SCHEME, NamedContext};

use crate::error::Error;
use crate::ignore::{MAX_IGNORE_BYTES, Matcher};
use crate::options::{DockerfileInput, Options};
use crate::parser::MAX_FILE_BYTES;

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The context does not exist or is no directory.
    #[error("build context {}: {source}", path.display())]
    Root {
        /// The directory given.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The context is a file.
    #[error("build context {} is not a directory", path.display())]
    NotADirectory {
        /// The path given.
        path: PathBuf,
    },
    /// No Dockerfile.
    #[error("Dockerfile {}: {source}", path.display())]
    Dockerfile {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something in the context cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// What cannot be read.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A socket, pipe or device in the context.
    #[error("`{}` is a {kind}: only files, directories and symbolic links can be copied", path.display())]
    SpecialFile {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// Symbolic links that lead to each other.
    #[error("`{}`: too many symbolic links", path.display())]
    LinkLoop {
        /// Where it began.
        path: PathBuf,
    },
    /// More files than a build is expected to have.
    #[error("the context has more than {limit} files; leave some out with a .dockerignore")]
    TooManyFiles {
        /// The cap.
        limit: usize,
    },
    /// Directories nested too deeply.
    #[error("`{}` is nested more than {limit} directories deep", path.display())]
    TooDeep {
        /// The directory.
        path: PathBuf,
        /// The cap.
        limit: usize,
    },
    /// A `.dockerignore` that is too large.
    #[error("{} has more than {MAX_IGNORE_BYTES} bytes", path.display())]
    IgnoreTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A named context of a kind that is not supported.
    #[error(
        "build context {name}={spec}: expected a directory, oci-layout://DIR, oci-archive://FILE or \
         docker-archive://FILE{reason}"
    )]
    Unsupported {
        /// Its name.
        name: String,
        /// What was given.
        spec: String,
        /// Why not this one.
        reason: &'static str,
    },
    /// A tag or digest after the path that is none.
    #[error("build context {name}={spec}: {source}")]
    Selection {
        /// Its name.
        name: String,
        /// What was given.
        spec: String,
        /// What is wrong with it.
        source: Box<lithify_image::Error>,
    },
}

/// A Dockerfile's name for messages, its bytes, and where it lies.
#[derive(Debug)]
pub(crate) struct DockerfileBytes {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    path: Option<PathBuf>,
}

impl DockerfileBytes {
    pub(crate) fn read(options: &Options) -> Result<Self, Error> {
        let (name, path) = match &options.dockerfile {
            DockerfileInput::Bytes(bytes) => {
                let (name, bytes) = ("Dockerfile".to_owned(), bytes.clone());
                return Ok(Self { name, bytes, path: None });
            }
            DockerfileInput::InContext => {
                ("Dockerfile".to_owned(), options.context.join("Dockerfile"))
            }
            DockerfileInput::Path(path) => (path.display().to_string(), path.clone()),
        };
        let failed = |source| ContextError::Dockerfile { path: path.clone(), source };
        let bytes = read_capped(&path, MAX_FILE_BYTES).map_err(failed)?;
        Ok(Self { name, bytes, path: Some(path) })
    }

    /// The patterns beside the Dockerfile, or else those at the root of the context.
    pub(crate) fn ignore(&self, context: &Path) -> Result<Matcher, Error> {
        if let Some(path) = &self.path {
            let mut own = path.clone().into_os_string();
            own.push(".dockerignore");
            let own = PathBuf::from(own);
            if let Some(text) = read_ignore(&own)? {
                return Ok(Matcher::from_file_text(&text, &own.display().to_string())?);
            }
        }
        root_ignore(context)
    }
}

/// The patterns in the `.dockerignore` at the root of a context; none if there is no such file.
pub(crate) fn root_ignore(context: &Path) -> Result<Matcher, Error> {
    match read_ignore(&context.join(".dockerignore"))? {
        Some(text) => Ok(Matcher::from_file_text(&text, ".dockerignore")?),
        None => Ok(Matcher::default()),
    }
}

fn read_ignore(path: &Path) -> Result<Option<String>, ContextError> {
    let failed = |source| ContextError::Io { path: path.to_owned(), source };
    let bytes = match read_capped(path, MAX_IGNORE_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(failed)?,
    };
    if bytes.len() as u64 > MAX_IGNORE_BYTES {
        return Err(ContextError::IgnoreTooLarge { path: path.to_owned() });
    }
    let not_utf8 = |error| failed(io::Error::new(io::ErrorKind::InvalidData, error));
    String::from_utf8(bytes).map(Some).map_err(not_utf8)
}

/// Reads at most one byte more than `limit`: enough to see that there is too much, also of a file
/// that never ends.
fn read_capped(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
