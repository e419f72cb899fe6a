//! What a user sees who waits for something that is over in a moment most of the time.

use crate::progress::new_spinner;
use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is over before is not worth a line.
const DELAY: Duration = Duration::from_millis(300);

/// A line with the elapsed time on the user's terminal, gone when this is dropped.
pub(crate) struct Waiting {
    /// Its end is the thread's sign.
    over: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Shows `what` after a moment; nothing where standard error is no terminal.
    pub(crate) fn begin(what: String) -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let (over, end) = mpsc::channel();
        let show = move || {
            if end.recv_timeout(DELAY) == Err(RecvTimeoutError::Timeout) {
                let spinner = new_spinner(&what);
                let _ = end.recv();
                spinner.finish_and_clear();
            }
        };
        // A courtesy: without a thread there is none.
        let thread = std::thread::Builder::new().name("waiting".into()).spawn(show).ok()?;
        Some(Self { over: Some(over), thread: Some(thread) })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic, and the line has to be gone before others follow.
            let _ = thread.join();
        }
    }
}
