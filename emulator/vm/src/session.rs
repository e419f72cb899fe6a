//! The conversation with init: frames out of and into the control port, and what it has come to.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use lithify_control::wire::WireError;
use lithify_control::{Frame, FrameReader};

/// How far the guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Booting, or running its container.
    Working,
    /// Ready to be frozen.
    Ready,
    /// Ready to be frozen with its container.
    Settled,
    /// The container has ended with this code.
    Exited(u32),
    /// The container could not start.
    Failed { code: u32, message: Vec<u8> },
    /// The guest does not speak the protocol.
    Broken(WireError),
}

#[derive(Debug)]
struct State {
    reader: FrameReader,
    to_guest: VecDeque<u8>,
    progress: Progress,
    times: Option<Times>,
}

/// Moments of a run that is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    clock: fn() -> u64,
    /// When the guest went on after the thaw.
    pub(crate) thawed_ns: u64,
    /// When it executed the container's program, 0 if it did not.
    pub(crate) executed_ns: u64,
}

/// Shared between the control port and the loop that drives the machine.
#[derive(Debug, Clone)]
pub(crate) struct Session(Rc<RefCell<State>>);

impl Session {
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new(State {
            reader: FrameReader::default(),
            to_guest: VecDeque::new(),
            progress: Progress::Working,
            times: None,
        })))
    }

    pub(crate) fn progress(&self) -> Progress {
        self.0.borrow().progress.clone()
    }

    /// Asks for something; the guest is at work again.
    pub(crate) fn send(&self, frame: &Frame) {
        self.tell(frame);
        self.0.borrow_mut().progress = Progress::Working;
    }

    /// Tells something that asks for no answer.
    pub(crate) fn tell(&self, frame: &Frame) {
        self.0.borrow_mut().to_guest.extend(frame.encode());
    }

    /// The guest goes on now; measures by `clock`.
    pub(crate) fn measure(&self, clock: fn() -> u64) {
        let times = Times { clock, thawed_ns: clock(), executed_ns: 0 };
        self.0.borrow_mut().times = Some(times);
    }

    /// What was measured, which is forgotten then.
    pub(crate) fn take_times(&self) -> Option<Times> {
        self.0.borrow_mut().times.take()
    }

    /// Bytes from the guest.
    pub(crate) fn receive(&self, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        state.reader.push(bytes);
        loop {
            state.progress = match state.reader.next_frame() {
                Ok(None) => return,
                Ok(Some(Frame::Ready)) => Progress::Ready,
                Ok(Some(Frame::Settled)) => Progress::Settled,
                Ok(Some(Frame::Exit(code))) => Progress::Exited(code),
                Ok(Some(Frame::Failed { code, message })) => Progress::Failed { code, message },
                Ok(Some(Frame::Executes)) => {
                    let times = state.times.iter_mut();
                    times.for_each(|times| times.executed_ns = (times.clock)());
                    continue;
                }
                // Requests are the host's to make; a guest that sends one says nothing.
                Ok(Some(
                    Frame::Start(_)
                    | Frame::Signal(_)
                    | Frame::Resize(_)
                    | Frame::Settle
                    | Frame::Renew(_)
                    | Frame::Archived,
                )) => continue,
                Err(error) => {
                    state.progress = Progress::Broken(error);
                    return;
                }
            };
        }
    }

    /// Fills `into` with bytes for the guest; returns how many.
    pub(crate) fn take(&self, into: &mut [u8]) -> usize {
        let mut state = self.0.borrow_mut();
        let len = into.len().min(state.to_guest.len());
        for (target, byte) in into.iter_mut().zip(state.to_guest.drain(..len)) {
            *target = byte;
        }
        len
    }
}
