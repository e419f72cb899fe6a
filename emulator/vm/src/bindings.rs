//! The machine's host traits bound to WASI and to the imports of the snapshot stage.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use lithify_control::{Frame, port};
use lithify_machine::host::{BootFile, Clock, Console, Entropy, Input, KernelLog};

use crate::imports::{self, BootItem};
use crate::session::Session;
use crate::wasi;

/// A boot item as a file.
#[derive(Debug)]
pub(crate) struct BootImport(pub(crate) BootItem);

impl BootFile for BootImport {
    fn len(&self) -> u64 {
        imports::boot_len(self.0)
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) {
        imports::boot_read(self.0, into, offset);
    }
}

/// The host's clocks.
#[derive(Debug)]
pub(crate) struct WasiClock;

impl Clock for WasiClock {
    fn monotonic_ns(&mut self) -> u64 {
        wasi::monotonic_ns()
    }

    fn realtime_ns(&mut self) -> u64 {
        wasi::realtime_ns()
    }
}

/// Randomness: from a seed until the thaw, from the host after it.
#[derive(Debug, Clone)]
pub(crate) struct Randomness(Rc<Cell<Source>>);

#[derive(Debug, Clone, Copy)]
enum Source {
    Seed(u64),
    Host,
}

impl Randomness {
    /// A deterministic stream. It never reaches a container: the thaw replaces it and the guest's
    /// kernel is reseeded.
    pub(crate) fn seeded(seed: [u8; 32]) -> Self {
        let words = seed.chunks_exact(8).filter_map(|word| word.first_chunk());
        let seed = words.fold(0, |seed, word| seed ^ u64::from_le_bytes(*word));
        Self(Rc::new(Cell::new(Source::Seed(seed))))
    }

    pub(crate) fn thaw(&self) {
        self.0.set(Source::Host);
    }
}

impl Entropy for Randomness {
    fn fill(&mut self, into: &mut [u8]) {
        match self.0.get() {
            Source::Seed(mut seed) => {
                for byte in into {
                    *byte = split_mix(&mut seed) as u8;
                }
                self.0.set(Source::Seed(seed));
            }
            Source::Host => {
                if let Err(error) = wasi::random(into) {
                    wasi::report(&format!("the host has no randomness: {error}"));
                    wasi::exit(lithify_control::exit_code::LITHIFY);
                }
            }
        }
    }
}

/// One step of the SplitMix64 generator.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Bytes of the kernel's messages that are kept to explain a guest that stops.
const LOG_TAIL: usize = 4096;

/// The kernel's messages: to the snapshot stage while booting, then kept, and shown on request.
#[derive(Debug, Clone)]
pub(crate) struct Messages(Rc<RefCell<MessageState>>);

#[derive(Debug)]
struct MessageState {
    booting: bool,
    shown: bool,
    tail: VecDeque<u8>,
}

impl Messages {
    pub(crate) fn booting() -> Self {
        Self(Rc::new(RefCell::new(MessageState {
            booting: true,
            shown: false,
            tail: VecDeque::new(),
        })))
    }

    /// From now on messages go to standard error if `shown`.
    pub(crate) fn thaw(&self, shown: bool) {
        let mut state = self.0.borrow_mut();
        state.booting = false;
        state.shown = shown;
    }

    /// The messages so far are nobody's business any more.
    pub(crate) fn freeze(&self) {
        self.0.borrow_mut().tail = VecDeque::new();
    }

    /// The last messages, without what could steer a terminal.
    pub(crate) fn tail(&self) -> String {
        let bytes: Vec<u8> = self.0.borrow().tail.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
    }
}

impl KernelLog for Messages {
    fn write(&mut self, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        if state.booting {
            imports::boot_log(bytes);
            return;
        }
        if state.shown {
            wasi::print_error(bytes);
        }
        state.tail.extend(bytes);
        let excess = state.tail.len().saturating_sub(LOG_TAIL);
        state.tail.drain(..excess);
    }
}

/// Numbers of the console ports, as [`port::ALL`] orders them. The last, for exports, carries nothing
/// in an artifact, which never asks for one: what a container writes there anyway is discarded.
pub(crate) mod number {
    pub(crate) const CONTROL: u32 = 0;
    pub(crate) const STDIN: u32 = 1;
    pub(crate) const STDOUT: u32 = 2;
    pub(crate) const STDERR: u32 = 3;
}

const _: () = assert!(port::ALL.len() == 5, "the numbers above name every port but the export's");

/// What a process ends with that writes to a pipe nobody reads: killed by SIGPIPE.
const BROKEN_PIPE: u32 = lithify_control::exit_code::SIGNAL_BASE + 13;

/// Where the container's streams lead. The guest opens its ends before the freeze, and asking the
/// host about its own then would be asking the one that builds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams(Rc<Cell<FarEnd>>);

#[derive(Debug, Clone, Copy, Default)]
enum FarEnd {
    #[default]
    Nobody,
    /// Who builds sees the output; there is no input yet.
    Build,
    /// WASI's streams.
    Host,
}

impl Streams {
    pub(crate) fn show_build(&self) {
        self.0.set(FarEnd::Build);
    }

    pub(crate) fn thaw(&self) {
        self.0.set(FarEnd::Host);
    }

    pub(crate) fn freeze(&self) {
        self.0.set(FarEnd::Nobody);
    }
}

/// The console ports: control is the session, the rest are the WASI streams.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) session: Session,
    pub(crate) streams: Streams,
}

impl Console for Ports {
    fn write(&mut self, port: u32, bytes: &[u8]) -> usize {
        match port {
            number::CONTROL => {
                self.session.receive(bytes);
                bytes.len()
            }
            number::STDOUT => self.write_output(1, bytes),
            number::STDERR => self.write_output(2, bytes),
            _ => bytes.len(),
        }
    }

    fn read(&mut self, port: u32, into: &mut [u8]) -> Input {
        match port {
            number::CONTROL => match self.session.take(into) {
                0 => Input::Empty,
                len => Input::Bytes(len),
            },
            _ if !matches!(self.streams.0.get(), FarEnd::Host) => Input::Empty,
            number::STDIN if !wasi::wait(true, [None; wasi::MAX_WAITED], 0) => Input::Empty,
            number::STDIN => match wasi::read_stdin(into) {
                Ok(0) | Err(_) => Input::Closed,
                Ok(len) => Input::Bytes(len),
            },
            _ => Input::Empty,
        }
    }
}

impl Ports {
    fn write_output(&self, fd: u32, bytes: &[u8]) -> usize {
        match self.streams.0.get() {
            FarEnd::Nobody => 0,
            FarEnd::Build => {
                if imports::boot_output(bytes) {
                    self.session.tell(&Frame::Settle);
                }
                bytes.len()
            }
            FarEnd::Host => write_stream(fd, bytes),
        }
    }
}

fn write_stream(fd: u32, bytes: &[u8]) -> usize {
    match wasi::write(fd, bytes) {
        Ok(len) => len,
        Err(wasip1::ERRNO_AGAIN | wasip1::ERRNO_INTR) => 0,
        Err(_) => wasi::exit(BROKEN_PIPE),
    }
}
