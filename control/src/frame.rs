//! The control port: a `u32` length, a tag byte, a payload; the length counts tag and payload.

use crate::start::StartRequest;
use crate::terminal::WindowSize;
use crate::warm::Renewal;
use crate::wire::{Decoder, Encoder, WireError};

/// Longest frame that either side accepts: argv and env may be as large as a kernel's `execve`
/// takes, and a hostile guest cannot make the vm buffer more than this.
pub const MAX_FRAME_LEN: u32 = 16 << 20;

/// One message on the control port.
#[allow(
    clippy::large_enum_variant,
    reason = "frames are few, and none is kept; not large on 32 bits"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Guest: everything is mounted and waiting; freeze now.
    Ready,
    /// Guest: the archive on the export port is whole; the next byte there begins another.
    Archived,
    /// Guest: the container process executes its program now. Only if the [`Start`](Self::Start) asks for it.
    Executes,
    /// Guest: the container process has ended with this code and its output is drained.
    Exit(u32),
    /// Guest: the container process could not start.
    Failed {
        /// One of [`crate::exit_code`].
        code: u32,
        /// One line for the user.
        message: Vec<u8>,
    },
    /// Guest: the container runs, but stands still, and init waits for [`Renew`](Self::Renew);
    /// freeze now.
    Settled,
    /// Host: start the container process.
    Start(StartRequest),
    /// Host: deliver this signal (Linux number) to the container process.
    Signal(u32),
    /// Host: the terminal has this size now.
    Resize(WindowSize),
    /// Host: make the container stand still and say [`Settled`](Self::Settled).
    Settle,
    /// Host: the machine was thawed; let the container go on.
    Renew(Renewal),
}

const READY: u8 = 1;
const EXIT: u8 = 2;
const FAILED: u8 = 3;
const ARCHIVED: u8 = 4;
const SETTLED: u8 = 5;
const EXECUTES: u8 = 6;
const START: u8 = 16;
const SIGNAL: u8 = 17;
const RESIZE: u8 = 18;
const SETTLE: u8 = 19;
const RENEW: u8 = 20;

impl Frame {
    /// The frame with its length in front.
    ///
    /// # Panics
    /// If the payload is 4 GiB or longer.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::default();
        match self {
            Self::Ready => {
                to.u8(READY);
            }
            Self::Archived => {
                to.u8(ARCHIVED);
            }
            Self::Settled => {
                to.u8(SETTLED);
            }
            Self::Executes => {
                to.u8(EXECUTES);
            }
            Self::Exit(code) => {
                to.u8(EXIT).u32(*code);
            }
            Self::Failed { code, message } => {
                to.u8(FAILED).u32(*code).bytes(message);
            }
            Self::Start(request) => {
                to.u8(START);
                request.encode(&mut to);
            }
            Self::Signal(number) => {
                to.u8(SIGNAL).u32(*number);
            }
            Self::Resize(size) => size.encode(to.u8(RESIZE)),
            Self::Settle => {
                to.u8(SETTLE);
            }
            Self::Renew(renewal) => {
                to.u8(RENEW);
                renewal.encode(&mut to);
            }
        }
        let body = to.finish();
        Encoder::default().bytes(&body).finish()
    }

    fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut from = Decoder::new(body);
        let frame = match from.u8()? {
            READY => Self::Ready,
            ARCHIVED => Self::Archived,
            SETTLED => Self::Settled,
            EXECUTES => Self::Executes,
            EXIT => Self::Exit(from.u32()?),
            FAILED => Self::Failed { code: from.u32()?, message: from.bytes()? },
            START => Self::Start(StartRequest::decode(&mut from)?),
            SIGNAL => Self::Signal(from.u32()?),
            RESIZE => Self::Resize(WindowSize::decode(&mut from)?),
            SETTLE => Self::Settle,
            RENEW => Self::Renew(Renewal::decode(&mut from)?),
            tag => return Err(WireError::UnknownTag(tag)),
        };
        from.finish()?;
        Ok(frame)
    }
}

/// Cuts a byte stream into frames.
#[derive(Debug, Default)]
pub struct FrameReader {
    pending: Vec<u8>,
}

impl FrameReader {
    /// Adds bytes as they arrive, in pieces of any size.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` until more bytes arrive.
    ///
    /// # Errors
    /// If the stream is not a sequence of frames; it cannot be resynchronised after that.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        let Some(header) = self.pending.first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*header);
        if len > MAX_FRAME_LEN {
            return Err(WireError::FrameTooLong(len));
        }
        let end = 4 + len as usize;
        if self.pending.len() < end {
            return Ok(None);
        }
        let frame = Frame::decode(&self.pending[4..end])?;
        self.pending.drain(..end);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mount, MountKind, Readiness, Volume};

    fn mounts() -> Vec<Mount> {
        let kinds = [
            MountKind::Bind { volume: 1, file: Some(b"f".to_vec()), writable: true },
            MountKind::Cache { volume: 2 },
            MountKind::Tmpfs { size: Some(1 << 40) },
            MountKind::Tmpfs { size: None },
            MountKind::File { content: vec![0xff; 9], mode: 0o400, uid: 1, gid: 2 },
            MountKind::Socket { port: 61_000, mode: 0o600, uid: 3, gid: 4 },
        ];
        kinds.map(|kind| Mount { target: b"/t".to_vec(), kind }).to_vec()
    }

    fn renew() -> Frame {
        Frame::Renew(Renewal {
            hostname: b"flint".to_vec(),
            realtime_ns: 1,
            entropy: [9; crate::THAW_ENTROPY_LEN],
            env: vec![b"B=1".to_vec()],
            mounts: mounts(),
            network: true,
            hosts: b"192.0.2.1\tother\n".to_vec(),
            terminal: None,
            freeze_at: Some(Readiness::Port(8080)),
        })
    }

    fn start() -> Frame {
        Frame::Start(StartRequest {
            argv: vec![b"/bin/sh".to_vec(), b"-c".to_vec(), Vec::new()],
            env: vec![b"A=\xff".to_vec()],
            cwd: b"/".to_vec(),
            user: Vec::new(),
            hostname: b"stone".to_vec(),
            realtime_ns: u64::MAX,
            entropy: [7; crate::THAW_ENTROPY_LEN],
            volumes: vec![Volume { offset: 0, len: 512 }, Volume { offset: 1 << 40, len: 4096 }],
            mounts: mounts(),
            network: true,
            hosts: b"192.0.2.1\tother\n".to_vec(),
            privileged: true,
            export: true,
            terminal: Some(WindowSize { rows: 24, columns: 80 }),
            freeze_at: Some(Readiness::File(b"/run/ready".to_vec())),
            tell_execution: true,
        })
    }

    #[test]
    fn frames_survive_any_cut_of_the_stream() {
        let frames = [
            Frame::Ready,
            start(),
            Frame::Signal(15),
            Frame::Resize(WindowSize { rows: 0, columns: u16::MAX }),
            Frame::Archived,
            Frame::Settle,
            Frame::Settled,
            Frame::Executes,
            renew(),
            Frame::Failed { code: 127, message: b"no such file".to_vec() },
            Frame::Exit(137),
        ];
        let stream: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        for piece in [1, 3, 7, stream.len()] {
            let mut reader = FrameReader::default();
            let mut got = Vec::new();
            for bytes in stream.chunks(piece) {
                reader.push(bytes);
                while let Some(frame) = reader.next_frame().expect("valid stream") {
                    got.push(frame);
                }
            }
            assert_eq!(got, frames);
        }
    }

    #[test]
    fn every_truncation_is_an_error_and_no_panic() {
        for whole in [start().encode(), renew().encode()] {
            for len in 0..whole.len() - 4 {
                assert!(Frame::decode(&whole[4..4 + len]).is_err(), "cut at {len}");
            }
        }
    }

    #[test]
    fn hostile_lengths_are_refused() {
        let mut reader = FrameReader::default();
        reader.push(&(MAX_FRAME_LEN + 1).to_le_bytes());
        assert_eq!(reader.next_frame(), Err(WireError::FrameTooLong(MAX_FRAME_LEN + 1)));
        // A list of 2^32-1 strings with no bytes behind it.
        let body = [&[START][..], &[0xff; 4]].concat();
        assert!(matches!(Frame::decode(&body), Err(WireError::Truncated { .. })));
    }
}
