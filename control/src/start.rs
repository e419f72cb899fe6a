//! The request made of a guest at its thaw.

use crate::mount::{Mount, Volume};
use crate::terminal::WindowSize;
use crate::warm::Readiness;
use crate::wire::{Decoder, Encoder, WireError};

/// Fresh host randomness that every thaw hands to the guest's kernel, in bytes.
pub const THAW_ENTROPY_LEN: usize = 64;

/// Everything init needs to renew the machine's identity and start the container process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRequest {
    /// Program and arguments; never empty in a valid request.
    pub argv: Vec<Vec<u8>>,
    /// `NAME=VALUE`, already merged.
    pub env: Vec<Vec<u8>>,
    /// Working directory inside the container; empty means `/`.
    pub cwd: Vec<u8>,
    /// `user[:group]`, looked up in the container's own passwd and group files.
    pub user: Vec<u8>,
    /// Host name of the container's UTS namespace.
    pub hostname: Vec<u8>,
    /// Wall clock at the moment of sending, nanoseconds since the Unix epoch.
    pub realtime_ns: u64,
    /// Credited to the kernel's random pool before anything else runs.
    pub entropy: [u8; THAW_ENTROPY_LEN],
    /// File systems on the disk, the container's root first. Only for a guest that was booted with
    /// [`ROOT_AT_START`](crate::ROOT_AT_START); in others the disk as a whole is the root.
    pub volumes: Vec<Volume>,
    /// What is mounted in the container, in this order. Only with `volumes`, except for
    /// [host directories](crate::MountKind::Host).
    pub mounts: Vec<Mount>,
    /// There is a network beside the loopback interface, set up as [`PLAN`](crate::PLAN) says.
    pub network: bool,
    /// Lines for the container's `/etc/hosts` behind those that name itself. Only without
    /// `volumes`: with them the file is one of `mounts`.
    pub hosts: Vec<u8>,
    /// The container's root keeps all capabilities.
    pub privileged: bool,
    /// Write to [`port::EXPORT`](crate::port::EXPORT) what the container process changed: below
    /// its root if it ended with code 0, then below each [cache](crate::MountKind::Cache) in any
    /// case. A [`Frame::Archived`](crate::Frame::Archived) follows each archive.
    pub export: bool,
    /// The container process gets a terminal of this size in place of three streams; what it
    /// writes goes to the port of standard output.
    pub terminal: Option<WindowSize>,
    /// When the container process is to be made to stand still, so that the machine can be frozen
    /// with it: a [`Frame::Settled`](crate::Frame::Settled) says so.
    pub freeze_at: Option<Readiness>,
    /// Say [`Frame::Executes`](crate::Frame::Executes).
    pub tell_execution: bool,
}

impl StartRequest {
    /// A request for `argv` as root in `/`, without any other wish.
    #[must_use]
    pub fn new(argv: Vec<Vec<u8>>, realtime_ns: u64, entropy: [u8; THAW_ENTROPY_LEN]) -> Self {
        Self {
            argv,
            env: Vec::new(),
            cwd: Vec::new(),
            user: Vec::new(),
            hostname: Vec::new(),
            realtime_ns,
            entropy,
            volumes: Vec::new(),
            mounts: Vec::new(),
            network: false,
            hosts: Vec::new(),
            privileged: false,
            export: false,
            terminal: None,
            freeze_at: None,
            tell_execution: false,
        }
    }

    pub(crate) fn encode(&self, to: &mut Encoder) {
        to.list(&self.argv)
            .list(&self.env)
            .bytes(&self.cwd)
            .bytes(&self.user)
            .bytes(&self.hostname)
            .u64(self.realtime_ns)
            .array(&self.entropy)
            .each(&self.volumes, Volume::encode)
            .each(&self.mounts, Mount::encode)
            .bool(self.network)
            .bytes(&self.hosts)
            .bool(self.privileged)
            .bool(self.export)
            .each(self.terminal.as_slice(), WindowSize::encode)
            .each(self.freeze_at.as_slice(), Readiness::encode)
            .bool(self.tell_execution);
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<Self, WireError> {
        Ok(Self {
            argv: from.list()?,
            env: from.list()?,
            cwd: from.bytes()?,
            user: from.bytes()?,
            hostname: from.bytes()?,
            realtime_ns: from.u64()?,
            entropy: from.array()?,
            volumes: from.each(Volume::decode)?,
            mounts: from.each(Mount::decode)?,
            network: from.bool()?,
            hosts: from.bytes()?,
            privileged: from.bool()?,
            export: from.bool()?,
            terminal: from.each(WindowSize::decode)?.pop(),
            freeze_at: from.each(Readiness::decode)?.pop(),
            tell_execution: from.bool()?,
        })
    }
}
