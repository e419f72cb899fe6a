//! RUN's commands in a machine of our own.
//!
//! Each command gets a fresh machine: the stage's tree is its root disk, its writable layer is
//! memory. It boots on virtual time until init is ready, then goes on with the host's clock and
//! randomness. Init runs the command and, if that ends with code 0, sends a tar of what changed.
//!
//! The guest is hostile: what it says is bounded, and its tar is only read, never unpacked.

mod error;
mod host;
mod ports;
mod spool;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lithify_control::{Frame, StartRequest, port};
use lithify_machine::{Hosts, Machine, Setup, Status};
use lithify_rootfs::{SquashfsOptions, Tree, write_squashfs};

use crate::cancel::Cancel;
use crate::exec::{Command, Ended, Executor, Job, Stream};
pub use error::MachineError;
use host::{BootBytes, Disk, Faults, HostClock, Messages, Randomness, failed};
use ports::{Ports, Said};
use spool::Spool;

/// The kernel prints warnings and worse, and powers off when it panics.
const KERNEL_ARGS: &str = "console=hvc0 loglevel=5 panic=-1";

/// Boots that take longer are stuck; a normal one is 25 million.
const MAX_BOOT_INSTRUCTIONS: u64 = 20_000_000_000;

/// How long the host sleeps at most while the guest does: a build that is canceled ends by then.
const CANCEL_PERIOD: Duration = Duration::from_millis(50);

/// The name that a command sees as its host's: the same in every build.
const HOSTNAME: &[u8] = b"lithify";

/// What RUN's machine is made of.
#[derive(Clone)]
pub struct RunMachine {
    /// The kernel `Image`.
    pub kernel: Arc<[u8]>,
    /// The initramfs with init.
    pub initramfs: Arc<[u8]>,
    /// Memory in bytes, a multiple of 4096. It holds what a command writes, too.
    pub memory_bytes: u64,
    /// Folder for root disks and layers in the making, which get no names in it.
    pub scratch: PathBuf,
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
    ) -> Result<Ended, MachineError> {
        let mut guest = Guest::power_on(self, job)?;
        guest.boot()?;
        guest.start(job.command)?;
        guest.carry(output)
    }
}

/// One machine and the host's side of it.
struct Guest {
    machine: Machine,
    ports: Ports,
    faults: Faults,
    messages: Messages,
    cancel: Cancel,
}

impl Guest {
    fn power_on(setup: &RunMachine, job: &Job<'_>) -> Result<Self, MachineError> {
        let faults = Faults::default();
        let messages = Messages::default();
        let ports = Ports::new(Spool::create(&setup.scratch)?, faults.clone());
        let mut randomness = Randomness::open(faults.clone())?;
        let machine = Machine::new(Setup {
            memory_bytes: setup.memory_bytes,
            epoch_ns: 0,
            kernel: &mut BootBytes(Arc::clone(&setup.kernel)),
            initramfs: &mut BootBytes(Arc::clone(&setup.initramfs)),
            kernel_args: KERNEL_ARGS,
            rng_seed: &randomness.array::<32>(),
            ports: &port::ALL,
            hosts: Hosts {
                console: Box::new(ports.clone()),
                entropy: Box::new(randomness),
                disk: Box::new(root_disk(setup, job.tree, &faults)?),
                kernel_log: Box::new(messages.clone()),
                link: None,
            },
        })?;
        Ok(Self { machine, ports, faults, messages, cancel: job.cancel.clone() })
    }

    fn boot(&mut self) -> Result<(), MachineError> {
        while self.machine.instret() < MAX_BOOT_INSTRUCTIONS {
            let status = self.slice()?;
            match self.ports.take_said() {
                None => {}
                Some(Said::Ready) => return Ok(()),
                Some(said) => return Err(unexpected(said)),
            }
            match status {
                Status::Idle { wake_ns: Some(ns) } => self.machine.skip_idle(ns),
                Status::Idle { wake_ns: None } => return Err(MachineError::StuckBoot),
                Status::Running | Status::Halted(_) => {}
            }
        }
        Err(MachineError::SlowBoot)
    }

    fn start(&mut self, command: &Command) -> Result<(), MachineError> {
        let mut randomness = Randomness::open(self.faults.clone())?;
        self.machine.thaw(Box::new(HostClock::start()), randomness.array());
        self.ports.send(&Frame::Start(StartRequest {
            env: bytes(&command.env),
            cwd: command.cwd.clone().into_bytes(),
            user: command.user.clone().into_bytes(),
            hostname: HOSTNAME.to_vec(),
            export: true,
            ..StartRequest::new(bytes(&command.argv), HostClock::now(), randomness.array())
        }));
        Ok(())
    }

    /// Runs until the command has ended and all that it wrote is delivered.
    fn carry(&mut self, output: &mut dyn FnMut(Stream, &[u8])) -> Result<Ended, MachineError> {
        let mut said = None;
        loop {
            let status = self.slice()?;
            for (stream, bytes) in self.ports.take_output() {
                output(stream, &bytes);
            }
            said = self.ports.take_said().or(said);
            match said.take() {
                Some(end) if !self.machine.has_pending_output() => return self.ended(end),
                waiting => said = waiting,
            }
            match status {
                Status::Idle { wake_ns } if !self.machine.has_pending_output() => {
                    let ns = Duration::from_nanos(wake_ns.unwrap_or(u64::MAX));
                    std::thread::sleep(ns.min(CANCEL_PERIOD));
                }
                Status::Idle { .. } | Status::Running | Status::Halted(_) => {}
            }
        }
    }

    fn ended(&self, said: Said) -> Result<Ended, MachineError> {
        match said {
            Said::Exited(0) => self.ports.archive().map(Ended::Changed),
            Said::Exited(code) => Ok(Ended::Failed { code }),
            Said::Failed(message) => Ok(Ended::NotStarted { message }),
            said => Err(unexpected(said)),
        }
    }

    fn slice(&mut self) -> Result<Status, MachineError> {
        if self.cancel.is_canceled() {
            return Err(MachineError::Canceled);
        }
        let status = self.machine.run_slice();
        self.faults.check()?;
        match status {
            Status::Halted(halt) => Err(MachineError::Halted { halt, log: self.messages.text() }),
            status => Ok(status),
        }
    }
}

fn unexpected(said: Said) -> MachineError {
    match said {
        Said::Broken(error) => error.into(),
        said => MachineError::Unexpected(format!("{said:?}")),
    }
}

fn bytes(words: &[String]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.clone().into_bytes()).collect()
}

/// What squashfs cannot hold is told when the artifact's own disk is written.
fn root_disk(setup: &RunMachine, tree: &Tree, faults: &Faults) -> Result<Disk, MachineError> {
    let folder = setup.scratch.clone();
    let mut file = tempfile::tempfile_in(&folder).map_err(failed("create a file in", &folder))?;
    write_squashfs(tree, &mut file, &SquashfsOptions::default()).map_err(MachineError::RootDisk)?;
    let len = len_of(&file).map_err(failed("stat a file in", &folder))?;
    Ok(Disk { file, len, folder, faults: faults.clone() })
}

fn len_of(file: &File) -> std::io::Result<u64> {
    file.metadata().map(|metadata| metadata.len())
}
