//! What an image wants to run.

use crate::wire::{Decoder, Encoder, WireError};

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
