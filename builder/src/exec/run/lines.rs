//! Output cut into lines.

use super::Stream;

/// A line longer than this is shown in pieces: a command can write for ever without ending one.
const MAX_LINE_BYTES: usize = 8 << 10;

/// What each stream has begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Lines {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Lines {
    /// Gives `show` each line that `bytes` end, without its end.
    pub(super) fn push(&mut self, stream: Stream, bytes: &[u8], show: &mut dyn FnMut(&str)) {
        let begun = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(MAX_LINE_BYTES) {
                if begun.len() + part.len() > MAX_LINE_BYTES {
                    end(begun, show);
                }
                begun.extend_from_slice(part);
            }
            if begun.ends_with(b"\n") {
                end(begun, show);
            }
        }
    }

    /// Shows what has no end.
    pub(super) fn finish(&mut self, show: &mut dyn FnMut(&str)) {
        for begun in [&mut self.stdout, &mut self.stderr] {
            if !begun.is_empty() {
                end(begun, show);
            }
        }
    }
}

/// Shows the line as it stands on a terminal in the end: programs that draw a progress bar go
/// back to its start with `\r`.
fn end(begun: &mut Vec<u8>, show: &mut dyn FnMut(&str)) {
    let line = begun.strip_suffix(b"\n").unwrap_or(begun);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let last = line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line);
    show(&String::from_utf8_lossy(last));
    begun.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pieces: &[(Stream, &[u8])]) -> Vec<String> {
        let (mut lines, mut shown) = (Lines::default(), Vec::new());
        let mut show = |line: &str| shown.push(line.to_owned());
        for (stream, bytes) in pieces {
            lines.push(*stream, bytes, &mut show);
        }
        lines.finish(&mut show);
        shown
    }

    #[test]
    fn streams_do_not_cut_each_other_s_lines() {
        use Stream::{Stderr, Stdout};
        let pieces: [(Stream, &[u8]); 4] =
            [(Stdout, b"a"), (Stderr, b"error\n"), (Stdout, b"b\n\nc"), (Stderr, b"d")];
        assert_eq!(shown(&pieces), ["error", "ab", "", "c", "d"]);
    }

    #[test]
    fn a_progress_bar_shows_its_last_state() {
        assert_eq!(shown(&[(Stream::Stdout, b"10%\r50%\r100%\r\nx\xff\n")]), ["100%", "x\u{fffd}"]);
    }

    #[test]
    fn endless_lines_are_shown_in_pieces() {
        let bytes = vec![b'x'; 2 * MAX_LINE_BYTES + 1];
        let lengths = |pieces: &[(Stream, &[u8])]| -> Vec<usize> {
            shown(pieces).iter().map(String::len).collect()
        };
        let expected = [MAX_LINE_BYTES, MAX_LINE_BYTES, 1];
        assert_eq!(lengths(&[(Stream::Stdout, &bytes)]), expected);
        let bytewise: Vec<_> = bytes.chunks(1).map(|byte| (Stream::Stdout, byte)).collect();
        assert_eq!(lengths(&bytewise), expected);
    }
}
