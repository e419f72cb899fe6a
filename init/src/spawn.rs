//! The container's process: made before the freeze, in its namespaces, as PID 1 of its own.
//!
//! It borrows init's memory as `vfork` does, and init stands still until it has executed the
//! image's program or given up. So it reads the start request where init can see the result, no
//! page is copied between the two after the thaw, and a failure needs no pipe to travel.
#![allow(unsafe_code, reason = "a process on a second stack of this one's memory")]

use crate::dispositions::Dispositions;
use crate::error::{Context, Error};
use lithify_control::exit_code;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// Enough for parsing a request and formatting a message; touched pages only are ever backed.
const STACK_WORDS: usize = (256 << 10) / size_of::<u128>();

/// Everything but the network, which is the machine's own, and users, which the image's files
/// on disk do not know to map.
const NAMESPACES: c_int =
    libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;

/// Highest signal number, `_NSIG`.
const LAST_SIGNAL: u32 = 64;

/// The container's process as init sees it.
pub(crate) struct Child {
    pid: c_int,
    pidfd: OwnedFd,
    /// The signal whose default action was executed for it.
    ended_by: Cell<Option<u32>>,
}

/// Runs `body` as the container's process. Returns when it has executed a program, or when
/// `body` has returned, which ends the process.
///
/// # Errors
/// If the kernel cannot make the process or one of its namespaces.
pub(crate) fn container(body: &mut dyn FnMut()) -> Result<Child, Error> {
    let mut stack = Box::<[u128]>::new_uninit_slice(STACK_WORDS);
    clone_suspended(&mut stack, body).during(|| "make the container's namespaces".to_owned())
}

fn clone_suspended(
    stack: &mut [MaybeUninit<u128>],
    mut body: &mut dyn FnMut(),
) -> Result<Child, Errno> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD | NAMESPACES;
    let mut pidfd: c_int = -1;
    // SAFETY: `body` and `stack` outlive the process's use of this memory, for CLONE_VFORK holds
    // this thread, the only one, until the process has executed a program or ended; so nothing is
    // accessed by both at once. The stack grows down from the slice's end, which is aligned.
    let pid = unsafe {
        let argument = std::ptr::from_mut(&mut body).cast::<c_void>();
        libc::clone(enter, stack.as_mut_ptr_range().end.cast(), flags, argument, &raw mut pidfd)
    };
    if pid < 0 {
        return Err(crate::error::errno(&std::io::Error::last_os_error()));
    }
    // SAFETY: CLONE_PIDFD stored a new descriptor that nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid, pidfd, ended_by: Cell::new(None) })
}

extern "C" fn enter(argument: *mut c_void) -> c_int {
    // SAFETY: `argument` points to `clone_suspended`'s `body`, which nobody else uses now.
    let body = unsafe { &mut *argument.cast::<&mut dyn FnMut()>() };
    body();
    // SAFETY: ends this process only and touches no memory. Returning would do the same after
    // running init's exit handlers.
    unsafe { libc::_exit(0) }
}

impl Child {
    /// Its number in init's namespace.
    pub(crate) fn pid(&self) -> c_int {
        self.pid
    }

    /// Delivers a signal; a number that is none is dropped, as is one for a process that ended.
    ///
    /// The kernel spares the first process of a namespace the default action of signals, so a
    /// program that handles none could only be killed. It is ended here as it would be elsewhere.
    pub(crate) fn signal(&self, number: u32) {
        if !(1..=LAST_SIGNAL).contains(&number) {
            return;
        }
        if Dispositions::of(self.pid).is_some_and(|process| process.is_ended_by(number)) {
            self.ended_by.set(Some(number));
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
            return;
        }
        // SAFETY: the number is a signal's; those that libc keeps for itself are meant for the
        // container's libc, not for ours.
        let signal = unsafe { Signal::from_raw_unchecked(number as i32) };
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, signal);
    }

    /// Reaps the process: its exit code, or 128 and the signal that killed it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn wait(&self) -> Result<u32, Error> {
        let id = WaitId::PidFd(self.pidfd.as_fd());
        let status = rustix::process::waitid(id, WaitIdOptions::EXITED)
            .during(|| "wait for the container".to_owned())?;
        let status = status.ok_or(Errno::CHILD).during(|| "wait for the container".to_owned())?;
        let code = status.exit_status().map(|code| code as u32);
        let signal = status.terminating_signal().map(|signal| signal as u32);
        let signal = signal.map(|signal| self.ended_by.get().unwrap_or(signal));
        Ok(code.or(signal.map(|signal| exit_code::SIGNAL_BASE + signal)).unwrap_or_default())
    }
}

impl AsFd for Child {
    /// Readable when the process, and with it every other one in its namespace, has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
