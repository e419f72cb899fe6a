//! What our runner has to say while the container runs; other runtimes say nothing.

use lithify_control::wire::WireError;
use lithify_control::{Frame, FrameReader, Overrides};
use wasip1::Fd;

use crate::session::Session;
use crate::wasi;

/// Longer than what arrives between two looks.
const CHUNK: usize = 256;

/// The runner's events, none if it offers none.
#[derive(Debug, Default)]
pub(crate) struct Events {
    file: Option<Fd>,
    frames: FrameReader,
}

impl Events {
    /// Looks for the runner's file.
    pub(crate) fn open() -> Self {
        let file = wasi::open_preopened(Overrides::DIRECTORY, Overrides::EVENTS);
        Self { file, frames: FrameReader::default() }
    }

    /// What is to be waited for.
    pub(crate) fn file(&self) -> Option<Fd> {
        self.file
    }

    /// Hands to the guest what has happened since the last look. Does not wait.
    ///
    /// # Errors
    /// If the runner does not write frames.
    pub(crate) fn forward(&mut self, session: &Session) -> Result<(), WireError> {
        let Some(file) = self.file else { return Ok(()) };
        let mut bytes = [0; CHUNK];
        match wasi::read(file, &mut bytes) {
            Ok(len @ 1..) => self.frames.push(&bytes[..len]),
            Err(wasip1::ERRNO_AGAIN | wasip1::ERRNO_INTR) => return Ok(()),
            Ok(_) | Err(_) => self.file = None,
        }
        while let Some(frame) = self.frames.next_frame()? {
            if let Frame::Signal(_) | Frame::Resize(_) | Frame::Settle = frame {
                session.tell(&frame);
            }
        }
        Ok(())
    }
}
