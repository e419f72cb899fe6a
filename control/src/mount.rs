//! File systems for a container: where they are on the disk, where they appear.

use crate::wire::{Decoder, Encoder, WireError};

/// A squashfs on the machine's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// First byte, a multiple of 512.
    pub offset: u64,
    /// Bytes, a multiple of 512.
    pub len: u64,
}

impl Volume {
    pub(crate) fn encode(&self, to: &mut Encoder) {
        to.u64(self.offset).u64(self.len);
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<Self, WireError> {
        Ok(Self { offset: from.u64()?, len: from.u64()? })
    }
}

/// Something that appears in the container while it runs and is no part of its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Path in the container, absolute. What is missing of it is made, and vanishes again from what
    /// is exported.
    pub target: Vec<u8>,
    /// What appears there.
    pub kind: MountKind,
}

/// Content of a [`Mount`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// The files of a volume.
    Bind {
        /// Its number in the request.
        volume: u32,
        /// A file at the volume's root in place of the root itself.
        file: Option<Vec<u8>>,
        /// Changes are kept in memory and then lost; otherwise they are refused.
        writable: bool,
    },
    /// A directory whose changes are exported.
    Cache {
        /// The volume with what it holds so far.
        volume: u32,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// Bytes that fit into it; `None` is half of the memory.
        size: Option<u64>,
    },
    /// A directory or file of the host's, behind the 9p device. The only kind without a volume that may be
    /// asked of any guest; its target may be relative to the working directory.
    Host {
        /// Its name in the directory that the device serves.
        export: u32,
        /// Changes are refused.
        read_only: bool,
    },
    /// A file in memory.
    File {
        /// Its bytes.
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A stream socket whose connections go to a TCP port of the network's gateway. Only with a
    /// network.
    Socket {
        /// The gateway's port.
        port: u16,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

const BIND: u8 = 1;
const CACHE: u8 = 2;
const TMPFS: u8 = 3;
const FILE: u8 = 4;
const HOST: u8 = 5;
const SOCKET: u8 = 6;

impl Mount {
    pub(crate) fn encode(&self, to: &mut Encoder) {
        to.bytes(&self.target);
        match &self.kind {
            MountKind::Bind { volume, file, writable } => {
                to.u8(BIND).u32(*volume).option(file.as_deref()).bool(*writable);
            }
            MountKind::Cache { volume } => {
                to.u8(CACHE).u32(*volume);
            }
            MountKind::Tmpfs { size } => {
                to.u8(TMPFS).bool(size.is_some()).u64(size.unwrap_or_default());
            }
            MountKind::Host { export, read_only } => {
                to.u8(HOST).u32(*export).bool(*read_only);
            }
            MountKind::File { content, mode, uid, gid } => {
                to.u8(FILE).bytes(content).u32(*mode).u32(*uid).u32(*gid);
            }
            MountKind::Socket { port, mode, uid, gid } => {
                to.u8(SOCKET).array(&port.to_le_bytes()).u32(*mode).u32(*uid).u32(*gid);
            }
        }
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<Self, WireError> {
        let target = from.bytes()?;
        let kind = match from.u8()? {
            BIND => MountKind::Bind {
                volume: from.u32()?,
                file: from.option()?,
                writable: from.bool()?,
            },
            CACHE => MountKind::Cache { volume: from.u32()? },
            TMPFS => {
                let (is_limited, size) = (from.bool()?, from.u64()?);
                MountKind::Tmpfs { size: is_limited.then_some(size) }
            }
            HOST => MountKind::Host { export: from.u32()?, read_only: from.bool()? },
            FILE => MountKind::File {
                content: from.bytes()?,
                mode: from.u32()?,
                uid: from.u32()?,
                gid: from.u32()?,
            },
            SOCKET => MountKind::Socket {
                port: u16::from_le_bytes(from.array()?),
                mode: from.u32()?,
                uid: from.u32()?,
                gid: from.u32()?,
            },
            tag => return Err(WireError::UnknownTag(tag)),
        };
        Ok(Self { target, kind })
    }
}
