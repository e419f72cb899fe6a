//! RUN's commands in a machine of our own.
//!
//! One machine is booted for a whole build, up to the point where init waits, and frozen. Each
//! command gets a copy of it, thawed on the host's clock and randomness: its disk holds the stage's
//! tree and what is mounted in it, its writable layers are memory. Init runs the command and, if that
//! ends with code 0, sends a tar of what changed.
//!
//! The guest is hostile: what it says is bounded, and its tar is only read, never unpacked.

mod boot;
mod disk;
mod error;
mod guest;
mod host;
mod network;
mod ports;
mod spool;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use lithify_machine::Frozen;

use crate::cancel::Cancel;
use crate::exec::{Executor, Finished, Job, Stream};
pub use error::MachineError;
use guest::Guest;
use ports::Said;

/// What RUN's machine is made of. Clones share the boot.
#[derive(Clone)]
pub struct RunMachine {
    kernel: Arc<[u8]>,
    initramfs: Arc<[u8]>,
    memory_bytes: u64,
    scratch: PathBuf,
    frozen: Arc<Mutex<Option<Arc<Frozen>>>>,
}

impl RunMachine {
    /// A machine with `memory_bytes` of memory, a multiple of 4096, which also holds what a command
    /// writes. Layers in the making are files without names in the folder `scratch`. Nothing is
    /// booted before the first command.
    #[must_use]
    pub fn new(
        kernel: Arc<[u8]>,
        initramfs: Arc<[u8]>,
        memory_bytes: u64,
        scratch: PathBuf,
    ) -> Self {
        Self { kernel, initramfs, memory_bytes, scratch, frozen: Arc::default() }
    }

    /// The booted machine. Commands that come while it boots wait for it; each tries anew what
    /// failed for another.
    fn frozen(&self, cancel: &Cancel) -> Result<Arc<Frozen>, MachineError> {
        let mut frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frozen) = &*frozen {
            return Ok(Arc::clone(frozen));
        }
        Ok(Arc::clone(frozen.insert(Arc::new(boot::boot(self, cancel)?))))
    }
}

impl std::fmt::Debug for RunMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunMachine")
            .field("memory_bytes", &self.memory_bytes)
            .field("scratch", &self.scratch)
            .finish_non_exhaustive()
    }
}

impl Executor for RunMachine {
    fn execute(
        &self,
        job: &Job<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Finished, MachineError> {
        let frozen = self.frozen(job.cancel)?;
        Guest::start(&frozen, job, &self.scratch)?.carry(output)
    }
}

fn unexpected(said: Said) -> MachineError {
    match said {
        Said::Broken(error) => error.into(),
        said => MachineError::Unexpected(format!("{said:?}")),
    }
}
