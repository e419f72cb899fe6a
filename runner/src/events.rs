//! What the container is told while it runs: signals that this process got, the terminal's size.
//!
//! A thread takes signals and writes frames into a pipe, which the artifact reads as a file of its
//! own folder and waits for together with its input. So an idle container costs nothing, and a
//! machine that no longer listens can still be stopped.

use crate::terminal;
use lithify_control::{Frame, exit_code};
use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::consts::{
    SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::Signals;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whoever runs a container directs them at what is in it.
const FORWARDED: [i32; 6] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];

/// About this process's terminal.
const TERMINAL: [i32; 3] = [SIGWINCH, SIGTSTP, SIGCONT];

/// An interrupt that follows another this quickly is meant for the machine.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// Events of this process, for one run.
#[derive(Debug)]
pub struct Events {
    frames: OwnedFd,
    to: Arc<OwnedFd>,
}

impl Events {
    /// From now on SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 go to the container. A
    /// second SIGINT within a second ends this process with code 130. A container with a terminal
    /// hears of SIGWINCH, too. While SIGTSTP has this process stopped, the terminal is the user's.
    ///
    /// # Errors
    /// If the system has no more descriptors, threads or signal handlers.
    pub fn of_process() -> io::Result<Self> {
        let (frames, to) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let to = Arc::new(to);
        let own = Arc::clone(&to);
        let signals = Signals::new(FORWARDED.iter().chain(&TERMINAL))?;
        std::thread::Builder::new().name("signals".into()).spawn(move || forward(signals, &own))?;
        Ok(Self { frames, to })
    }

    /// The way to ask for a freeze of the run that has these events.
    #[must_use]
    pub fn freezer(&self) -> Freezer {
        Freezer(Arc::clone(&self.to))
    }

    /// The pipe with the frames, non-blocking.
    pub(crate) fn frames(&self) -> BorrowedFd<'_> {
        self.frames.as_fd()
    }
}

/// Asks for a freeze, from any thread.
#[derive(Debug, Clone)]
pub struct Freezer(Arc<OwnedFd>);

impl Freezer {
    /// Makes the container stand still; the run then ends with the machine in its hands.
    pub fn freeze(&self) {
        // A full pipe is one that the machine has not read for thousands of signals.
        let _ = rustix::io::write(&self.0, &Frame::Settle.encode());
    }
}

fn forward(mut signals: Signals, to: &OwnedFd) {
    let mut interrupted: Option<Instant> = None;
    for signal in signals.forever() {
        if signal == SIGINT {
            let now = Instant::now();
            if interrupted.replace(now).is_some_and(|last| now - last < IMPATIENCE) {
                end(signal);
            }
        }
        let frame = match signal {
            SIGTSTP => {
                stop();
                continue;
            }
            SIGCONT => {
                terminal::resume();
                Frame::Resize(terminal::size())
            }
            SIGWINCH => Frame::Resize(terminal::size()),
            forwarded => Frame::Signal(forwarded.unsigned_abs()),
        };
        // A full pipe is one that the machine has not read for thousands of signals.
        let _ = rustix::io::write(to, &frame.encode());
    }
}

/// Stops this process, as the signal would have without a handler.
fn stop() {
    terminal::suspend();
    // SIGSTOP, which cannot fail.
    let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
}

fn end(signal: i32) -> ! {
    terminal::restore();
    std::process::exit(exit_code::SIGNAL_BASE.cast_signed() + signal);
}
