//! `.dockerignore` and `--exclude`: which paths of the context do not exist for the build.
//!
//! The rules are Docker's, not git's: a pattern without a slash matches at the root only, a match of
//! any parent counts, and the last pattern that matches decides.

use std::path::{Component, Path};

use regex::Regex;

/// More than this in a `.dockerignore` is refused: every pattern is a regular expression in memory.
pub(crate) const MAX_IGNORE_BYTES: u64 = 1 << 20;

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IgnoreError {
    /// `!` alone.
    #[error("{file}:{line}: `!` without a pattern")]
    LoneExclamation {
        /// The file, or where else the pattern stands.
        file: String,
        /// Line in it.
        line: usize,
    },
    /// A pattern that is not one.
    #[error("{file}:{line}: bad pattern `{pattern}`: {problem}")]
    BadPattern {
        /// The file, or where else the pattern stands.
        file: String,
        /// Line in it.
        line: usize,
        /// The pattern.
        pattern: String,
        /// What is wrong.
        problem: &'static str,
    },
}

#[derive(Debug, Clone)]
struct Rule {
    regex: Regex,
    keeps: bool,
}

/// Patterns in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matcher {
    rules: Vec<Rule>,
}

impl Matcher {
    /// Reads a `.dockerignore`; `file` names it in errors.
    pub(crate) fn from_file_text(text: &str, file: &str) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#'));
        Self::from_lines(lines, file)
    }

    /// Takes the values of `--exclude` flags.
    pub(crate) fn from_patterns(patterns: &[String]) -> Result<Self, IgnoreError> {
        Self::from_lines((1..).zip(patterns.iter().map(String::as_str)), "--exclude")
    }

    fn from_lines<'a>(
        lines: impl Iterator<Item = (usize, &'a str)>,
        file: &str,
    ) -> Result<Self, IgnoreError> {
        let mut rules = Vec::new();
        for (line, written) in lines {
            let written = written.trim();
            if written.is_empty() {
                continue;
            }
            let (keeps, pattern) = match written.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, written),
            };
            if pattern.is_empty() {
                return Err(IgnoreError::LoneExclamation { file: file.to_owned(), line });
            }
            let regex =
                to_regex(&clean(pattern), true).map_err(|problem| IgnoreError::BadPattern {
                    file: file.to_owned(),
                    line,
                    pattern: written.to_owned(),
                    problem,
                })?;
            rules.push(Rule { regex, keeps });
        }
        Ok(Self { rules })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Something below an excluded directory can still be kept.
    pub(crate) fn keeps_some(&self) -> bool {
        self.rules.iter().any(|rule| rule.keeps)
    }

    /// Whether a path, relative to the root of the context, is left out.
    pub(crate) fn excludes(&self, path: &Path) -> bool {
        let text = slashed(path);
        let prefixes: Vec<&str> = text
            .match_indices('/')
            .map(|(at, _)| &text[..at])
            .chain(std::iter::once(text.as_str()))
            .collect();
        let decided = self
            .rules
            .iter()
            .rev()
            .find(|rule| prefixes.iter().any(|prefix| rule.regex.is_match(prefix)));
        decided.is_some_and(|rule| !rule.keeps)
    }
}

/// The path's parts with slashes between; bytes that are no text become replacement characters.
fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy()),
            _ => None,
        })
        .collect();
    parts.join("/")
}

/// Go's path cleaning, then without a leading slash.
fn clean(pattern: &str) -> String {
    let rooted = pattern.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// One part of a source path with wildcards, as Go's `path.Match` reads it.
pub(crate) fn component_regex(pattern: &str) -> Result<Regex, &'static str> {
    to_regex(pattern, false)
}

/// Translates a pattern; `deep` gives `**` its meaning, else it is `*`.
fn to_regex(pattern: &str, deep: bool) -> Result<Regex, &'static str> {
    let mut source = String::from("(?s)^");
    let mut chars = pattern.chars().peekable();
    if deep && is_suffix(pattern) {
        chars.nth(1);
        source.push_str(".*");
    }
    while let Some(c) = chars.next() {
        match c {
            '*' => {
                if deep && chars.next_if_eq(&'*').is_some() {
                    chars.next_if_eq(&'/');
                    source.push_str(if chars.peek().is_none() { ".*" } else { "(?:.*/)?" });
                } else {
                    source.push_str("[^/]*");
                }
            }
            '?' => source.push_str("[^/]"),
            '[' => class(&mut chars, &mut source)?,
            '\\' => literal(chars.next().ok_or("nothing follows the backslash")?, &mut source),
            c => literal(c, &mut source),
        }
    }
    source.push('$');
    Regex::new(&source).map_err(|_| "an empty or reversed range in `[…]`")
}

/// `**end` with nothing special in `end` matches every path that ends so, also inside a name: moby's
/// matcher takes a shortcut there that `**end*` does not take.
fn is_suffix(pattern: &str) -> bool {
    let end = pattern.strip_prefix("**");
    end.is_some_and(|end| !end.starts_with('/') && !end.contains(['*', '?', '[', '\\']))
}

fn literal(c: char, source: &mut String) {
    source.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

fn class(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    source: &mut String,
) -> Result<(), &'static str> {
    const OPEN: &str = "`[` without `]`";
    source.push('[');
    if chars.next_if_eq(&'^').is_some() {
        source.push('^');
    }
    let mut empty = true;
    loop {
        match chars.next().ok_or(OPEN)? {
            ']' if empty => return Err("an empty `[]`"),
            ']' => break,
            '-' => source.push('-'),
            '\\' => class_literal(chars.next().ok_or(OPEN)?, source),
            c => class_literal(c, source),
        }
        empty = false;
    }
    source.push(']');
    Ok(())
}

/// Everything but letters and digits is escaped: `[`, `&&` and `~~` mean something to the engine.
fn class_literal(c: char, source: &mut String) {
    if c.is_ascii_punctuation() {
        source.push('\\');
    }
    source.push(c);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(patterns: &str, path: &str) -> bool {
        Matcher::from_file_text(patterns, ".dockerignore").unwrap().excludes(Path::new(path))
    }

    #[test]
    fn patterns_match_as_docker_documents_them() {
        // patterns, path, excluded
        let table = [
            ("foo", "foo", true),
            ("foo", "foo/bar", true),
            ("foo", "a/foo", false),
            ("/foo", "foo", true),
            ("foo/", "foo", true),
            ("./foo", "foo", true),
            ("a/../foo", "foo", true),
            ("../foo", "foo", false),
            ("*.md", "a.md", true),
            ("*.md", "a/b.md", false),
            ("*/*.md", "a/b.md", true),
            ("**/*.md", "b.md", true),
            ("**/*.md", "a/b/c.md", true),
            ("**", "a/b", true),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/c/z", true),
            ("**/foo", "a/foo/b", true),
            ("foo?", "foox", true),
            ("foo?", "foo/", false),
            ("f?o", "f/o", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[!a]x", "!x", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a.b", "axb", false),
            ("a+(b)", "a+(b)", true),
            ("*\n!keep", "keep", false),
            ("*\n!keep", "other", true),
            ("*\n!keep\nkeep", "keep", true),
            ("dir\n!dir/keep", "dir/keep", false),
            ("dir\n!dir/keep", "dir/other", true),
            ("**\n!a/b", "a/b", false),
            ("**\n!a/b", "a/b/c", false),
            ("!a\n*", "a", true),
            ("# foo", "# foo", false),
            (" # foo", "# foo", true),
            ("  foo  ", "foo", true),
            ("! foo", "foo", false),
            ("\u{feff}foo", "foo", true),
            ("foo\r\nbar\r\n", "foo", true),
            ("", "foo", false),
            ("é*", "élan", true),
            (".", "foo", false),
            ("/", "foo", false),
            ("..", "foo", false),
            ("foo/.", "foo", true),
            ("foo//bar", "foo/bar", true),
            ("foo/*", "foo", false),
            ("foo/*", "foo/a/b", true),
            ("*", ".hidden", true),
            ("*/", "foo", true),
            ("**/", "foo", true),
            ("**foo", "a/bfoo", true),
            ("**foo", "foo", true),
            ("**fo*", "a/bfoo", false),
            ("**fo*", "a/foo", true),
            ("foo**", "foo/bar", true),
            ("a/**b", "a/c/b", true),
            ("a**/b", "a/b", true),
            ("***", "a/b", true),
            ("**/**/a", "a", true),
            ("**/a/**", "x/a/y/z", true),
            ("**/a/**", "x/a", false),
            ("?", "ab", false),
            ("??", "é", false),
            ("?", "é", true),
            ("[a-c-e]", "-", true),
            ("[\\]]", "]", true),
            ("[*]", "*", true),
            ("[*]", "a", false),
            ("\\[a\\]", "[a]", true),
            ("\\#foo", "#foo", true),
            ("\\!foo", "!foo", true),
            ("a$", "a$", true),
            ("^a", "^a", true),
            ("a|b", "a", false),
            ("a{1}", "a{1}", true),
            ("(a)", "(a)", true),
            ("A", "a", false),
            ("a b", "a b", true),
            ("!foo\nfoo", "foo", true),
            ("foo\n!foo\nfoo/bar", "foo/baz", false),
            ("foo\n!foo\nfoo/bar", "foo/bar", true),
            ("**\n!**/keep\nx", "a/keep", false),
            ("**\n!**/keep\nx", "x/keep", true),
            ("*.o\n!*.o", "a.o", false),
            ("foo\n\n# bar\n", "bar", false),
            ("\tfoo\t", "foo", true),
            ("!/foo\n", "foo", false),
        ];
        for (patterns, path, expected) in table {
            assert_eq!(excluded(patterns, path), expected, "{patterns:?} on {path:?}");
        }
    }

    #[test]
    fn wrong_patterns_name_file_and_line() {
        let table = [
            ("a\n!", ".dockerignore:2: `!` without a pattern"),
            ("[a", ".dockerignore:1: bad pattern `[a`: `[` without `]`"),
            ("[]", ".dockerignore:1: bad pattern `[]`: an empty `[]`"),
            ("a\\", ".dockerignore:1: bad pattern `a\\`: nothing follows the backslash"),
            ("a\n\n# b\n[^]", ".dockerignore:4: bad pattern `[^]`: an empty `[]`"),
            ("! ", ".dockerignore:1: `!` without a pattern"),
            ("![a", ".dockerignore:1: bad pattern `![a`: `[` without `]`"),
            ("[a\\", ".dockerignore:1: bad pattern `[a\\`: `[` without `]`"),
            ("[z-a]", ".dockerignore:1: bad pattern `[z-a]`: an empty or reversed range in `[…]`"),
        ];
        for (text, expected) in table {
            let error = Matcher::from_file_text(text, ".dockerignore").unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn double_stars_are_single_in_source_paths() {
        assert!(component_regex("a**").unwrap().is_match("abc"));
        assert!(!component_regex("*").unwrap().is_match("a/b"));
    }
}
