//! Memory for what is on its way, taken before there is anything.

use lithify_machine::devices::virtio::MAX_FRAME_LEN;

/// Bytes of a connection that wait in each direction. Large segments need a few of them.
pub(crate) const BUFFER_LEN: usize = 256 << 10;

/// Connections whose buffers are taken ahead.
const CONNECTIONS: usize = 2;
/// Frames whose buffers are. A request's and its answer's are on their way one by one.
const FRAMES: usize = 4;

/// Buffers of zeros for the first connections and frames. A module that takes one when it starts writes the zeros to memory
/// that is a copy of the artifact's, page by page; from those that it was frozen with it takes what it uses.
#[derive(Debug, Default)]
pub struct Buffers {
    streams: Vec<Vec<u8>>,
    frames: Vec<Box<[u8]>>,
}

impl Buffers {
    /// Some for later.
    #[must_use]
    pub fn ahead() -> Self {
        Self { streams: vec![vec![0; BUFFER_LEN]; 2 * CONNECTIONS], frames: vec![frame(); FRAMES] }
    }

    /// A buffer of `len` zeros for a connection.
    pub(crate) fn stream(&mut self, len: usize) -> Vec<u8> {
        let ready = if len == BUFFER_LEN { self.streams.pop() } else { None };
        ready.unwrap_or_else(|| vec![0; len])
    }

    /// Those for frames.
    pub(crate) fn take_frames(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.frames)
    }
}

/// A buffer for a frame.
pub(crate) fn frame() -> Box<[u8]> {
    vec![0; MAX_FRAME_LEN].into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_there_whether_or_not_they_were_taken_ahead() {
        let mut buffers = Buffers::ahead();
        for len in [BUFFER_LEN, 1].repeat(2 * CONNECTIONS + 1) {
            assert_eq!(buffers.stream(len), vec![0; len]);
        }
        assert!(buffers.streams.is_empty());
    }
}
