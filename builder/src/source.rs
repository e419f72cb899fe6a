//! The text of a Dockerfile and places in it.

use std::fmt::Write as _;

/// Lines shown before and after the marked ones in [`SourceFile::excerpt`].
const CONTEXT_LINES: u32 = 2;

/// Marked lines shown of one instruction; a heredoc can be thousands of lines long.
const MAX_MARKED_LINES: u32 = 20;

/// The lines of one instruction, counted from 1, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First line.
    pub first: u32,
    /// Last line.
    pub last: u32,
}

impl Span {
    /// The span of a single line.
    #[must_use]
    pub fn line(line: u32) -> Self {
        Self { first: line, last: line }
    }
}

/// A Dockerfile's name as the user knows it, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    name: String,
    text: String,
}

impl SourceFile {
    /// Keeps `text` under the name that messages show.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The name that messages show.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lines around `span`, its own marked with `>>>`, framed as BuildKit prints them.
    #[must_use]
    pub fn excerpt(&self, span: Span) -> String {
        const FRAME: &str = "--------------------";
        let last = span.last.min(span.first.saturating_add(MAX_MARKED_LINES - 1));
        let from = span.first.saturating_sub(CONTEXT_LINES).max(1);
        let to = last.saturating_add(CONTEXT_LINES);
        let mut out = format!("{}:{}\n{FRAME}\n", self.name, span.first);
        for (number, line) in (1u32..).zip(self.text.lines()).skip(from as usize - 1) {
            if number > to {
                break;
            }
            let marker = if (span.first..=last).contains(&number) { ">>>" } else { "   " };
            let line = format!("{number:4} | {marker} {line}");
            let _ = writeln!(out, "{}", line.trim_end());
        }
        out.push_str(FRAME);
        out.push('\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_marks_the_span_and_shows_its_surroundings() {
        let file = SourceFile::new("Dockerfile", "FROM a\n\nRUN b \\\n  c\nUSER d\n\nCMD e\n");
        assert_eq!(
            file.excerpt(Span { first: 3, last: 4 }),
            "Dockerfile:3\n--------------------\n   1 |     FROM a\n   2 |\n   3 | >>> RUN b \\\n   \
             4 | >>>   c\n   5 |     USER d\n   6 |\n--------------------\n"
        );
    }

    #[test]
    fn excerpt_of_a_long_instruction_is_cut() {
        let text = "x\n".repeat(1000);
        let excerpt = SourceFile::new("d", text).excerpt(Span { first: 1, last: 1000 });
        assert_eq!(excerpt.matches(">>>").count(), 20);
    }
}
