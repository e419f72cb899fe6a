//! Frames over the control port.

use crate::error::{Context, Error};
use crate::ports;
use lithify_control::{Frame, FrameReader, StartRequest};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The port hands out one of the driver's buffers at a time, and those are a page each.
const CHUNK: usize = 4096;

/// How long the host may take to end a machine whose container has ended.
const LINGER: Duration = Duration::from_secs(10);

/// The control port, a blocking file.
pub(crate) struct ControlPort {
    file: File,
    frames: FrameReader,
}

impl ControlPort {
    pub(crate) fn new(port: OwnedFd) -> Self {
        Self { file: port.into(), frames: FrameReader::default() }
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// If the host has closed its side.
    pub(crate) fn send(&mut self, frame: &Frame) -> Result<(), Error> {
        self.file.write_all(&frame.encode()).during(|| "write to the control port".to_owned())
    }

    /// Blocks until the host asks for the container's start; the machine freezes in here.
    ///
    /// # Errors
    /// If the host closes the port or sends something else than frames.
    pub(crate) fn wait_for_start(&mut self) -> Result<StartRequest, Error> {
        loop {
            match self.frames.next_frame()? {
                Some(Frame::Start(request)) => return Ok(request),
                // There is nothing yet that a signal could reach.
                Some(_) => {}
                None if self.fill()? => {}
                None => return Err(Error::ControlClosed),
            }
        }
    }

    /// Reads what has arrived; `false` when the host has closed its side.
    ///
    /// # Errors
    /// If reading fails.
    pub(crate) fn fill(&mut self) -> Result<bool, Error> {
        let mut bytes = [0; CHUNK];
        let len = self.file.read(&mut bytes).during(|| "read the control port".to_owned())?;
        self.frames.push(&bytes[..len]);
        Ok(len > 0)
    }

    /// Whether there is something to read; does not wait.
    ///
    /// # Errors
    /// If the kernel refuses to tell.
    pub(crate) fn has_input(&self) -> Result<bool, Error> {
        ports::wait_readable(&self.file, Duration::ZERO)
    }

    /// The next of the frames read so far.
    ///
    /// # Errors
    /// If the bytes are no frames.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        Ok(self.frames.next_frame()?)
    }

    /// The host stops the machine once it has read the last frame. Returns if it does not, or
    /// closes its side instead.
    ///
    /// # Errors
    /// If the kernel refuses to wait.
    pub(crate) fn linger(&mut self) -> Result<(), Error> {
        ports::wait_readable(&self.file, LINGER).map(|_| ())
    }
}

impl AsFd for ControlPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
