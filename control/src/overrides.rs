//! What a runner may ask beyond WASI's arguments and environment.

use crate::terminal::WindowSize;
use crate::trial::Trial;
use crate::warm::Readiness;
use crate::wire::{Decoder, Encoder, WireError};

/// Contents of the file [`Overrides::FILE`] that our runner offers; a stock WASI runtime has no
/// such file, and every field then keeps its default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--entrypoint`: replaces the image's entrypoint and drops its `Cmd`.
    pub entrypoint: Option<Vec<Vec<u8>>>,
    /// `--workdir`.
    pub cwd: Option<Vec<u8>>,
    /// `--user`.
    pub user: Option<Vec<u8>>,
    /// `--hostname`.
    pub hostname: Option<Vec<u8>>,
    /// `--add-host`: lines for `/etc/hosts`.
    pub hosts: Vec<u8>,
    /// Print the kernel's messages to standard error.
    pub kernel_log: bool,
    /// Write [`Statistics`](crate::Statistics) at the end.
    pub statistics: bool,
    /// `--tty`: the container gets a terminal, of this size at first.
    pub terminal: Option<WindowSize>,
    /// `--save-on`: when the container is to stand still, so that the machine can be kept.
    pub freeze_at: Option<Readiness>,
    /// `--trial`: the run is made to be compared with others.
    pub trial: Option<Trial>,
}

impl Overrides {
    /// Name of the preopened directory that carries our runner's own files.
    pub const DIRECTORY: &str = "/.lithify";
    /// The request's name in that directory.
    pub const FILE: &str = "request";
    /// A file beside it that never ends: [`Frame`](crate::Frame)s for the guest while it runs.
    pub const EVENTS: &str = "events";

    /// As the vm reads it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Encoder::default()
            .option_list(self.entrypoint.as_deref())
            .option(self.cwd.as_deref())
            .option(self.user.as_deref())
            .option(self.hostname.as_deref())
            .bytes(&self.hosts)
            .bool(self.kernel_log)
            .bool(self.statistics)
            .each(self.terminal.as_slice(), WindowSize::encode)
            .each(self.freeze_at.as_slice(), Readiness::encode)
            .each(self.trial.as_slice(), Trial::encode)
            .finish()
    }

    /// The reverse of [`encode`](Self::encode).
    ///
    /// # Errors
    /// If `bytes` is not exactly one encoded value.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Decoder::new(bytes);
        let overrides = Self {
            entrypoint: from.option_list()?,
            cwd: from.option()?,
            user: from.option()?,
            hostname: from.option()?,
            hosts: from.bytes()?,
            kernel_log: from.bool()?,
            statistics: from.bool()?,
            terminal: from.each(WindowSize::decode)?.pop(),
            freeze_at: from.each(Readiness::decode)?.pop(),
            trial: from.each(Trial::decode)?.pop(),
        };
        from.finish()?;
        Ok(overrides)
    }
}
