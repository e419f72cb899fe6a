//! Directives: `# name=value` comments before anything else.

use super::{Located, ParseError};
use crate::source::Span;

/// What the directives at the top of a Dockerfile say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// The escape character.
    pub escape: char,
    /// The frontend asked for and the line it is asked on; a hint only.
    pub syntax: Option<(String, u32)>,
    /// Options of the linter.
    pub check: Option<String>,
    /// How many lines they take, unknown directives among them.
    pub lines: u32,
}

impl Directives {
    /// Reads them up to the first line that is no directive.
    pub(super) fn read(text: &str) -> Result<Self, Located<ParseError>> {
        let mut directives = Self { escape: '\\', syntax: None, check: None, lines: 0 };
        let mut seen = [false; 3];
        for (number, line) in (1u32..).zip(text.lines()) {
            let Some((name, value)) = directive(line) else { break };
            let at = Span::line(number);
            directives.lines = number;
            let (index, name) = match name.to_ascii_lowercase().as_str() {
                "escape" => (0, "escape"),
                "syntax" => (1, "syntax"),
                "check" => (2, "check"),
                _ => continue,
            };
            if std::mem::replace(&mut seen[index], true) {
                return Err((ParseError::DirectiveRepeated { name }, at));
            }
            match index {
                0 => directives.escape = escape(value).map_err(|error| (error, at))?,
                1 => directives.syntax = Some((value.to_owned(), number)),
                _ => directives.check = Some(value.to_owned()),
            }
        }
        Ok(directives)
    }
}

fn directive(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.trim().strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric());
    let valid = letters && name.starts_with(|c: char| c.is_ascii_alphabetic());
    (valid && !value.is_empty()).then_some((name, value))
}

fn escape(value: &str) -> Result<char, ParseError> {
    match value {
        "\\" => Ok('\\'),
        "`" => Ok('`'),
        _ => Err(ParseError::BadEscape { value: value.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_stop_at_the_first_other_line() {
        let read = |text| Directives::read(text).unwrap();
        assert_eq!(read("# escape=`\nFROM a").escape, '`');
        assert_eq!(read("#ESCAPE = `\nFROM a").escape, '`');
        assert_eq!(read("# a comment\n# escape=`\nFROM a").escape, '\\');
        assert_eq!(read("\n# escape=`\nFROM a").escape, '\\');
        assert_eq!(read("FROM a\n# escape=`").escape, '\\');
        assert_eq!(read("# other=1\n# escape=`\nFROM a").escape, '`');
        let both = read("# syntax=docker/dockerfile:1\n# check=skip=all\nFROM a");
        assert_eq!(both.syntax, Some(("docker/dockerfile:1".to_owned(), 1)));
        assert_eq!(both.check.as_deref(), Some("skip=all"));
    }

    #[test]
    fn repeated_or_unknown_escapes_are_refused() {
        let error = Directives::read("# escape=\\\n# escape=`\n").unwrap_err();
        assert_eq!(error, (ParseError::DirectiveRepeated { name: "escape" }, Span::line(2)));
        let error = Directives::read("# escape=x\n").unwrap_err();
        assert_eq!(error.0, ParseError::BadEscape { value: "x".to_owned() });
    }
}
