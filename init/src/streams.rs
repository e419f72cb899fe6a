//! The three pipes between init and the container's process.
//!
//! Pipes and not the ports themselves: the container may reopen `/dev/stdout`, hand it to many
//! processes and close it, and none of that concerns the host's byte stream.

use crate::error::{Context, Error};
use crate::terminal;
use lithify_control::WindowSize;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

/// Init's ends, non-blocking.
pub(crate) struct OurEnds {
    /// Written by init.
    pub(crate) stdin: OwnedFd,
    /// Read by init.
    pub(crate) stdout: OwnedFd,
    /// Read by init.
    pub(crate) stderr: OwnedFd,
    /// Where the terminal's master arrives if the container gets one.
    pub(crate) terminal: OwnedFd,
}

/// The container's ends, blocking as programs expect.
pub(crate) struct TheirEnds {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    terminal: OwnedFd,
}

/// Opens something as descriptors 0, 1 and 2 where the kernel had no console to open: a later
/// file under one of these numbers would be lost to [`TheirEnds::install`].
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn occupy_standard_descriptors() -> Result<(), Error> {
    const LAST: RawFd = 2;
    loop {
        let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .during(|| "open /".to_owned())?;
        if root.as_raw_fd() > LAST {
            return Ok(());
        }
        let _occupied = root.into_raw_fd();
    }
}

/// Makes the pipes.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn pipes() -> Result<(OurEnds, TheirEnds), Error> {
    make_pipes().during(|| "make the container's pipes".to_owned())
}

fn make_pipes() -> Result<(OurEnds, TheirEnds), rustix::io::Errno> {
    let (stdin, our_stdin) = pipe_with(PipeFlags::CLOEXEC)?;
    let (our_stdout, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (our_stderr, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    for end in [&our_stdin, &our_stdout, &our_stderr] {
        rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK)?;
    }
    let (terminal, our_terminal) = terminal::socket_pair()?;
    let ours = OurEnds {
        stdin: our_stdin,
        stdout: our_stdout,
        stderr: our_stderr,
        terminal: our_terminal,
    };
    Ok((ours, TheirEnds { stdin, stdout, stderr, terminal }))
}

impl TheirEnds {
    /// Makes them the caller's descriptors 0, 1 and 2.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn install(&self) -> Result<(), Error> {
        rustix::stdio::dup2_stdin(&self.stdin)
            .and_then(|()| rustix::stdio::dup2_stdout(&self.stdout))
            .and_then(|()| rustix::stdio::dup2_stderr(&self.stderr))
            .during(|| "install the container's streams".to_owned())
    }

    /// Puts a terminal of `owner` in their place, whose master init gets.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn replace_by_terminal(
        &self,
        size: WindowSize,
        owner: rustix::fs::Uid,
    ) -> Result<(), Error> {
        terminal::make(size, owner, &self.terminal)
    }

    /// Lets `owner` reopen them through `/proc/self/fd`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn give_to(&self, owner: rustix::fs::Uid) -> Result<(), rustix::io::Errno> {
        [&self.stdin, &self.stdout, &self.stderr]
            .into_iter()
            .try_for_each(|end| rustix::fs::fchown(end, Some(owner), None))
    }
}
