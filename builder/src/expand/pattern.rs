//! Shell patterns (`*` and `?`, no brackets) of `${X#p}`, `${X%p}` and `${X/p/r}`.
//!
//! Every function answers `None` for a pattern with a meaningless escape.

use regex::Regex;

/// The value without the shortest or longest prefix that matches.
pub(super) fn trim_prefix(value: &str, pattern: &str, longest: bool) -> Option<String> {
    let regex = anchored(tokens(pattern)?.into_iter(), longest)?;
    let cut = regex.find(value).map_or(0, |found| found.end());
    Some(value[cut..].to_owned())
}

/// The value without the shortest or longest suffix that matches.
///
/// Both sides are turned around: a regular expression prefers by length only from its start.
pub(super) fn trim_suffix(value: &str, pattern: &str, longest: bool) -> Option<String> {
    let regex = anchored(tokens(pattern)?.into_iter().rev(), longest)?;
    let reversed: String = value.chars().rev().collect();
    let cut = regex.find(&reversed).map_or(0, |found| found.end());
    Some(value[..value.len() - cut].to_owned())
}

/// The value with the first or every longest match replaced; the replacement is plain text.
///
/// Stops soon after `limit` bytes: two short variables can make a result of any length.
pub(super) fn replace(
    value: &str,
    pattern: &str,
    with: &str,
    all: bool,
    limit: usize,
) -> Option<String> {
    let source: String = tokens(pattern)?.into_iter().map(|token| token.regex(true)).collect();
    let regex = Regex::new(&source).ok()?;
    let mut out = String::new();
    let mut copied = 0;
    for found in regex.find_iter(value).take(if all { usize::MAX } else { 1 }) {
        out.push_str(&value[copied..found.start()]);
        out.push_str(with);
        copied = found.end();
        if out.len() > limit {
            break;
        }
    }
    out.push_str(&value[copied..]);
    Some(out)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Star,
    AnyChar,
    Literal(char),
}

impl Token {
    fn regex(self, longest: bool) -> String {
        match self {
            Self::Star if longest => ".*".to_owned(),
            Self::Star => ".*?".to_owned(),
            Self::AnyChar => ".".to_owned(),
            Self::Literal(c) => regex::escape(c.encode_utf8(&mut [0; 4])),
        }
    }
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut chars = pattern.chars();
    let mut tokens = Vec::new();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::AnyChar,
            '\\' => match chars.next()? {
                c @ ('*' | '?' | '\\' | '/' | '}') => Token::Literal(c),
                _ => return None,
            },
            c => Token::Literal(c),
        });
    }
    Some(tokens)
}

fn anchored(tokens: impl Iterator<Item = Token>, longest: bool) -> Option<Regex> {
    let body: String = tokens.map(|token| token.regex(longest)).collect();
    Regex::new(&format!("^{body}")).ok()
}
