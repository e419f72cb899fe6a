//! What can be wrong with an image, its files or the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::{Digest, Platform};

/// Why an image value could not be read, checked or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried, for example `open`.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Reading an image's bytes failed.
    #[error("read {what}: {source}")]
    Read {
        /// Which bytes.
        what: String,
        /// The system's or the decoder's answer.
        source: io::Error,
    },
    /// Writing a layer to its destination failed.
    #[error("write {what}: {source}")]
    Write {
        /// Which bytes.
        what: String,
        /// The destination's answer.
        source: io::Error,
    },
    /// Not a digest.
    #[error("`{0}` is not a digest: expected `sha256:` and 64 lower-case hex digits")]
    InvalidDigest(String),
    /// Not a platform.
    #[error(
        "`{0}` is not a platform: expected `os/architecture[/variant]`, for example `linux/riscv64`"
    )]
    InvalidPlatform(String),
    /// Not an image reference.
    #[error("`{text}` is not an image reference: {reason}")]
    InvalidReference {
        /// The text.
        text: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The bytes are not those that the digest names.
    #[error("{what} has the digest {actual}, expected {expected}: it is damaged or was replaced")]
    DigestMismatch {
        /// Which bytes.
        what: String,
        /// The digest that names them.
        expected: Digest,
        /// The digest that they have.
        actual: Digest,
    },
    /// The bytes are fewer or more than the descriptor says.
    #[error("{what} has {actual} bytes, expected {expected}")]
    SizeMismatch {
        /// Which bytes.
        what: String,
        /// Bytes according to the descriptor.
        expected: u64,
        /// Bytes found.
        actual: u64,
    },
    /// Something is larger than its cap.
    #[error("{what} exceeds the limit of {limit} {unit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The cap.
        limit: u64,
        /// What the cap counts.
        unit: &'static str,
    },
    /// A JSON document does not have the expected shape.
    #[error("{what}: {source}")]
    Json {
        /// Which document.
        what: String,
        /// Where and why it fails.
        source: serde_json::Error,
    },
    /// A document has a kind that is not supported.
    #[error("{what} has the media type `{media_type}`, expected {expected}")]
    MediaType {
        /// Which document or layer.
        what: String,
        /// Its media type.
        media_type: String,
        /// What would be supported.
        expected: &'static str,
    },
    /// The path is no image.
    #[error("{} is neither an OCI layout, an OCI archive nor a docker archive: {reason}", path.display())]
    NotAnImage {
        /// The path.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// The image holds no such tag or digest.
    #[error("{} has no image `{wanted}`; it has {}", path.display(), list(available))]
    NoSuchImage {
        /// The layout or archive.
        path: PathBuf,
        /// The tag or digest asked for.
        wanted: String,
        /// The names that exist.
        available: Vec<String>,
    },
    /// Several images, and none was chosen.
    #[error("{} holds several images, name one of {}", path.display(), list(available))]
    AmbiguousImage {
        /// The layout or archive.
        path: PathBuf,
        /// The names that exist.
        available: Vec<String>,
    },
    /// The image is not made for the wanted platform.
    #[error("{what} has no image for {wanted}; it has {}", list(available))]
    NoSuchPlatform {
        /// The layout or archive.
        what: String,
        /// The platform asked for.
        wanted: Platform,
        /// The platforms that exist.
        available: Vec<String>,
    },
    /// A blob that a manifest names is not there.
    #[error("{} has no blob {digest}", path.display())]
    MissingBlob {
        /// The layout, archive or store.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// Manifest and config disagree.
    #[error("{what} has {layers} layers but its config names {diff_ids}")]
    LayerCount {
        /// The image.
        what: String,
        /// Layers in the manifest.
        layers: usize,
        /// Layers in the config.
        diff_ids: usize,
    },
    /// A tar archive is malformed.
    #[error("{what}: tar header at byte {offset}: {reason}")]
    Tar {
        /// The archive or layer.
        what: String,
        /// Where the header starts, in bytes.
        offset: u64,
        /// The rule that it breaks.
        reason: String,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn read(what: &str) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_owned();
        move |source| Self::Read { what, source }
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}
