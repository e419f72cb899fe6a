//! What a build made, for others: its files as a tar or in a folder.

mod local;
mod tar;

use std::path::{Path, PathBuf};

pub use local::unpack;
pub use tar::write_tar;

/// Why files could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[error("{action} `{}`: {source}", path.display())]
pub struct UnpackError {
    action: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

impl UnpackError {
    fn at(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self { action, path: path.to_owned(), source }
    }
}
