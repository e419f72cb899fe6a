//! What can be wrong with layers, trees and their images.

use std::io;
use std::path::{Path, PathBuf};

/// Why a tree could not be built, changed or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer's bytes could not be had.
    #[error(transparent)]
    Image(#[from] lithify_image::Error),
    /// An entry of a layer cannot be applied.
    #[error("{layer}: entry `{}`: {source}", entry.display())]
    Entry {
        /// The layer.
        layer: String,
        /// The entry's name as the layer spells it.
        entry: PathBuf,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// A path leads out of the root.
    #[error("the path `{}` contains `..`", .0.display())]
    DotDot(PathBuf),
    /// A path has no usable last component.
    #[error("the path `{}` names no entry of a directory", .0.display())]
    NoName(PathBuf),
    /// A whiteout that hides no possible name.
    #[error("the whiteout `{}` names no file", .0.display())]
    BadWhiteout(PathBuf),
    /// Something is larger than its cap.
    #[error("{what} exceeds the limit of {limit} {unit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The cap.
        limit: usize,
        /// What the cap counts.
        unit: &'static str,
    },
    /// A path goes through something that is no directory.
    #[error("`{}` is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// A hard link to a directory.
    #[error("`{}` is a directory and cannot be hard linked", .0.display())]
    LinkToDirectory(PathBuf),
    /// The path does not exist.
    #[error("`{}` does not exist", .0.display())]
    NotFound(PathBuf),
    /// The path is no regular file.
    #[error("`{}` is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Symbolic links lead in a circle.
    #[error("`{}` leads through too many symbolic links", .0.display())]
    SymlinkLoop(PathBuf),
    /// A device number that Linux cannot have.
    #[error("the device number {major}:{minor} is out of range")]
    DeviceNumber {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A socket was to be put into a layer; tar has no entry for it.
    #[error("`{}` is a socket, which a layer cannot hold", .0.display())]
    SocketInLayer(PathBuf),
    /// A file's bytes could not be read.
    #[error("read the content of `{}`: {source}", path.display())]
    Content {
        /// The file in the tree.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The output could not be written.
    #[error("write {what}: {source}")]
    Write {
        /// The output.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn content(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Content { path, source }
    }

    pub(crate) fn write(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { what, source }
    }
}
