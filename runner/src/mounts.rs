//! Directories and files of the host that a guest may use.

use lithify_hostdir::{Errno, HostDir};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A directory or file of the host's and where it appears in the container.
#[derive(Debug)]
pub struct HostMount {
    /// A file's own is the empty path.
    pub(crate) directory: HostDir,
    pub(crate) target: Vec<u8>,
    pub(crate) read_only: bool,
}

/// What is wrong with a mount.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// It is not of the form that the option has.
    #[error("mount `{written}`: {expected}")]
    Syntax {
        /// What the user wrote.
        written: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The host's directory or file cannot be opened.
    #[error("mount `{written}`: {}: {source}", path.display())]
    Open {
        /// What the user wrote.
        written: String,
        /// The host's directory or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is a device, a pipe or a socket.
    #[error("mount `{written}`: {}: expected a directory or a regular file", path.display())]
    Special {
        /// What the user wrote.
        written: String,
        /// What is of another kind.
        path: PathBuf,
    },
}

/// The parts of a mount as it was written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Written<'a> {
    source: &'a [u8],
    target: &'a [u8],
    read_only: bool,
}

const VOLUME: &str = "expected HOST:GUEST[:ro], as in ./data:/data";
const MOUNT: &str = "expected type=bind,source=HOST,target=GUEST[,readonly]";

impl HostMount {
    /// Opens what docker's `--volume` says: `HOST:GUEST[:ro]`.
    ///
    /// # Errors
    /// If it says something else, or the host's directory or file cannot be opened.
    pub fn volume(written: &OsStr) -> Result<Self, MountError> {
        Self::open(written, volume(written.as_bytes()))
    }

    /// Opens what docker's `--mount` says: `type=bind,source=HOST,target=GUEST[,readonly]`.
    ///
    /// # Errors
    /// As [`volume`](Self::volume).
    pub fn mount(written: &OsStr) -> Result<Self, MountError> {
        Self::open(written, mount(written.as_bytes()))
    }

    fn open(text: &OsStr, written: Result<Written<'_>, &'static str>) -> Result<Self, MountError> {
        let text = text.to_string_lossy().into_owned();
        let Written { source, target, read_only } = match written.and_then(Written::check) {
            Ok(written) => written,
            Err(expected) => return Err(MountError::Syntax { written: text, expected }),
        };
        let path = PathBuf::from(OsString::from_vec(source.to_vec()));
        let opened = HostDir::open(&path).or_else(|error| match error {
            Errno::NOTDIR => HostDir::open_single(&path),
            other => Err(other),
        });
        match opened {
            Ok(directory) => Ok(Self { directory, target: target.to_vec(), read_only }),
            Err(_) if is_special(&path) => Err(MountError::Special { written: text, path }),
            Err(error) => Err(MountError::Open { written: text, path, source: error.into() }),
        }
    }
}

fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_dir() && !metadata.is_file())
}

impl Written<'_> {
    fn check(self) -> Result<Self, &'static str> {
        let names = self.target.split(|byte| *byte == b'/');
        match names.filter(|name| !matches!(*name, b"" | b"." | b"..")).count() {
            _ if !self.target.starts_with(b"/") => Err("the guest's path must start with /"),
            0 => Err("the guest's root cannot be replaced"),
            _ => Ok(self),
        }
    }
}

fn volume(text: &[u8]) -> Result<Written<'_>, &'static str> {
    let mut parts = text.split(|byte| *byte == b':');
    let (source, target) = (parts.next().unwrap_or_default(), parts.next().ok_or(VOLUME)?);
    let read_only = match parts.next() {
        None | Some(b"rw") => false,
        Some(b"ro") => true,
        Some(_) => return Err(VOLUME),
    };
    if source.is_empty() || parts.next().is_some() {
        return Err(VOLUME);
    }
    Ok(Written { source, target, read_only })
}

fn mount(text: &[u8]) -> Result<Written<'_>, &'static str> {
    let mut written = Written::default();
    let mut is_bind = false;
    for field in text.split(|byte| *byte == b',') {
        let mut parts = field.splitn(2, |byte| *byte == b'=');
        match (parts.next().unwrap_or_default(), parts.next()) {
            (b"type", Some(b"bind")) => is_bind = true,
            (b"source" | b"src", Some(source)) => written.source = source,
            (b"target" | b"destination" | b"dst", Some(target)) => written.target = target,
            (b"readonly" | b"ro", None | Some(b"true" | b"1")) => written.read_only = true,
            (b"readonly" | b"ro", Some(b"false" | b"0")) => written.read_only = false,
            _ => return Err(MOUNT),
        }
    }
    if is_bind && !written.source.is_empty() { Ok(written) } else { Err(MOUNT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written<'a>(source: &'a str, target: &'a str, read_only: bool) -> Written<'a> {
        Written { source: source.as_bytes(), target: target.as_bytes(), read_only }
    }

    #[test]
    fn volumes_are_docker_s() {
        for (text, expected) in [
            ("a:/b", written("a", "/b", false)),
            ("/a/b:/c/d:ro", written("/a/b", "/c/d", true)),
            (".:/c:rw", written(".", "/c", false)),
        ] {
            assert_eq!(volume(text.as_bytes()), Ok(expected), "{text}");
        }
        for text in ["", "a", ":/b", "a:/b:rx", "a:/b:ro:", "a:/b:"] {
            assert_eq!(volume(text.as_bytes()), Err(VOLUME), "{text}");
        }
    }

    #[test]
    fn mounts_are_docker_s() {
        let read_only = written("a", "/b", true);
        assert_eq!(mount(b"type=bind,source=a,target=/b,readonly"), Ok(read_only));
        assert_eq!(mount(b"type=bind,dst=/b,src=a"), Ok(written("a", "/b", false)));
        assert_eq!(mount(b"ro=false,type=bind,dst=/b,src=a"), Ok(written("a", "/b", false)));
        for text in ["", "type=tmpfs,target=/b", "source=a,target=/b", "type=bind,target=/b", "x=y"]
        {
            assert_eq!(mount(text.as_bytes()), Err(MOUNT), "{text}");
        }
    }

    #[test]
    fn targets_are_absolute_and_not_the_root() {
        for target in ["b", "./b", "", "/", "//", "/.", "/.."] {
            let text = OsString::from(format!(".:{target}"));
            let error = HostMount::volume(&text).unwrap_err();
            assert!(matches!(error, MountError::Syntax { .. }), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_mounted_is_named() {
        for (text, expected) in [
            ("/no/such:/b", "/no/such: No such file or directory"),
            ("/etc/passwd/x:/b", "/etc/passwd/x: Not a directory"),
            ("/dev/null:/b", "/dev/null: expected a directory or a regular file"),
        ] {
            let error = HostMount::volume(OsStr::new(text)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
