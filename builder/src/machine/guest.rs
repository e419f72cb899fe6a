//! One thawed machine, from the request to the command's end.

use std::path::Path;
use std::time::Duration;

use lithify_control::{Frame, Mount, MountKind, StartRequest};
use lithify_machine::{Frozen, Hosts, Machine, Status};
use lithify_net::{Forwarded, MAX_FORWARDED};

use super::disk::Disk;
use super::host::{Faults, HostClock, Messages, Randomness};
use super::network::{self, Uplink};
use super::ports::{Ports, Said};
use super::{MachineError, unexpected};
use crate::cancel::Cancel;
use crate::exec::{Ended, Finished, Job, JobMount, JobMountKind, Stream};

/// The name that a command sees as its host's: the same in every build.
const HOSTNAME: &str = "lithify";

/// How long the host sleeps at most while the guest does: a build that is canceled ends by then.
const CANCEL_PERIOD: Duration = Duration::from_millis(50);

/// A machine and the host's side of it.
pub(super) struct Guest {
    machine: Machine,
    uplink: Option<Uplink>,
    ports: Ports,
    faults: Faults,
    messages: Messages,
    cancel: Cancel,
}

impl Guest {
    /// Goes on from `frozen` with a job; files on their way get no names in `scratch`.
    pub(super) fn start(
        frozen: &Frozen,
        job: &Job<'_>,
        scratch: &Path,
    ) -> Result<Self, MachineError> {
        let faults = Faults::default();
        let messages = Messages::default();
        let caches = job.mounts.iter().filter(|mount| is_cache(&mount.kind)).count();
        let ports = Ports::new(scratch.to_owned(), 1 + caches, faults.clone());
        let mut randomness = Randomness::open(faults.clone())?;
        let disk = Disk::of(job)?;
        let mut forwarded = Forwarded::default();
        let mounts = mounts(job, &mut forwarded)?;
        let uplink = Uplink::open(job, forwarded, randomness.array())?;
        let request = StartRequest {
            env: bytes(&job.command.env),
            cwd: job.command.cwd.clone().into_bytes(),
            user: job.command.user.clone().into_bytes(),
            hostname: HOSTNAME.into(),
            mounts: network::files(job, HOSTNAME).into_iter().chain(mounts).collect(),
            volumes: disk.volumes(),
            network: uplink.is_some(),
            privileged: job.is_privileged,
            export: true,
            ..StartRequest::new(bytes(&job.command.argv), HostClock::now(), randomness.array())
        };
        let generation = randomness.array();
        let hosts = Hosts {
            console: Box::new(ports.clone()),
            entropy: Box::new(randomness),
            disk: Box::new(disk.into_source(faults.clone())),
            kernel_log: Box::new(messages.clone()),
            link: uplink.as_ref().map(Uplink::link),
        };
        let machine = frozen.thaw(hosts, Box::new(HostClock::start()), generation);
        ports.send(&Frame::Start(request));
        Ok(Self { machine, uplink, ports, faults, messages, cancel: job.cancel.clone() })
    }

    /// Runs until the command has ended and all that it wrote is delivered.
    pub(super) fn carry(
        &mut self,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Finished, MachineError> {
        let mut said = None;
        loop {
            let status = self.slice()?;
            for (stream, bytes) in self.ports.take_output() {
                output(stream, &bytes);
            }
            said = self.ports.take_said().or(said);
            match said.take() {
                Some(end) if !self.machine.has_pending_output() => return self.finished(end),
                waiting => said = waiting,
            }
            match status {
                Status::Idle { wake_ns } if !self.machine.has_pending_output() => {
                    let ns = Duration::from_nanos(wake_ns.unwrap_or(u64::MAX));
                    self.sleep(ns.min(CANCEL_PERIOD))?;
                }
                Status::Idle { .. } | Status::Running | Status::Halted(_) => {}
            }
        }
    }

    /// Lets time pass, less if something arrives from the network.
    fn sleep(&self, longest: Duration) -> Result<(), MachineError> {
        match &self.uplink {
            Some(uplink) => uplink.wait(longest),
            None => {
                std::thread::sleep(longest);
                Ok(())
            }
        }
    }

    fn finished(&self, said: Said) -> Result<Finished, MachineError> {
        let mut archives = self.ports.take_archives();
        let ended = match said {
            Said::Exited(0) if archives.is_empty() => return Err(MachineError::NoLayer),
            Said::Exited(0) => Ended::Changed(archives.remove(0)),
            Said::Exited(code) => Ended::Failed { code },
            Said::Failed(message) => Ended::NotStarted { message },
            said => return Err(unexpected(said)),
        };
        Ok(Finished { ended, caches: archives })
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

fn is_cache(kind: &JobMountKind) -> bool {
    matches!(kind, JobMountKind::Cache { .. })
}

/// The mounts as init understands them: trees are the disk's volumes, in their order behind the
/// root. What they need of the host is added to `forwarded`.
fn mounts(job: &Job<'_>, forwarded: &mut Forwarded) -> Result<Vec<Mount>, MachineError> {
    let mut volumes = 1..;
    let mut next = || volumes.next().unwrap_or(u32::MAX);
    let mut kind = |kind: &JobMountKind| {
        Ok(match kind {
            JobMountKind::Bind { file, is_writable, .. } => MountKind::Bind {
                volume: next(),
                file: file.clone().map(String::into_bytes),
                writable: *is_writable,
            },
            JobMountKind::Cache { .. } => MountKind::Cache { volume: next() },
            JobMountKind::Tmpfs { size } => MountKind::Tmpfs { size: *size },
            JobMountKind::File { content, mode, owner: (uid, gid) } => {
                MountKind::File { content: content.clone(), mode: *mode, uid: *uid, gid: *gid }
            }
            JobMountKind::Socket { host, mode, owner: (uid, gid) } => {
                let limit = MAX_FORWARDED;
                let port =
                    forwarded.add(host.clone()).ok_or(MachineError::TooManySockets { limit })?;
                MountKind::Socket { port, mode: *mode, uid: *uid, gid: *gid }
            }
        })
    };
    let mount = |mount: &JobMount| {
        let target = mount.target.clone().into_bytes();
        kind(&mount.kind).map(|kind| Mount { target, kind })
    };
    job.mounts.iter().map(mount).collect()
}

fn bytes(words: &[String]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.clone().into_bytes()).collect()
}
