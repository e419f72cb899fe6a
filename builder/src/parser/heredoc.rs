//! Heredocs: `<<NAME`, `<<-NAME`, `<<"NAME"`, `3<<NAME`.

use super::logical::{Lines, without_line_end};
use super::{Located, ParseError};
use crate::expand::{Quotes, Rules, expand};
use crate::source::Span;

/// A heredoc with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The terminator, and the file's name in COPY and ADD.
    pub name: String,
    /// The lines before the terminator, as written.
    pub content: String,
    /// Variables are expanded: no part of the name is quoted.
    pub expand: bool,
    /// `<<-`: leading tabs do not count.
    pub strip_tabs: bool,
    /// File descriptor before `<<`; 0 if none.
    pub descriptor: u32,
}

impl Heredoc {
    /// The text with leading tabs removed where `<<-` asks for it.
    #[must_use]
    pub fn text(&self) -> String {
        if !self.strip_tabs {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// Reads the heredocs that `line` announces from the lines after it.
pub(super) fn read_all(
    line: &str,
    lines: &mut Lines<'_>,
    span: Span,
) -> Result<Vec<Heredoc>, Located<ParseError>> {
    let mut heredocs = announced(line);
    for heredoc in &mut heredocs {
        loop {
            let Some(raw) = lines.next_raw()? else {
                let name = heredoc.name.clone();
                return Err((ParseError::HeredocNotClosed { name }, span));
            };
            let line = without_line_end(raw);
            let line = if heredoc.strip_tabs { line.trim_start_matches('\t') } else { line };
            if line == heredoc.name {
                break;
            }
            heredoc.content.push_str(raw);
        }
    }
    Ok(heredocs)
}

/// The heredocs that a logical line announces, in order; none if its quotes do not match.
fn announced(line: &str) -> Vec<Heredoc> {
    split(line, true).unwrap_or_default().iter().filter_map(|word| heredoc_word(word)).collect()
}

/// The heredoc, still without text, that one word announces.
pub(crate) fn heredoc_word(word: &str) -> Option<Heredoc> {
    let (descriptor, rest) = word.split_once("<<")?;
    if !descriptor.bytes().all(|b| b.is_ascii_digit()) || rest.contains('<') {
        return None;
    }
    let (strip_tabs, name) = match rest.strip_prefix('-') {
        Some(name) => (true, name),
        None => (false, rest),
    };
    let [plain] = <[String; 1]>::try_from(split(name, false)?).ok()?;
    Some(Heredoc {
        expand: plain == name,
        name: plain,
        content: String::new(),
        strip_tabs,
        descriptor: descriptor.parse().unwrap_or(0),
    })
}

fn split(text: &str, raw: bool) -> Option<Vec<String>> {
    let rules = Rules {
        escape: '\\',
        quotes: if raw { Quotes::Keep } else { Quotes::Remove },
        keep_escapes: raw,
        keep_unset: true,
    };
    expand(text, rules, &|_| None).ok().map(|expanded| expanded.words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_announce_a_heredoc() {
        // word, name, expand, strip tabs, descriptor
        let table = [
            ("<<EOF", "EOF", true, false, 0),
            ("<<-EOF", "EOF", true, true, 0),
            ("<<'EOF'", "EOF", false, false, 0),
            ("<<\"EOF\"", "EOF", false, false, 0),
            ("<<E\"O\"F", "EOF", false, false, 0),
            ("<<\\EOF", "EOF", false, false, 0),
            ("3<<EOF", "EOF", true, false, 3),
            ("<<'a b'", "a b", false, false, 0),
            ("<<$X", "$X", true, false, 0),
        ];
        for (word, name, expand, strip_tabs, descriptor) in table {
            let found = heredoc_word(word).unwrap();
            assert_eq!(
                (found.name.as_str(), found.expand, found.strip_tabs, found.descriptor),
                (name, expand, strip_tabs, descriptor),
                "{word}"
            );
        }
        for word in ["EOF", "<<", "<<-", "<<<EOF", "a<<EOF", "<<'EOF", "x"] {
            assert_eq!(heredoc_word(word), None, "{word}");
        }
    }

    #[test]
    fn quoted_text_announces_nothing() {
        assert_eq!(announced("RUN echo \"<<EOF\"").len(), 0);
        assert_eq!(announced("RUN cat <<A <<-'B' > /x").len(), 2);
    }
}
