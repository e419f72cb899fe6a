//! Standard input, output and error on the host's descriptors.

use super::errno::{Errno, Stop};
use crate::{Meter, OutputWatch};
use rustix::event::{PollFd, PollFlags};
use rustix::io::retry_on_intr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Exit code of a program whose reader went away: 128 + `SIGPIPE`, as a shell reports it.
const BROKEN_PIPE: u32 = 128 + 13;

/// The three streams of one run.
#[derive(Debug)]
pub struct Streams {
    stdin: Option<OwnedFd>,
    stdout: OwnedFd,
    stderr: OwnedFd,
    watch: Option<OutputWatch>,
    meter: Option<Meter>,
}

impl Streams {
    /// Streams on descriptors of the caller; without `stdin` the guest reads end of file.
    #[must_use]
    pub fn new(stdin: Option<OwnedFd>, stdout: OwnedFd, stderr: OwnedFd) -> Self {
        Self { stdin, stdout, stderr, watch: None, meter: None }
    }

    /// The same, looked at by `watch`.
    #[must_use]
    pub fn watched(self, watch: OutputWatch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// The same, whose first output `meter` notes.
    pub(crate) fn measured(self, meter: Option<Meter>) -> Self {
        Self { meter, ..self }
    }

    /// This process's own streams; standard input only if it is to be `attached`.
    ///
    /// # Errors
    /// If one of them is closed.
    pub fn inherit(attached: bool) -> io::Result<Self> {
        let stdin = attached.then(|| io::stdin().as_fd().try_clone_to_owned()).transpose()?;
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self::new(stdin, stdout, io::stderr().as_fd().try_clone_to_owned()?))
    }

    /// The host's descriptor behind guest descriptor 0, 1 or 2. Detached input has none.
    pub(super) fn get(&self, fd: u32) -> Result<Option<BorrowedFd<'_>>, Errno> {
        match fd {
            0 => Ok(self.stdin.as_ref().map(AsFd::as_fd)),
            1 => Ok(Some(self.stdout.as_fd())),
            2 => Ok(Some(self.stderr.as_fd())),
            _ => Err(Errno::BadF),
        }
    }

    /// Reads what is there, waiting for the first byte; 0 at end of file.
    pub(super) fn read(&self, fd: u32, to: &mut [u8]) -> Result<usize, Stop> {
        let Some(file) = self.get(fd)? else { return Ok(0) };
        blocking(file, PollFlags::IN, || rustix::io::read(file, &mut *to)).map_err(stop)
    }

    /// Writes at least one byte unless `from` is empty.
    pub(super) fn write(&mut self, fd: u32, from: &[u8]) -> Result<usize, Stop> {
        let file = self.get(fd)?.filter(|_| fd != 0).ok_or(Errno::BadF)?;
        let written = blocking(file, PollFlags::OUT, || rustix::io::write(file, from));
        let written = written.map_err(stop)?;
        self.meter.iter().for_each(Meter::wrote);
        if let Some(watch) = &mut self.watch {
            watch.see(fd, &from[..written]);
        }
        Ok(written)
    }
}

fn stop(errno: rustix::io::Errno) -> Stop {
    match errno {
        rustix::io::Errno::PIPE => Stop::Exit(BROKEN_PIPE),
        other => Errno::from(other).into(),
    }
}

/// Descriptors may be non-blocking because another process that shares them made them so.
fn blocking(
    file: BorrowedFd<'_>,
    ready: PollFlags,
    mut transfer: impl FnMut() -> rustix::io::Result<usize>,
) -> rustix::io::Result<usize> {
    loop {
        match retry_on_intr(&mut transfer) {
            Err(rustix::io::Errno::AGAIN) => {
                let mut waiting = [PollFd::from_borrowed_fd(file, ready)];
                retry_on_intr(|| rustix::event::poll(&mut waiting, None))?;
            }
            done => return done,
        }
    }
}
