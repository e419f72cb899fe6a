//! The machine's host traits bound to files, clocks and randomness of the host.
//!
//! A device cannot report that the host failed: it goes on with zeros, and the first failure,
//! kept in [`Faults`], ends the step.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lithify_machine::host::{Clock, Entropy, KernelLog};

use super::MachineError;

/// Bytes of the kernel's messages that are kept to explain a machine that stops: a guest can
/// print for ever.
const LOG_TAIL: usize = 4096;

/// The host's random number generator.
const RANDOM: &str = "/dev/urandom";

/// The first failure of the host.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(Rc<RefCell<Option<MachineError>>>);

impl Faults {
    pub(super) fn report(&self, fault: MachineError) {
        self.0.borrow_mut().get_or_insert(fault);
    }

    pub(super) fn check(&self) -> Result<(), MachineError> {
        self.0.borrow_mut().take().map_or(Ok(()), Err)
    }
}

pub(super) fn failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> MachineError + use<> {
    let path = path.to_owned();
    move |source| MachineError::Host { action, path, source }
}

/// The host's clocks.
#[derive(Debug)]
pub(super) struct HostClock(Instant);

impl HostClock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since 1970.
    pub(super) fn now() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Clock for HostClock {
    fn monotonic_ns(&mut self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn realtime_ns(&mut self) -> u64 {
        Self::now()
    }
}

/// The host's randomness.
#[derive(Debug)]
pub(super) struct Randomness {
    file: File,
    faults: Faults,
}

impl Randomness {
    pub(super) fn open(faults: Faults) -> Result<Self, MachineError> {
        let file = File::open(RANDOM).map_err(failed("open", Path::new(RANDOM)))?;
        Ok(Self { file, faults })
    }

    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

impl Entropy for Randomness {
    fn fill(&mut self, into: &mut [u8]) {
        if let Err(error) = self.file.read_exact(into) {
            into.fill(0);
            self.faults.report(failed("read", Path::new(RANDOM))(error));
        }
    }
}

/// The kernel's last messages.
#[derive(Debug, Clone, Default)]
pub(super) struct Messages(Rc<RefCell<VecDeque<u8>>>);

impl Messages {
    /// The messages, without what could steer a terminal.
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.borrow().iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
    }
}

impl KernelLog for Messages {
    fn write(&mut self, bytes: &[u8]) {
        let mut tail = self.0.borrow_mut();
        tail.extend(&bytes[bytes.len().saturating_sub(LOG_TAIL)..]);
        let excess = tail.len().saturating_sub(LOG_TAIL);
        tail.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_the_kernel_s_messages_is_kept() {
        let mut messages = Messages::default();
        messages.write(&vec![b'a'; 3 * LOG_TAIL]);
        messages.write(b"\x1b[2Jlast\n");
        let text = messages.text();
        assert!(text.len() < LOG_TAIL && text.ends_with("a[2Jlast\n"), "{text}");
    }
}
