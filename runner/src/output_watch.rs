//! A freeze when the container prints a certain line.

use crate::Freezer;

/// Longest line that is looked at, against a container that never ends one.
const MAX_LINE: usize = 64 << 10;

type LineTest = Box<dyn FnMut(&[u8]) -> bool>;

/// Looks at lines of standard output and standard error until one is the awaited one.
pub struct OutputWatch {
    /// Absent once the line was there.
    is_awaited: Option<LineTest>,
    freezer: Freezer,
    /// What has come of the two streams' lines.
    lines: [Vec<u8>; 2],
}

impl std::fmt::Debug for OutputWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutputWatch").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl OutputWatch {
    /// Asks `freezer` after the first line, given without its end, for which `is_awaited` is true.
    pub fn new(freezer: Freezer, is_awaited: impl FnMut(&[u8]) -> bool + 'static) -> Self {
        Self { is_awaited: Some(Box::new(is_awaited)), freezer, lines: Default::default() }
    }

    /// Bytes of a stream, 1 or 2.
    pub(crate) fn see(&mut self, stream: u32, bytes: &[u8]) {
        let line = &mut self.lines[usize::from(stream == 2)];
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(is_awaited) = &mut self.is_awaited else { return };
            let room = MAX_LINE.saturating_sub(line.len());
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            if !piece.ends_with(b"\n") {
                continue;
            }
            if is_awaited(line.trim_ascii_end()) {
                self.is_awaited = None;
                self.freezer.freeze();
            }
            line.clear();
        }
    }
}
