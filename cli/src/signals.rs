//! Ctrl-C, and its polite sibling SIGTERM.

use crate::error::CliError;
use crate::exit::Exit;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

/// While it lives, interrupts cancel; a container that runs afterwards has them for itself.
#[must_use = "interrupts are listened to only while this lives"]
pub(crate) struct Listening(Handle);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Calls `cancel` at the first signal, for a clean end; the second ends the program at once.
pub(crate) fn on_interrupt(cancel: impl FnOnce() + Send + 'static) -> Result<Listening, CliError> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(CliError::own)?;
    let listening = Listening(signals.handle());
    std::thread::spawn(move || {
        let mut arrived = signals.forever();
        if arrived.next().is_some() {
            cancel();
        }
        if let Some(signal) = arrived.next() {
            std::process::exit(Exit::Guest(128 + signal.cast_unsigned()).code());
        }
    });
    Ok(listening)
}
