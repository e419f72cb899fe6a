//! Failures of init itself: what was attempted and what the kernel answered.

use lithify_control::wire::WireError;
use rustix::io::Errno;

/// Why init cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A system call failed.
    #[error("{action}: {}", reason(*errno))]
    Os {
        /// What was attempted, with its path.
        action: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The host offers no console port of this name.
    #[error("no virtio port named {0} with its host side open")]
    NoPort(&'static str),
    /// The host's bytes on the control port are not frames.
    #[error("control port: {0}")]
    Control(#[from] WireError),
    /// The disk does not hold what the request says.
    #[error("the disk has {len} bytes, {wanted} were expected")]
    DiskTooSmall {
        /// Its length.
        len: u64,
        /// The end of its last volume.
        wanted: u64,
    },
    /// The host closed the control port while init needed it.
    #[error("control port: closed by the host")]
    ControlClosed,
    /// The container left something that an OCI layer cannot express.
    #[error("{path} cannot be in a layer: {why}")]
    NotForLayers {
        /// As the container sees it.
        path: String,
        /// One clause.
        why: &'static str,
    },
}

/// Says what was attempted when a system call fails.
pub(crate) trait Context<T> {
    /// Turns the error number into an [`Error`] that starts with `action`.
    fn during(self, action: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Context<T> for Result<T, Errno> {
    fn during(self, action: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|errno| Error::Os { action: action(), errno })
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn during(self, action: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| errno(&error)).during(action)
    }
}

/// The error number inside `error`.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// The system's text for `errno` as the middle of a sentence: lower case, without the number.
pub(crate) fn reason(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_says_what_and_why() {
        let failed: Result<(), _> = Err(Errno::NOENT).during(|| "open /dev/vda".to_owned());
        assert_eq!(failed.unwrap_err().to_string(), "open /dev/vda: no such file or directory");
    }
}
