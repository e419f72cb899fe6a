//! Freezing with a container that runs: it stands still from before the freeze until the machine is
//! no longer like its siblings.
//!
//! The machine has one hart, so a container stands still as long as init neither sleeps nor gives way.
//! Init becomes a real-time process for that and looks for the host's word in a loop: nobody else
//! executes an instruction. No signal is needed, which the container would notice.
#![allow(unsafe_code, reason = "no crate wraps sched_setscheduler")]

use crate::connections;
use crate::control::ControlPort;
use crate::error::{Context, Error};
use crate::freeze::Reclaim;
use crate::processes::Processes;
use lithify_control::{Frame, Renewal};
use rustix::io::Errno;

/// As long as it lives nobody else runs but interrupts, and who is as urgent.
#[derive(Debug)]
pub(crate) struct Sole(());

impl Sole {
    fn enter() -> Result<Self, Error> {
        const ANY: libc::c_int = 1;
        schedule(libc::SCHED_FIFO, ANY).during(|| "become a real-time process".to_owned())?;
        Ok(Self(()))
    }
}

impl Drop for Sole {
    fn drop(&mut self) {
        // Giving privilege up is never refused.
        let _ = give_way();
    }
}

/// Makes the caller a process like all others.
///
/// # Errors
/// None that is known.
pub(crate) fn give_way() -> Result<(), Errno> {
    schedule(libc::SCHED_OTHER, 0)
}

fn schedule(policy: libc::c_int, priority: libc::c_int) -> Result<(), Errno> {
    // SAFETY: all fields of `sched_param` are integers, valid when zero.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: the call reads the parameters.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        -1 => Err(crate::error::errno(&std::io::Error::last_os_error())),
        _ => Ok(()),
    }
}

/// What a thawed machine begins with.
#[derive(Debug)]
pub(crate) struct Thawed {
    /// What the host has to say.
    pub(crate) renewal: Renewal,
    /// What else it said meanwhile.
    pub(crate) frames: Vec<Frame>,
    /// The container stands still as long as this lives.
    pub(crate) sole: Sole,
}

/// Makes `processes` stand still, lets the machine freeze, and returns in a thawed one. `flush` hands
/// on to the host what was printed so far.
///
/// # Errors
/// If the kernel refuses, or the host stops listening.
pub(crate) fn until_thawed(
    processes: &Processes,
    control: &mut ControlPort,
    flush: impl FnOnce() -> Result<(), Error>,
) -> Result<Thawed, Error> {
    let sole = Sole::enter()?;
    flush()?;
    connections::reset(processes);
    Reclaim::open()?.run()?;
    control.send(&Frame::Settled)?;
    let mut frames = Vec::new();
    loop {
        match control.next_frame()? {
            Some(Frame::Renew(renewal)) => return Ok(Thawed { renewal, frames, sole }),
            Some(frame) => frames.push(frame),
            None if !control.has_input()? => {}
            None if control.fill()? => {}
            None => return Err(Error::ControlClosed),
        }
    }
}
