//! Bytes between the container's pipes and the host's ports while the container runs.
//!
//! A stream waits for one thing at a time: for its source while it holds nothing, for its sink
//! while it does. So nothing is read that cannot be kept, and a slow reader slows its writer.
//! Bytes are copied and not spliced: the port driver's `splice_write` loses what it has taken
//! off a pipe when the virtqueue has fewer free descriptors than the pipe had buffers.

use crate::control::ControlPort;
use crate::error::{Context, Error};
use crate::pauses::{Pauses, Resumed};
use crate::ports::HostEnds;
use crate::spawn::Child;
use crate::streams::OurEnds;
use crate::terminal;
use lithify_control::Frame;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The driver copies each write into one piece of contiguous memory; this much it can find on
/// a fragmented machine too.
const OUTPUT_LEN: usize = 16 << 10;

/// The driver hands out a page at a time.
const INPUT_LEN: usize = 4096;

/// The three streams, or a terminal in their place.
#[derive(Debug)]
pub(crate) struct Relay {
    streams: [Stream; 3],
    /// Where the master of a terminal arrives.
    masters: OwnedFd,
    terminal: Option<OwnedFd>,
}

const STDIN: usize = 0;

/// How a relay ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The container has ended with this code.
    Exited(u32),
    /// The container could not go on after a thaw; one line for the user.
    Failed(String),
}

impl Relay {
    /// Joins pipes and ports.
    pub(crate) fn new(pipes: OurEnds, ports: HostEnds) -> Self {
        let streams = [
            Stream::new(Direction::In, pipes.stdin, ports.stdin),
            Stream::new(Direction::Out, pipes.stdout, ports.stdout),
            Stream::new(Direction::Out, pipes.stderr, ports.stderr),
        ];
        Self { streams, masters: pipes.terminal, terminal: None }
    }

    /// Relays bytes and signals until the container has ended and all it wrote is with the host. The
    /// machine freezes in here as often as `pauses` says.
    ///
    /// # Errors
    /// If polling fails or the host sends what is no frame.
    pub(crate) fn run(
        &mut self,
        child: &Child,
        control: &mut ControlPort,
        mut pauses: Pauses<'_>,
    ) -> Result<End, Error> {
        self.adopt_terminal()?;
        let mut host_listens = true;
        let mut code = None;
        loop {
            // The first may have arrived in one read with the start request.
            while let Some(frame) = control.next_frame()? {
                self.obey(&frame, child, &mut pauses);
            }
            if let (Some(code), true) = (code, self.is_finished()) {
                return Ok(End::Exited(code));
            }
            if code.is_none() && pauses.is_due(child) {
                match pauses.pause(child, control, || self.flush())? {
                    Ok(resumed) => self.resume(&resumed, child, &mut pauses),
                    Err(failure) => return Ok(End::Failed(failure)),
                }
            }
            let [stdin, stdout, stderr] = self.streams.each_ref().map(Stream::interest);
            let child_end = code.is_none().then(|| (child.as_fd(), PollFlags::IN));
            let frames = host_listens.then(|| (control.as_fd(), PollFlags::IN));
            let hooks = pauses.hooks().map(|hooks| (hooks, PollFlags::IN));
            let [streams @ .., child_end, frames, hooks] =
                wait([stdin, stdout, stderr, child_end, frames, hooks], pauses.patience())?;
            for (stream, ready) in self.streams.iter_mut().zip(streams) {
                stream.advance(ready);
            }
            if !frames.is_empty() {
                host_listens = control.fill()?;
            }
            if !hooks.is_empty()
                && let Err(failure) = pauses.end_hooks()
            {
                return Ok(End::Failed(failure));
            }
            if !child_end.is_empty() {
                code = Some(child.wait()?);
                self.streams[STDIN].finish();
            }
        }
    }

    /// Puts the container's terminal, if it has one, in the place of the pipes: what is typed goes
    /// in, what is shown is standard output.
    fn adopt_terminal(&mut self) -> Result<(), Error> {
        let Some(master) = terminal::receive(&self.masters)? else { return Ok(()) };
        let duplicate = || rustix::io::fcntl_dupfd_cloexec(&master, 0);
        let [stdin, stdout, stderr] = &mut self.streams;
        stdin.pipe = Some(duplicate().during(|| "duplicate the terminal".to_owned())?);
        stdout.pipe = Some(duplicate().during(|| "duplicate the terminal".to_owned())?);
        stderr.finish();
        self.terminal = Some(master);
        Ok(())
    }

    /// Moves output as far as the host takes it. Input stays with the host: the next one has its own.
    fn flush(&mut self) -> Result<(), Error> {
        loop {
            let [_, stdout, stderr] = self.streams.each_ref().map(Stream::interest);
            let ready = wait([stdout, stderr], Some(Duration::ZERO))?;
            if ready.iter().all(PollFlags::is_empty) {
                return Ok(());
            }
            for (stream, ready) in self.streams[STDIN + 1..].iter_mut().zip(ready) {
                stream.advance(ready);
            }
        }
    }

    fn resume(&self, resumed: &Resumed, child: &Child, pauses: &mut Pauses<'_>) {
        for frame in &resumed.frames {
            self.obey(frame, child, pauses);
        }
        if let Some(size) = resumed.terminal {
            self.obey(&Frame::Resize(size), child, pauses);
        }
    }

    /// Does what the host asks for while the container runs.
    fn obey(&self, frame: &Frame, child: &Child, pauses: &mut Pauses<'_>) {
        match (frame, &self.terminal) {
            (Frame::Settle, _) => pauses.ask(),
            (Frame::Signal(number), _) => child.signal(*number),
            (Frame::Resize(size), Some(master)) => {
                // A terminal that everybody has closed has no size that matters.
                let _ = terminal::resize(master, *size);
            }
            _ => {}
        }
    }

    fn is_finished(&self) -> bool {
        self.streams.iter().all(|stream| stream.interest().is_none())
    }
}

type Interest<'a> = Option<(BorrowedFd<'a>, PollFlags)>;

/// What happened to each, nothing where there was no interest. Blocks until something has, or for
/// this long.
fn wait<const N: usize>(
    interests: [Interest<'_>; N],
    patience: Option<Duration>,
) -> Result<[PollFlags; N], Error> {
    let patience = patience.map(|patience| Timespec::try_from(patience).unwrap_or_default());
    let active = interests.iter().flatten();
    let mut polled: Vec<PollFd<'_>> =
        active.map(|&(fd, flags)| PollFd::from_borrowed_fd(fd, flags)).collect();
    match rustix::event::poll(&mut polled, patience.as_ref()) {
        Err(Errno::INTR) => return Ok([PollFlags::empty(); N]),
        polled => polled.during(|| "wait for streams".to_owned())?,
    };
    let mut ready = polled.iter().map(PollFd::revents);
    Ok(interests.map(|interest| interest.and_then(|_| ready.next()).unwrap_or(PollFlags::empty())))
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    /// From the port into the pipe.
    In,
    /// From the pipe into the port.
    Out,
}

#[derive(Debug)]
struct Stream {
    direction: Direction,
    /// Absent once the stream has ended: closing it is how the container learns.
    pipe: Option<OwnedFd>,
    /// Stays open: closing it would cost a message, and the exit code ends all streams anyway.
    port: OwnedFd,
    buffer: Box<[u8]>,
    /// The part of `buffer` that the sink has not taken yet.
    pending: Range<usize>,
}

impl Stream {
    fn new(direction: Direction, pipe: OwnedFd, port: OwnedFd) -> Self {
        let len = match direction {
            Direction::In => INPUT_LEN,
            Direction::Out => OUTPUT_LEN,
        };
        let buffer = vec![0; len].into_boxed_slice();
        Self { direction, pipe: Some(pipe), port, buffer, pending: 0..0 }
    }

    fn interest(&self) -> Interest<'_> {
        let (pipe, port) = (self.pipe.as_ref()?.as_fd(), self.port.as_fd());
        Some(match (self.direction, self.pending.is_empty()) {
            (Direction::In, true) => (port, PollFlags::IN),
            (Direction::In, false) => (pipe, PollFlags::OUT),
            (Direction::Out, true) => (pipe, PollFlags::IN),
            (Direction::Out, false) => (port, PollFlags::OUT),
        })
    }

    fn finish(&mut self) {
        self.pipe = None;
    }

    /// Moves one buffer's worth, after [`interest`](Self::interest) was answered with `ready`.
    fn advance(&mut self, ready: PollFlags) {
        if ready.is_empty() {
            return;
        }
        let sink_is_gone = !self.pending.is_empty() && ready.contains(PollFlags::HUP);
        if let Ok(()) = self.read()
            && let Ok(()) = self.write()
            && !sink_is_gone
        {
            return;
        }
        self.finish();
    }

    /// Fills an empty buffer. An error is the stream's end, whatever its number.
    fn read(&mut self) -> Result<(), Errno> {
        let Some(pipe) = self.pipe.as_ref().filter(|_| self.pending.is_empty()) else {
            return Ok(());
        };
        let read = match self.direction {
            Direction::In => rustix::io::read(&self.port, &mut *self.buffer),
            Direction::Out => rustix::io::read(pipe, &mut *self.buffer),
        };
        match unless_too_early(read)? {
            Some(0) => Err(Errno::PIPE),
            len => {
                self.pending = 0..len.unwrap_or(0);
                Ok(())
            }
        }
    }

    /// Empties the buffer as far as the sink takes it.
    fn write(&mut self) -> Result<(), Errno> {
        let Some(pipe) = self.pipe.as_ref().filter(|_| !self.pending.is_empty()) else {
            return Ok(());
        };
        let bytes = &self.buffer[self.pending.clone()];
        let written = match self.direction {
            Direction::In => rustix::io::write(pipe, bytes),
            Direction::Out => rustix::io::write(&self.port, bytes),
        };
        self.pending.start += unless_too_early(written)?.unwrap_or(0);
        Ok(())
    }
}

/// `None` where the kernel asks to try again later.
fn unless_too_early(done: Result<usize, Errno>) -> Result<Option<usize>, Errno> {
    match done {
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        done => done.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    fn pipe() -> (OwnedFd, OwnedFd) {
        pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).expect("pipe")
    }

    fn read_all(from: &OwnedFd) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        let mut len = 0;
        while let Ok(more @ 1..) = rustix::io::read(from, &mut bytes[len..]) {
            len += more;
        }
        bytes.truncate(len);
        bytes
    }

    fn advance_until_idle(stream: &mut Stream) {
        for _ in 0..100 {
            let Some((fd, flags)) = stream.interest() else { return };
            let mut poll = [PollFd::from_borrowed_fd(fd, flags)];
            rustix::event::poll(&mut poll, Some(&rustix::event::Timespec::default()))
                .expect("poll");
            stream.advance(poll[0].revents());
        }
    }

    #[test]
    fn a_full_sink_stops_the_source_and_loses_nothing() {
        let (source, feed) = pipe();
        let (out, sink) = pipe();
        let mut stream = Stream::new(Direction::Out, source, sink);
        let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut fed, mut got) = (0, Vec::new());
        while got.len() < sent.len() {
            fed += rustix::io::write(&feed, &sent[fed..]).unwrap_or(0);
            advance_until_idle(&mut stream);
            assert!(fed - got.len() <= (128 << 10) + OUTPUT_LEN, "pipes and buffer are bounded");
            got.extend(read_all(&out));
        }
        assert_eq!(got, sent);
    }

    #[test]
    fn the_end_of_the_source_closes_the_sink() {
        let (source, feed) = pipe();
        let (out, sink) = pipe();
        let mut stream = Stream::new(Direction::In, sink, source);
        rustix::io::write(&feed, b"last words").expect("written");
        drop(feed);
        advance_until_idle(&mut stream);
        assert!(stream.interest().is_none());
        assert_eq!(read_all(&out), b"last words");
        assert_eq!(rustix::io::read(&out, &mut [0; 1]), Ok(0));
    }

    #[test]
    fn a_container_that_closes_its_input_ends_the_stream() {
        let (source, feed) = pipe();
        let (out, sink) = pipe();
        let mut stream = Stream::new(Direction::In, sink, source);
        drop(out);
        rustix::io::write(&feed, b"unheard").expect("written");
        advance_until_idle(&mut stream);
        assert!(stream.interest().is_none());
    }
}
