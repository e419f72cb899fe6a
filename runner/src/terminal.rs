//! The user's terminal, as the container's.
//!
//! While a container with a terminal runs, the user's passes every byte on unchanged, Ctrl-C
//! included. How it was before is kept for the whole process: each way out restores it, also those
//! that unwind nothing, and so does each stop of the process, after which it is taken again.

use lithify_control::WindowSize;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// How the terminal was, and how it is while a container has it.
#[derive(Debug)]
struct Modes {
    before: Termios,
    raw: Termios,
}

/// Of the terminal, while a container has it.
static MODES: Mutex<Option<Modes>> = Mutex::new(None);

/// `--tty`: the container gets a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// The user types into it.
    interactive: bool,
}

/// There is nothing to type on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the input device is not a TTY")]
pub struct NotATerminal;

impl Terminal {
    /// This process's terminal; standard input is part of it only if `interactive`.
    ///
    /// # Errors
    /// If it is, and is no terminal.
    pub fn of_process(interactive: bool) -> Result<Self, NotATerminal> {
        if interactive && !isatty(io::stdin()) {
            return Err(NotATerminal);
        }
        Ok(Self { interactive })
    }

    /// Lets every byte pass until the guard is dropped.
    pub(crate) fn enter(self) -> io::Result<Raw> {
        if self.interactive {
            restore_on_panic();
            let before = tcgetattr(io::stdin())?;
            let mut raw = before.clone();
            raw.make_raw();
            *kept() = Some(Modes { before, raw: raw.clone() });
            tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        }
        Ok(Raw(()))
    }
}

/// The terminal is raw as long as this lives.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back as it was, if a container has it.
pub(crate) fn restore() {
    if let Some(modes) = kept().take() {
        set(&modes.before);
    }
}

/// Gives the terminal back before this process stops.
pub(crate) fn suspend() {
    if let Some(modes) = &*kept() {
        set(&modes.before);
    }
}

/// Takes the terminal again when this process goes on. In the background the system stops the
/// process here until it is in the foreground.
pub(crate) fn resume() {
    if let Some(modes) = &*kept() {
        set(&modes.raw);
    }
}

/// A terminal that cannot be set is gone, and with it whoever would be told.
fn set(modes: &Termios) {
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
}

fn kept() -> MutexGuard<'static, Option<Modes>> {
    MODES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a panic aborts, no guard is dropped; and its message is better read in a restored
/// terminal.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
    });
}

/// The size of the terminal that one of the standard streams is; zeros if none is.
pub(crate) fn size() -> WindowSize {
    let of = |file: &dyn AsFd| tcgetwinsize(file.as_fd()).ok();
    let size = of(&io::stdin()).or_else(|| of(&io::stdout())).or_else(|| of(&io::stderr()));
    size.map_or(WindowSize { rows: 0, columns: 0 }, |size| WindowSize {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}
