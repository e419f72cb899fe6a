//! What a tree is made of.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use lithify_image::{Blob, DeviceNumber, TarEntry, TarKind};

use crate::limits::{
    MAX_DEVICE_MAJOR, MAX_DEVICE_MINOR, MAX_PATH_BYTES, MAX_XATTR_NAME_BYTES, MAX_XATTR_VALUE_BYTES,
};
use crate::{Content, Error};

/// Owner, permissions, time and extended attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Permissions, setuid, setgid and sticky bits: the low 12 bits of `st_mode`.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in seconds since the epoch, as wide as squashfs stores it.
    pub mtime: u32,
    /// Extended attributes by full name, for example `security.capability`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Metadata {
    /// `mode`, owned by root, at the epoch, without extended attributes.
    pub fn root_owned(mode: u16) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new() }
    }

    fn from_tar(entry: &TarEntry) -> Self {
        Self {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: u32::try_from(entry.mtime.max(0)).unwrap_or(u32::MAX),
            xattrs: entry.xattrs.iter().cloned().collect(),
        }
    }

    /// Mode 0755, owned by root: what directories are that nobody described.
    pub fn dir() -> Self {
        Self::root_owned(0o755)
    }

    /// Mode 0644, owned by root.
    pub fn file() -> Self {
        Self::root_owned(0o644)
    }
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory. Its entries belong to the tree.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link with this target.
    Symlink(PathBuf),
    /// A device, fifo or socket.
    Special(Special),
}

/// A node that is neither a directory, a regular file nor a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A named pipe.
    Fifo,
    /// A Unix socket. Tar has no such entry; it only comes from a caller.
    Socket,
}

impl Special {
    fn validate(self) -> Result<(), Error> {
        match self {
            Self::CharDevice(DeviceNumber { major, minor })
            | Self::BlockDevice(DeviceNumber { major, minor })
                if major > MAX_DEVICE_MAJOR || minor > MAX_DEVICE_MINOR =>
            {
                Err(Error::DeviceNumber { major, minor })
            }
            _ => Ok(()),
        }
    }
}

impl Kind {
    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Directory)
    }
}

/// A file system object. Hard links are several names of one node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Owner, permissions and the like.
    pub meta: Metadata,
    /// What it is.
    pub kind: Kind,
}

impl Node {
    /// A directory.
    pub fn directory(meta: Metadata) -> Self {
        Self { meta, kind: Kind::Directory }
    }

    /// A regular file.
    pub fn file(meta: Metadata, content: Content) -> Self {
        Self { meta, kind: Kind::File(content) }
    }

    /// A symbolic link owned by root.
    pub fn symlink(target: impl Into<PathBuf>) -> Self {
        Self { meta: Metadata::root_owned(0o777), kind: Kind::Symlink(target.into()) }
    }

    /// Checks the caps, so that everything downstream can rely on them.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        self.meta.xattrs.iter().try_for_each(|(name, value)| {
            check_len("an extended attribute's name", name.len(), MAX_XATTR_NAME_BYTES)?;
            check_len("an extended attribute's value", value.len(), MAX_XATTR_VALUE_BYTES)
        })?;
        match &self.kind {
            Kind::Symlink(target) => {
                let len = target.as_os_str().as_bytes().len();
                check_len("a symbolic link's target", len, MAX_PATH_BYTES - 1)
            }
            Kind::Special(special) => special.validate(),
            _ => Ok(()),
        }
    }
}

/// What an entry of a tar archive adds to a tree.
#[derive(Clone, Debug)]
pub enum Addition {
    /// A node of its own.
    Node(Node),
    /// A further name of what is at this path, as the archive spells it.
    HardLink(PathBuf),
}

impl Addition {
    /// What `entry` of `archive` says. File data stays where it is.
    pub fn from_tar(archive: &Blob, entry: &TarEntry) -> Self {
        let kind = match &entry.kind {
            TarKind::HardLink(target) => {
                return Self::HardLink(OsStr::from_bytes(target).into());
            }
            TarKind::File(data) => Kind::File(Content::in_tar(archive, data.clone())),
            TarKind::Symlink(target) => Kind::Symlink(OsStr::from_bytes(target).into()),
            TarKind::Directory => Kind::Directory,
            TarKind::Fifo => Kind::Special(Special::Fifo),
            TarKind::CharDevice(number) => Kind::Special(Special::CharDevice(*number)),
            TarKind::BlockDevice(number) => Kind::Special(Special::BlockDevice(*number)),
        };
        Self::Node(Node { meta: Metadata::from_tar(entry), kind })
    }
}

pub(crate) fn check_len(what: &str, len: usize, limit: usize) -> Result<(), Error> {
    if len > limit {
        return Err(Error::TooLarge { what: what.to_owned(), limit, unit: "bytes" });
    }
    Ok(())
}
