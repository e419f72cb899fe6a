//! What can go wrong between here and a registry.

use std::path::{Path, PathBuf};

use lithify_image::Digest;

/// An error of this crate. URLs in messages have no query: those of redirects carry signatures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection, or it broke more often than retries allow.
    #[error("{url}: {source}")]
    Transport {
        /// What was asked for.
        url: String,
        /// What happened.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The transfer came to a halt.
    #[error("{url}: stalled for {seconds} s")]
    Stalled {
        /// What was asked for.
        url: String,
        /// How long hardly anything came.
        seconds: u64,
    },
    /// The connection ended early, again and again.
    #[error("{url}: cut off after {received} of {size} bytes")]
    CutOff {
        /// What was asked for.
        url: String,
        /// Bytes that arrived.
        received: u64,
        /// Bytes that were promised.
        size: u64,
    },
    /// Credentials are missing or wrong.
    #[error("{registry}: access to `{subject}` denied{detail}\nhint: lithify login {registry}")]
    Denied {
        /// The registry.
        registry: String,
        /// The repository, or what else was asked for.
        subject: String,
        /// The registry's words, after a separator, or nothing.
        detail: String,
    },
    /// There is no such manifest, repository or blob.
    #[error("{what} not found{detail}")]
    NotFound {
        /// What was asked for.
        what: String,
        /// The registry's words or near names, after a separator, or nothing.
        detail: String,
    },
    /// Any other status.
    #[error("{method} {url}: {status}{detail}")]
    Status {
        /// HTTP method.
        method: String,
        /// What was asked for.
        url: String,
        /// Status code and its name.
        status: String,
        /// The registry's words, after a separator, or nothing.
        detail: String,
    },
    /// A redirect that is not followed.
    #[error("{url}: redirected to {target}: {reason}")]
    Redirect {
        /// What was asked for.
        url: String,
        /// Where it leads.
        target: String,
        /// Why not.
        reason: &'static str,
    },
    /// A reply that the distribution specification does not allow.
    #[error("{url}: {reason}")]
    Protocol {
        /// What was asked for.
        url: String,
        /// What is wrong with the reply.
        reason: String,
    },
    /// The challenge names a token service to which credentials are not sent.
    #[error(
        "{registry}: its token service {realm} is not of the same site, credentials are not sent there"
    )]
    ForeignRealm {
        /// The registry.
        registry: String,
        /// The token service's URL.
        realm: String,
    },
    /// Something is over a cap.
    #[error("{what}: more than {limit} {unit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The cap.
        limit: u64,
        /// What the cap counts.
        unit: &'static str,
    },
    /// The bytes are not those that were asked for.
    #[error("{what}: expected {expected}, received {found}")]
    DigestMismatch {
        /// What was asked for.
        what: String,
        /// Its digest.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// There are more or fewer bytes than the descriptor says.
    #[error("{what}: expected {expected} bytes, received {found}")]
    SizeMismatch {
        /// What was asked for.
        what: String,
        /// Its size in bytes.
        expected: u64,
        /// How many bytes came, or were announced.
        found: u64,
    },
    /// A document that is not what its place demands.
    #[error("{what}: {reason}")]
    Document {
        /// Which one.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No image for the wanted platform.
    #[error("{what}: no image for {wanted}, only for {}", list(available))]
    NoSuchPlatform {
        /// The index.
        what: String,
        /// The platform asked for.
        wanted: String,
        /// What there is.
        available: Vec<String>,
    },
    /// A file with credentials or certificates cannot be used.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A credential helper failed.
    #[error("credential helper {name}: {reason}")]
    Helper {
        /// The helper's program.
        name: String,
        /// What went wrong.
        reason: String,
    },
    /// The user ended it.
    #[error("canceled")]
    Canceled,
    /// The local store failed.
    #[error(transparent)]
    Image(Box<lithify_image::Error>),
}

fn list(available: &[String]) -> String {
    if available.is_empty() { "none".to_owned() } else { available.join(", ") }
}

impl From<lithify_image::Error> for Error {
    fn from(error: lithify_image::Error) -> Self {
        Self::Image(Box::new(error))
    }
}

impl Error {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an error ends here, its owner has no more use for it"
    )]
    pub(crate) fn config(path: &Path, reason: impl ToString) -> Self {
        Self::Config { path: path.to_owned(), reason: reason.to_string() }
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "an error ends here, its owner has no more use for it"
    )]
    pub(crate) fn document(what: &str, reason: impl ToString) -> Self {
        Self::Document { what: what.to_owned(), reason: reason.to_string() }
    }

    /// Whether the same request may succeed a little later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Stalled { .. } | Self::CutOff { .. } => true,
            Self::Transport { source, .. } => is_transient(source),
            _ => false,
        }
    }
}

/// What breaks a connection that there was, as opposed to what keeps one from being made.
fn is_transient(error: &ureq::Error) -> bool {
    use std::io::ErrorKind as Kind;
    match error {
        ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed | ureq::Error::BodyStalled => true,
        ureq::Error::Io(error) => matches!(
            error.kind(),
            Kind::UnexpectedEof
                | Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::BrokenPipe
                | Kind::TimedOut
                | Kind::WouldBlock
                | Kind::Interrupted
        ),
        _ => false,
    }
}

/// A registry's text is hostile: escapes keep control characters off the terminal.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(crate::limits::MAX_SHOWN).flat_map(char::escape_debug).collect()
}
