//! The boot that all commands of a build share.

use std::sync::Arc;

use lithify_control::{ROOT_AT_START, port};
use lithify_machine::host::{BootFile, Entropy, NoDisk};
use lithify_machine::{Frozen, Hosts, Machine, Setup, Status};

use super::host::{Faults, Messages};
use super::ports::{Ports, Said};
use super::{MachineError, RunMachine, unexpected};
use crate::cancel::Cancel;

/// The kernel prints warnings and worse, and powers off when it panics.
const KERNEL_ARGS: &str = "console=hvc0 loglevel=5 panic=-1";

/// Boots that take longer are stuck; a normal one is 25 million.
const MAX_BOOT_INSTRUCTIONS: u64 = 2_000_000_000;

/// Boots to the point where init waits for a request, on virtual time and without a host.
pub(super) fn boot(setup: &RunMachine, cancel: &Cancel) -> Result<Frozen, MachineError> {
    let messages = Messages::default();
    let ports = Ports::new(setup.scratch.clone(), 0, Faults::default());
    let mut machine = Machine::new(Setup {
        memory_bytes: setup.memory_bytes,
        epoch_ns: 0,
        kernel: &mut BootBytes(Arc::clone(&setup.kernel)),
        initramfs: &mut BootBytes(Arc::clone(&setup.initramfs)),
        kernel_args: &format!("{KERNEL_ARGS} {ROOT_AT_START}"),
        rng_seed: &[0; 32],
        ports: &port::ALL,
        hosts: Hosts {
            console: Box::new(ports.clone()),
            entropy: Box::new(Zeros),
            disk: Box::new(NoDisk),
            kernel_log: Box::new(messages.clone()),
            link: None,
        },
    })?;
    run_until_ready(&mut machine, &ports, &messages, cancel)?;
    Ok(machine.freeze())
}

/// Init is ready when it has said so and the guest sleeps.
fn run_until_ready(
    machine: &mut Machine,
    ports: &Ports,
    messages: &Messages,
    cancel: &Cancel,
) -> Result<(), MachineError> {
    let mut is_ready = false;
    while machine.instret() < MAX_BOOT_INSTRUCTIONS {
        if cancel.is_canceled() {
            return Err(MachineError::Canceled);
        }
        let status = machine.run_slice();
        match ports.take_said() {
            None => {}
            Some(Said::Ready) => is_ready = true,
            Some(said) => return Err(unexpected(said)),
        }
        match status {
            Status::Idle { .. } if is_ready => return Ok(()),
            Status::Idle { wake_ns: Some(ns) } => machine.skip_idle(ns),
            Status::Idle { wake_ns: None } => return Err(MachineError::StuckBoot),
            Status::Running => {}
            Status::Halted(halt) => {
                return Err(MachineError::Halted { halt, log: messages.text() });
            }
        }
    }
    Err(MachineError::SlowBoot { limit: MAX_BOOT_INSTRUCTIONS })
}

/// A boot file in memory.
#[derive(Debug)]
struct BootBytes(Arc<[u8]>);

impl BootFile for BootBytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) {
        into.copy_from_slice(&self.0[offset as usize..][..into.len()]);
    }
}

/// No randomness: each thaw brings its own, and replaces what was made of this.
struct Zeros;

impl Entropy for Zeros {
    fn fill(&mut self, into: &mut [u8]) {
        into.fill(0);
    }
}
