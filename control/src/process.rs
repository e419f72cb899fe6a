//! What runs in the guest: the image's own wish and the request made of it at thaw.

use crate::wire::{Decoder, Encoder, WireError};

/// Fresh host randomness that every thaw hands to the guest's kernel, in bytes.
pub const THAW_ENTROPY_LEN: usize = 64;

/// The part of the OCI image config that says what to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageProcess {
    /// `Entrypoint`.
    pub entrypoint: Vec<Vec<u8>>,
    /// `Cmd`, replaced as a whole by the user's arguments.
    pub cmd: Vec<Vec<u8>>,
    /// `Env` as `NAME=VALUE`.
    pub env: Vec<Vec<u8>>,
    /// `WorkingDir`; empty means `/`.
    pub cwd: Vec<u8>,
    /// `User` as `user[:group]`, names or numbers; empty means root.
    pub user: Vec<u8>,
}

impl ImageProcess {
    pub(crate) fn encode(&self, to: &mut Encoder) {
        to.list(&self.entrypoint)
            .list(&self.cmd)
            .list(&self.env)
            .bytes(&self.cwd)
            .bytes(&self.user);
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<Self, WireError> {
        Ok(Self {
            entrypoint: from.list()?,
            cmd: from.list()?,
            env: from.list()?,
            cwd: from.bytes()?,
            user: from.bytes()?,
        })
    }
}

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
    /// Write what a successful container process changed to [`port::EXPORT`](crate::port::EXPORT)
    /// before its exit is reported.
    pub export: bool,
}

impl StartRequest {
    pub(crate) fn encode(&self, to: &mut Encoder) {
        to.list(&self.argv)
            .list(&self.env)
            .bytes(&self.cwd)
            .bytes(&self.user)
            .bytes(&self.hostname)
            .u64(self.realtime_ns)
            .array(&self.entropy)
            .bool(self.export);
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
            export: from.bool()?,
        })
    }
}
