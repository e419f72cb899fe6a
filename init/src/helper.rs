//! Processes of init's own beside the container's.
#![allow(unsafe_code, reason = "fork, and closing what the copy inherits")]

use crate::error::{Context, Error};
use rustix::process::{Pid, Signal, WaitOptions};
use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The first descriptor behind the standard ones.
const FIRST_FD: c_int = 3;

/// A process of init's own, which ends with this value.
#[derive(Debug)]
pub(crate) struct Helper(Pid);

/// Runs `body` in a process that is a copy of this one. Of its files it has the standard ones and
/// `keep`: what ends when all have closed it, such as a stream, is not held up.
///
/// # Errors
/// If the kernel cannot make the process.
pub(crate) fn start(keep: &OwnedFd, body: impl FnOnce(OwnedFd)) -> Result<Helper, Error> {
    // SAFETY: this thread is the only one, so the copy misses none and may do what this one may.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        body(keep_only(keep));
        // SAFETY: ends this process only and touches no memory.
        unsafe { libc::_exit(0) }
    }
    let pid = Pid::from_raw(pid).filter(|_| pid > 0);
    let failed = || crate::error::errno(&std::io::Error::last_os_error());
    pid.map(Helper).ok_or_else(failed).during(|| "make a process".to_owned())
}

/// Closes all but the standard descriptors and this one, which has another number then.
fn keep_only(keep: &OwnedFd) -> OwnedFd {
    // SAFETY: the process, which is new, goes on with nothing but the descriptor that is returned,
    // and never drops the values that own the others.
    unsafe {
        libc::dup2(keep.as_raw_fd(), FIRST_FD);
        libc::close_range(FIRST_FD as u32 + 1, u32::MAX, 0);
        OwnedFd::from_raw_fd(FIRST_FD)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended by itself; it is reaped all the same.
        let _ = rustix::process::kill_process(self.0, Signal::KILL);
        let _ = rustix::process::waitpid(Some(self.0), WaitOptions::empty());
    }
}
