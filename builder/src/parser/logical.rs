//! Physical lines to logical ones.

use super::{Located, MAX_LINE_BYTES, ParseError};
use crate::source::Span;

/// A line with its continuations joined.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogicalLine {
    pub(super) text: String,
    pub(super) span: Span,
    /// A blank line stands between its parts: accepted, as in Docker, with a warning.
    pub(super) blank_continuation: bool,
}

/// A cursor over the lines of a Dockerfile.
pub(super) struct Lines<'a> {
    rest: &'a str,
    number: u32,
    escape: char,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str, escape: char) -> Self {
        Self { rest: text, number: 0, escape }
    }

    /// Number of the line read last.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The next physical line with its line end.
    pub(super) fn next_raw(&mut self) -> Result<Option<&'a str>, Located<ParseError>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.number += 1;
        if line.len() > MAX_LINE_BYTES {
            return Err((ParseError::LineTooLong { bytes: line.len() }, Span::line(self.number)));
        }
        Ok(Some(line))
    }

    /// The next logical line that holds anything.
    pub(super) fn next_logical(&mut self) -> Result<Option<LogicalLine>, Located<ParseError>> {
        while let Some(raw) = self.next_raw()? {
            let line = without_line_end(raw).trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let first = self.number;
            let (text, continues) = self.continuation(line);
            let mut logical = LogicalLine {
                text: text.to_owned(),
                span: Span::line(first),
                blank_continuation: false,
            };
            if continues {
                self.join(&mut logical)?;
            }
            logical.span.last = self.number;
            // A lone escape character, with nothing joined to it.
            if !logical.text.trim().is_empty() {
                return Ok(Some(logical));
            }
        }
        Ok(None)
    }

    fn join(&mut self, logical: &mut LogicalLine) -> Result<(), Located<ParseError>> {
        while let Some(raw) = self.next_raw()? {
            let line = without_line_end(raw);
            let trimmed = line.trim_start();
            if trimmed.starts_with('#') {
                continue;
            }
            if trimmed.is_empty() {
                logical.blank_continuation = true;
                continue;
            }
            let (text, continues) = self.continuation(line);
            logical.text.push_str(text);
            if !continues {
                break;
            }
        }
        Ok(())
    }

    /// The line without a final escape character, and whether there was one that is not itself escaped.
    fn continuation<'l>(&self, line: &'l str) -> (&'l str, bool) {
        match line.trim_end_matches([' ', '\t']).strip_suffix(self.escape) {
            Some(before) if !before.ends_with(self.escape) => (before, true),
            _ => (line, false),
        }
    }
}

pub(super) fn without_line_end(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logical(text: &str) -> Vec<(String, u32, u32)> {
        let mut lines = Lines::new(text, '\\');
        std::iter::from_fn(|| lines.next_logical().unwrap())
            .map(|line| (line.text, line.span.first, line.span.last))
            .collect()
    }

    #[test]
    fn continuations_join_over_comments_and_blank_lines() {
        type Expected = &'static [(&'static str, u32, u32)];
        let table: &[(&str, Expected)] = &[
            ("A b", &[("A b", 1, 1)]),
            ("A b\nC", &[("A b", 1, 1), ("C", 2, 2)]),
            ("A \\\n  b\nC", &[("A   b", 1, 2), ("C", 3, 3)]),
            ("A \\ \t\nb", &[("A b", 1, 2)]),
            ("A \\\n# note\n  # note \\\nb", &[("A b", 1, 4)]),
            ("A \\\n\n\nb", &[("A b", 1, 4)]),
            ("A \\\\\nB", &[("A \\\\", 1, 1), ("B", 2, 2)]),
            ("A \\\r\nb\r\n", &[("A b", 1, 2)]),
            ("  # note\n\t A b", &[("A b", 2, 2)]),
            ("A \\", &[("A ", 1, 1)]),
            ("A #no comment", &[("A #no comment", 1, 1)]),
            ("\\\nA", &[("A", 1, 2)]),
            ("", &[]),
        ];
        for (text, expected) in table {
            let expected: Vec<_> =
                expected.iter().map(|(t, a, b)| ((*t).to_owned(), *a, *b)).collect();
            assert_eq!(logical(text), expected, "{text:?}");
        }
    }

    #[test]
    fn endless_lines_are_refused() {
        let text = "x".repeat(70_000);
        let error = Lines::new(&text, '\\').next_logical().unwrap_err();
        assert_eq!(error, (ParseError::LineTooLong { bytes: 70_000 }, Span::line(1)));
    }
}
