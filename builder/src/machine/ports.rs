//! Host side of the console ports: the conversation with init, the command's output, the archive
//! of what it changed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;

use lithify_control::wire::WireError;
use lithify_control::{Frame, FrameReader, port};
use lithify_image::Blob;
use lithify_machine::host::{Console, Input};

use super::MachineError;
use super::host::Faults;
use super::spool::Spool;
use crate::exec::Stream;

// Numbers of the ports, as `port::ALL` orders them.
const CONTROL: u32 = 0;
const STDIN: u32 = 1;
const STDOUT: u32 = 2;
const STDERR: u32 = 3;
const EXPORT: u32 = 4;

const _: () = assert!(port::ALL.len() == 5, "the numbers above name every port");

/// Output that may wait between two slices of the machine: the guest waits while it is full.
const MAX_WAITING: usize = 64 << 10;

/// The last thing that init said.
#[derive(Debug)]
pub(super) enum Said {
    Ready,
    Exited(u32),
    Failed(String),
    Broken(WireError),
}

#[derive(Debug)]
struct State {
    reader: FrameReader,
    to_guest: VecDeque<u8>,
    said: Option<Said>,
    output: Vec<(Stream, Vec<u8>)>,
    waiting: usize,
    /// The archive under way.
    spool: Option<Spool>,
    archives: Vec<Blob>,
    /// More are not asked for: each is an open file.
    max_archives: usize,
    /// Where archives are, without names.
    folder: PathBuf,
    faults: Faults,
}

/// The ports; clones are the same ones.
#[derive(Debug, Clone)]
pub(super) struct Ports(Rc<RefCell<State>>);

impl Ports {
    /// The guest may send this many archives; they are files without names in `folder`.
    pub(super) fn new(folder: PathBuf, max_archives: usize, faults: Faults) -> Self {
        Self(Rc::new(RefCell::new(State {
            reader: FrameReader::default(),
            to_guest: VecDeque::new(),
            said: None,
            output: Vec::new(),
            waiting: 0,
            spool: None,
            archives: Vec::new(),
            max_archives,
            folder,
            faults,
        })))
    }

    pub(super) fn send(&self, frame: &Frame) {
        let mut state = self.0.borrow_mut();
        state.said = None;
        state.to_guest.extend(frame.encode());
    }

    pub(super) fn take_said(&self) -> Option<Said> {
        self.0.borrow_mut().said.take()
    }

    /// What the command wrote since the last call, in order.
    pub(super) fn take_output(&self) -> Vec<(Stream, Vec<u8>)> {
        let mut state = self.0.borrow_mut();
        state.waiting = 0;
        std::mem::take(&mut state.output)
    }

    /// The archives of changes that the guest has written, in order.
    pub(super) fn take_archives(&self) -> Vec<Blob> {
        std::mem::take(&mut self.0.borrow_mut().archives)
    }
}

impl State {
    fn receive(&mut self, bytes: &[u8]) {
        if matches!(self.said, Some(Said::Broken(_))) {
            return;
        }
        self.reader.push(bytes);
        loop {
            self.said = Some(match self.reader.next_frame() {
                Ok(None) => return,
                Ok(Some(Frame::Archived)) => {
                    let ended = self.end_archive();
                    self.fault_unless(ended);
                    continue;
                }
                Ok(Some(Frame::Ready)) => Said::Ready,
                Ok(Some(Frame::Exit(code))) => Said::Exited(code),
                Ok(Some(Frame::Failed { message, .. })) => {
                    Said::Failed(String::from_utf8_lossy(&message).into_owned())
                }
                // Requests are the host's to make, and nobody asks a build's container to stand
                // still; a guest that sends one of these says nothing.
                Ok(Some(_)) => continue,
                Err(error) => {
                    self.said = Some(Said::Broken(error));
                    return;
                }
            });
        }
    }

    fn archive(&mut self, bytes: &[u8]) -> Result<(), MachineError> {
        if self.archives.len() == self.max_archives {
            return Err(MachineError::Unexpected("an archive".to_owned()));
        }
        let spool = match &mut self.spool {
            Some(spool) => spool,
            none => none.insert(Spool::create(&self.folder)?),
        };
        spool.write(bytes)
    }

    fn end_archive(&mut self) -> Result<(), MachineError> {
        let spool = self.spool.take().ok_or(MachineError::CutOff { len: 0 })?;
        self.archives.push(spool.archive()?);
        Ok(())
    }

    fn fault_unless(&self, done: Result<(), MachineError>) {
        if let Err(fault) = done {
            self.faults.report(fault);
        }
    }

    /// Takes as much output as may wait.
    fn queue(&mut self, stream: Stream, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(MAX_WAITING - self.waiting);
        if taken > 0 {
            self.waiting += taken;
            self.output.push((stream, bytes[..taken].to_vec()));
        }
        taken
    }
}

impl Console for Ports {
    fn write(&mut self, port: u32, bytes: &[u8]) -> usize {
        let state = &mut *self.0.borrow_mut();
        match port {
            STDOUT => return state.queue(Stream::Stdout, bytes),
            STDERR => return state.queue(Stream::Stderr, bytes),
            CONTROL => state.receive(bytes),
            EXPORT => {
                let written = state.archive(bytes);
                state.fault_unless(written);
            }
            _ => {}
        }
        bytes.len()
    }

    fn read(&mut self, port: u32, into: &mut [u8]) -> Input {
        let mut state = self.0.borrow_mut();
        let len = into.len().min(state.to_guest.len());
        match (port, len) {
            (STDIN, _) => Input::Closed,
            (CONTROL, 1..) => {
                into.iter_mut().zip(state.to_guest.drain(..len)).for_each(|(to, from)| *to = from);
                Input::Bytes(len)
            }
            _ => Input::Empty,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports() -> Ports {
        Ports::new(std::env::temp_dir(), 1, Faults::default())
    }

    #[test]
    fn output_that_nobody_takes_stops_the_guest() {
        let mut ports = ports();
        let bytes = vec![1; MAX_WAITING];
        assert_eq!(ports.write(STDOUT, &bytes[..100]), 100);
        assert_eq!(ports.write(STDERR, &bytes), MAX_WAITING - 100);
        assert_eq!(ports.write(STDOUT, &bytes), 0);
        let taken = ports.take_output();
        assert_eq!((taken[0].0, taken[0].1.len()), (Stream::Stdout, 100));
        assert_eq!((taken[1].0, taken[1].1.len()), (Stream::Stderr, MAX_WAITING - 100));
        assert_eq!(ports.write(STDOUT, &bytes), MAX_WAITING);
    }

    #[test]
    fn the_archive_is_spooled_apart_from_the_frames() {
        let mut ports = ports();
        assert_eq!(ports.write(EXPORT, &[0; 1024]), 1024);
        ports.write(CONTROL, &[Frame::Archived.encode(), Frame::Exit(0).encode()].concat());
        assert!(matches!(ports.take_said(), Some(Said::Exited(0))));
        let archives = ports.take_archives();
        assert_eq!(archives.iter().map(Blob::len).collect::<Vec<_>>(), [1024]);
    }

    #[test]
    fn archives_that_nobody_asked_for_are_faults() {
        let ports = ports();
        let fault = || ports.0.borrow().faults.check().unwrap_err().to_string();
        let mut guest = ports.clone();
        guest.write(CONTROL, &Frame::Archived.encode());
        assert_eq!(fault(), "the step's layer is cut off after 0 bytes");
        guest.write(EXPORT, &[0; 1024]);
        guest.write(CONTROL, &Frame::Archived.encode());
        guest.write(EXPORT, &[0; 1024]);
        assert!(fault().contains("`an archive`, which was not expected"));
    }

    #[test]
    fn a_guest_that_breaks_the_protocol_says_nothing_more() {
        let mut ports = ports();
        ports.write(CONTROL, &[0xff; 8]);
        ports.write(CONTROL, &Frame::Exit(0).encode());
        assert!(matches!(ports.take_said(), Some(Said::Broken(_))));
    }

    #[test]
    fn input_is_at_its_end_and_requests_arrive() {
        let mut ports = ports();
        let mut bytes = [0; 4096];
        assert_eq!(ports.read(STDIN, &mut bytes), Input::Closed);
        assert_eq!(ports.read(CONTROL, &mut bytes), Input::Empty);
        let frame = Frame::Signal(15);
        ports.send(&frame);
        let Input::Bytes(len) = ports.read(CONTROL, &mut bytes) else { panic!("a frame waits") };
        assert_eq!(bytes[..len], frame.encode());
    }
}
