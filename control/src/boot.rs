//! What the snapshot stage tells the vm before the machine boots.

use crate::process::ImageProcess;
use crate::warm::Warm;
use crate::wire::{Decoder, Encoder, WireError};

/// Length of the seed behind all randomness before the freeze, in bytes.
pub const ENTROPY_SEED_LEN: usize = 32;

/// Most RAM that a machine can have, in bytes: what is left of the 4 GiB that 32-bit WebAssembly
/// addresses is the emulator's own, for decoded code and what the guest's devices hold.
pub const MAX_MEMORY_BYTES: u64 = 3 << 30;

/// Parameters of a boot; equal parameters and equal boot files give an equal frozen machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootConfig {
    /// Guest RAM in bytes, a multiple of 4096.
    pub memory_bytes: u64,
    /// Wall clock at power-on, seconds since the Unix epoch (`SOURCE_DATE_EPOCH`).
    pub epoch_seconds: u64,
    /// Seed of the virtio-rng device until the thaw.
    pub entropy_seed: [u8; ENTROPY_SEED_LEN],
    /// Appended to the machine's own kernel command line.
    pub kernel_args: Vec<u8>,
    /// What the artifact runs when nobody asks for anything else.
    pub process: ImageProcess,
    /// What most starts run, if not that: its start is prepared before the freeze.
    pub prepared: Option<ImageProcess>,
    /// Freeze the machine with that program running in it.
    pub warm: Option<Warm>,
}

impl BootConfig {
    /// As the vm reads it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::default();
        to.u64(self.memory_bytes)
            .u64(self.epoch_seconds)
            .array(&self.entropy_seed)
            .bytes(&self.kernel_args);
        self.process.encode(&mut to);
        to.each(self.prepared.as_slice(), ImageProcess::encode);
        to.each(self.warm.as_slice(), Warm::encode).finish()
    }

    /// The reverse of [`encode`](Self::encode).
    ///
    /// # Errors
    /// If `bytes` is not exactly one encoded value.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Decoder::new(bytes);
        let config = Self {
            memory_bytes: from.u64()?,
            epoch_seconds: from.u64()?,
            entropy_seed: from.array()?,
            kernel_args: from.bytes()?,
            process: ImageProcess::decode(&mut from)?,
            prepared: from.each(ImageProcess::decode)?.pop(),
            warm: from.each(Warm::decode)?.pop(),
        };
        from.finish()?;
        Ok(config)
    }

    /// The program whose start is prepared before the freeze.
    #[must_use]
    pub fn prepared(&self) -> &ImageProcess {
        self.prepared.as_ref().unwrap_or(&self.process)
    }
}
