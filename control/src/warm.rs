//! Machines that are frozen while their program runs.

use crate::mount::Mount;
use crate::start::THAW_ENTROPY_LEN;
use crate::terminal::WindowSize;
use crate::wire::{Decoder, Encoder, WireError};

/// What in the guest tells that a container's program is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It has been executed.
    Exec,
    /// A TCP port is listened to, on any address.
    Port(u16),
    /// A file exists, at this absolute path in the container.
    File(Vec<u8>),
    /// The program says `READY=1` to the socket in `$NOTIFY_SOCKET`. Only in a guest that was
    /// booted with [`LISTEN_FOR_NOTIFY`](crate::LISTEN_FOR_NOTIFY).
    Notify,
}

const EXEC: u8 = 0;
const PORT: u8 = 1;
const FILE: u8 = 2;
const NOTIFY: u8 = 3;

impl Readiness {
    pub(crate) fn encode(&self, to: &mut Encoder) {
        match self {
            Self::Exec => to.u8(EXEC),
            Self::Port(port) => to.u8(PORT).u32((*port).into()),
            Self::File(path) => to.u8(FILE).bytes(path),
            Self::Notify => to.u8(NOTIFY),
        };
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<Self, WireError> {
        Ok(match from.u8()? {
            EXEC => Self::Exec,
            PORT => Self::Port(u16::try_from(from.u32()?).unwrap_or(0)),
            FILE => Self::File(from.bytes()?),
            NOTIFY => Self::Notify,
            tag => return Err(WireError::UnknownTag(tag)),
        })
    }
}

/// A boot that goes on until the image's program is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warm {
    /// What init waits for; without it the snapshot stage looks for a line in the output.
    pub readiness: Option<Readiness>,
    /// How long the program may take, in nanoseconds of the guest's own time.
    pub timeout_ns: u64,
    /// Paths that a client asks the program for by HTTP, each after the answer to the one before, when
    /// it listens at the port of [`Readiness::Port`]. It is ready when it has answered the last one.
    pub visits: Vec<Vec<u8>>,
}

impl Warm {
    pub(crate) fn encode(&self, to: &mut Encoder) {
        to.each(self.readiness.as_slice(), Readiness::encode)
            .u64(self.timeout_ns)
            .list(&self.visits);
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<Self, WireError> {
        Ok(Self {
            readiness: from.each(Readiness::decode)?.pop(),
            timeout_ns: from.u64()?,
            visits: from.list()?,
        })
    }
}

/// What a thawed machine gets in which a container stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The container's new host name; empty leaves it as it is.
    pub hostname: Vec<u8>,
    /// Wall clock at the moment of sending, nanoseconds since the Unix epoch.
    pub realtime_ns: u64,
    /// Credited to the kernel's random pool before anything else runs.
    pub entropy: [u8; THAW_ENTROPY_LEN],
    /// `NAME=VALUE`, for the container's hooks.
    pub env: Vec<Vec<u8>>,
    /// [Host directories](crate::MountKind::Host) for the container.
    pub mounts: Vec<Mount>,
    /// There is a network beside the loopback interface, set up as [`PLAN`](crate::PLAN) says.
    pub network: bool,
    /// Lines for the container's `/etc/hosts` behind those that name itself.
    pub hosts: Vec<u8>,
    /// The size of the terminal that the container has.
    pub terminal: Option<WindowSize>,
    /// When the container is to stand still again.
    pub freeze_at: Option<Readiness>,
}

impl Renewal {
    pub(crate) fn encode(&self, to: &mut Encoder) {
        to.bytes(&self.hostname)
            .u64(self.realtime_ns)
            .array(&self.entropy)
            .list(&self.env)
            .each(&self.mounts, Mount::encode)
            .bool(self.network)
            .bytes(&self.hosts)
            .each(self.terminal.as_slice(), WindowSize::encode)
            .each(self.freeze_at.as_slice(), Readiness::encode);
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<Self, WireError> {
        Ok(Self {
            hostname: from.bytes()?,
            realtime_ns: from.u64()?,
            entropy: from.array()?,
            env: from.list()?,
            mounts: from.each(Mount::decode)?,
            network: from.bool()?,
            hosts: from.bytes()?,
            terminal: from.each(WindowSize::decode)?.pop(),
            freeze_at: from.each(Readiness::decode)?.pop(),
        })
    }
}
