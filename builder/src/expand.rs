//! Words: quotes, escapes and `$variables`, with BuildKit's rules.
//!
//! `$X`, `${X}` and the modifiers `:-` `:+` `:?` `-` `+` `?` `#` `##` `%` `%%` `/` `//` are known;
//! the word after a modifier may hold variables itself. Time and memory stay bounded: nesting and the
//! length of a result are capped, and patterns run on a linear-time regular expression engine.

mod pattern;

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

/// `${a:-${b:-${c…}}}` deeper than this is refused: each level costs a stack frame.
const MAX_NESTING: usize = 64;

/// `ENV A=$A$A` doubles a value with every line; beyond this length the word is refused.
const MAX_EXPANSION_BYTES: usize = 1 << 20;

/// Why a word could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// A quote is opened and never closed.
    #[error("no closing {quote} in `{word}`")]
    OpenQuote {
        /// The quote character.
        quote: char,
        /// The whole word.
        word: String,
    },
    /// `${` without its end.
    #[error("no closing `}}` for `${{` in `{word}`")]
    OpenBrace {
        /// The whole word.
        word: String,
    },
    /// `${}`, `${{…`, `${:…`.
    #[error("bad substitution in `{word}`: a name must follow `${{`")]
    BadSubstitution {
        /// The whole word.
        word: String,
    },
    /// Something else than a known modifier after the name.
    #[error(
        "unknown modifier `{modifier}` in `{word}`: expected one of :- :+ :? - + ? # ## % %% / //"
    )]
    UnknownModifier {
        /// What stands after the name.
        modifier: String,
        /// The whole word.
        word: String,
    },
    /// `${X/pattern` without the replacement.
    #[error("no `/` between pattern and replacement in `{word}`")]
    NoReplacement {
        /// The whole word.
        word: String,
    },
    /// `${X:?message}` and X is missing.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The message after `?`, or a standard one.
        message: String,
    },
    /// A pattern with an escape that means nothing.
    #[error("bad pattern `{pattern}` in `{word}`: only * ? \\ / }} can follow a backslash")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// The whole word.
        word: String,
    },
    /// Nested too deeply.
    #[error("variables are nested more than {MAX_NESTING} deep")]
    TooDeep,
    /// The result is too long.
    #[error("the word expands to more than {MAX_EXPANSION_BYTES} bytes")]
    TooLong,
}

/// What happens to quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// They group and vanish.
    Remove,
    /// They group and stay.
    Keep,
    /// They are letters like any other.
    Literal,
}

/// How words are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// The escape character: `\` or a backtick.
    pub(crate) escape: char,
    /// What happens to quotes.
    pub(crate) quotes: Quotes,
    /// Escape characters stay in the result.
    pub(crate) keep_escapes: bool,
    /// References to unknown variables stay in the result instead of becoming empty.
    pub(crate) keep_unset: bool,
}

impl Rules {
    /// The rules for arguments of instructions.
    pub(crate) fn arguments(escape: char) -> Self {
        Self { escape, quotes: Quotes::Remove, keep_escapes: false, keep_unset: false }
    }

    /// The rules for the text of heredocs: quotes mean nothing there.
    pub(crate) fn heredoc() -> Self {
        Self { escape: '\\', quotes: Quotes::Literal, keep_escapes: false, keep_unset: false }
    }
}

/// An expanded word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Expanded {
    /// The whole text.
    pub(crate) text: String,
    /// The text split at white space that is neither quoted nor escaped.
    pub(crate) words: Vec<String>,
    /// Variables that were asked for and not found.
    pub(crate) unset: BTreeSet<String>,
}

/// Expands `word`, taking values from `lookup`.
pub(crate) fn expand(
    word: &str,
    rules: Rules,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, ExpandError> {
    let mut lexer = Lexer {
        chars: word.chars().peekable(),
        word,
        rules,
        lookup,
        depth: 0,
        unset: BTreeSet::new(),
    };
    let pieces = lexer.until(None, rules.keep_escapes)?;
    Ok(Expanded { text: pieces.text, words: pieces.words.finish(), unset: lexer.unset })
}

/// Splits text at white space that is neither quoted nor escaped.
#[derive(Debug, Default)]
struct Words {
    done: Vec<String>,
    current: String,
}

impl Words {
    fn push(&mut self, c: char) {
        if !c.is_whitespace() {
            self.current.push(c);
        } else if !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}

#[derive(Debug, Default)]
struct Pieces {
    text: String,
    words: Words,
}

impl Pieces {
    fn literal(&mut self, text: &str) {
        self.text.push_str(text);
        self.words.current.push_str(text);
    }

    fn literal_char(&mut self, c: char) {
        self.text.push(c);
        self.words.current.push(c);
    }

    fn splittable(&mut self, text: &str) {
        self.text.push_str(text);
        text.chars().for_each(|c| self.words.push(c));
    }
}

fn check_length(text: &str) -> Result<(), ExpandError> {
    if text.len() > MAX_EXPANSION_BYTES { Err(ExpandError::TooLong) } else { Ok(()) }
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    word: &'a str,
    rules: Rules,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    depth: usize,
    unset: BTreeSet<String>,
}

impl Lexer<'_> {
    /// Reads up to `stop`, which is consumed, or to the end.
    fn until(&mut self, stop: Option<char>, keep_escapes: bool) -> Result<Pieces, ExpandError> {
        let mut out = Pieces::default();
        while let Some(&c) = self.chars.peek() {
            if Some(c) == stop {
                self.chars.next();
                return Ok(out);
            }
            self.piece(c, keep_escapes, &mut out)?;
            check_length(&out.text)?;
        }
        match stop {
            Some('/') => Err(ExpandError::NoReplacement { word: self.word.to_owned() }),
            Some(_) => Err(self.open_brace()),
            None => Ok(out),
        }
    }

    fn piece(&mut self, c: char, keep_escapes: bool, out: &mut Pieces) -> Result<(), ExpandError> {
        let quotes = self.rules.quotes != Quotes::Literal;
        match c {
            '$' => out.splittable(&self.dollar()?),
            '\'' if quotes => out.literal(&self.single_quoted()?),
            '"' if quotes => out.literal(&self.double_quoted(keep_escapes)?),
            c if c == self.rules.escape => {
                self.chars.next();
                if keep_escapes {
                    out.literal_char(c);
                }
                // An escape character that ends the word escapes nothing and vanishes.
                if let Some(escaped) = self.chars.next() {
                    out.literal_char(escaped);
                }
            }
            c => {
                self.chars.next();
                out.text.push(c);
                out.words.push(c);
            }
        }
        Ok(())
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let mut out = String::new();
        self.quote(&mut out);
        loop {
            match self.chars.peek() {
                None => return Err(self.open_quote('\'')),
                Some('\'') => {
                    self.quote(&mut out);
                    return Ok(out);
                }
                Some(_) => out.extend(self.chars.next()),
            }
        }
    }

    fn double_quoted(&mut self, keep_escapes: bool) -> Result<String, ExpandError> {
        let mut out = String::new();
        self.quote(&mut out);
        loop {
            match self.chars.peek() {
                None => return Err(self.open_quote('"')),
                Some('"') => {
                    self.quote(&mut out);
                    return Ok(out);
                }
                Some('$') => {
                    out.push_str(&self.dollar()?);
                    check_length(&out)?;
                }
                Some(&c) if c == self.rules.escape => self.escape_in_quotes(keep_escapes, &mut out),
                Some(_) => out.extend(self.chars.next()),
            }
        }
    }

    /// Inside double quotes only `"`, `$` and the escape character can be escaped.
    fn escape_in_quotes(&mut self, keep_escapes: bool, out: &mut String) {
        let escape = self.rules.escape;
        self.chars.next();
        match self.chars.peek() {
            Some(&c) if c == '"' || c == '$' || c == escape => {
                if keep_escapes {
                    out.push(escape);
                }
                out.push(c);
                self.chars.next();
            }
            _ => out.push(escape),
        }
    }

    /// Consumes a quote character, which the result keeps only under [`Quotes::Keep`].
    fn quote(&mut self, out: &mut String) {
        let quote = self.chars.next();
        if self.rules.quotes == Quotes::Keep {
            out.extend(quote);
        }
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.chars.next();
        if self.chars.next_if_eq(&'{').is_some() {
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(self.get(&name).unwrap_or_else(|| self.unset_text(|| format!("${name}"))))
    }

    fn braced(&mut self) -> Result<String, ExpandError> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(ExpandError::TooDeep);
        }
        let name = match self.chars.peek() {
            None => return Err(self.open_brace()),
            Some('{' | '}' | ':') => {
                return Err(ExpandError::BadSubstitution { word: self.word.to_owned() });
            }
            Some(_) => self.name(),
        };
        let value = match self.chars.next() {
            None => return Err(self.open_brace()),
            Some('}') => {
                self.get(&name).unwrap_or_else(|| self.unset_text(|| format!("${{{name}}}")))
            }
            Some('/') => self.replaced(&name)?,
            Some(':') => match self.chars.next() {
                Some(c @ ('-' | '+' | '?')) => self.conditional(&name, c, true)?,
                Some(c) => return Err(self.unknown_modifier(format!(":{c}"))),
                None => return Err(self.open_brace()),
            },
            Some(c @ ('-' | '+' | '?')) => self.conditional(&name, c, false)?,
            Some(c @ ('#' | '%')) => self.trimmed(&name, c)?,
            Some(c) => return Err(self.unknown_modifier(c.to_string())),
        };
        self.depth -= 1;
        Ok(value)
    }

    /// `-`, `+` and `?`; with a colon before, an empty value counts as unset.
    fn conditional(&mut self, name: &str, op: char, colon: bool) -> Result<String, ExpandError> {
        let word = self.until(Some('}'), false)?.text;
        // Who writes one of these expects that the variable may be missing: not reported as unset.
        let value = (self.lookup)(name);
        if value.is_none() && self.rules.keep_unset {
            let colon = if colon { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{op}{word}}}"));
        }
        let was_set = value.is_some();
        let usable = value.filter(|value| !(colon && value.is_empty()));
        match (op, usable) {
            ('-', value) => Ok(value.unwrap_or(word)),
            ('+', value) => Ok(value.map_or(String::new(), |_| word)),
            (_, Some(value)) => Ok(value),
            (_, None) => Err(ExpandError::Required {
                name: name.to_owned(),
                message: match (word.is_empty(), was_set) {
                    (false, _) => word,
                    (true, true) => "must not be empty".to_owned(),
                    (true, false) => "must be set".to_owned(),
                },
            }),
        }
    }

    /// `#` and `##` cut a prefix, `%` and `%%` a suffix; doubled they cut the longest match.
    fn trimmed(&mut self, name: &str, op: char) -> Result<String, ExpandError> {
        let word = self.until(Some('}'), true)?.text;
        let Some(value) = self.get(name) else {
            return Ok(self.unset_text(|| format!("${{{name}{op}{word}}}")));
        };
        let (longest, pattern) = match word.strip_prefix(op) {
            Some(rest) => (true, rest),
            None => (false, word.as_str()),
        };
        let trimmed = match op {
            '#' => pattern::trim_prefix(&value, pattern, longest),
            _ => pattern::trim_suffix(&value, pattern, longest),
        };
        trimmed.ok_or_else(|| self.bad_pattern(pattern))
    }

    fn replaced(&mut self, name: &str) -> Result<String, ExpandError> {
        let all = self.chars.next_if_eq(&'/').is_some();
        let pattern = self.until(Some('/'), true)?.text;
        let replacement = self.until(Some('}'), true)?.text;
        let Some(value) = self.get(name) else {
            let slash = if all { "//" } else { "/" };
            return Ok(self.unset_text(|| format!("${{{name}{slash}{pattern}/{replacement}}}")));
        };
        pattern::replace(&value, &pattern, &replacement, all, MAX_EXPANSION_BYTES)
            .ok_or_else(|| self.bad_pattern(&pattern))
    }

    /// A name: letters, digits and `_`, or digits only, or one special parameter.
    fn name(&mut self) -> String {
        let mut name = String::new();
        if let Some(special) = self.chars.next_if(|c| "@*#?-$!".contains(*c)) {
            name.push(special);
            return name;
        }
        let positional = self.chars.peek().is_some_and(char::is_ascii_digit);
        let belongs = |c: &char| {
            if positional { c.is_ascii_digit() } else { c.is_alphanumeric() || *c == '_' }
        };
        while let Some(c) = self.chars.next_if(belongs) {
            name.push(c);
        }
        name
    }

    fn get(&mut self, name: &str) -> Option<String> {
        let value = (self.lookup)(name);
        if value.is_none() {
            self.unset.insert(name.to_owned());
        }
        value
    }

    fn unset_text(&self, reference: impl FnOnce() -> String) -> String {
        if self.rules.keep_unset { reference() } else { String::new() }
    }

    fn open_quote(&self, quote: char) -> ExpandError {
        ExpandError::OpenQuote { quote, word: self.word.to_owned() }
    }

    fn open_brace(&self) -> ExpandError {
        ExpandError::OpenBrace { word: self.word.to_owned() }
    }

    fn unknown_modifier(&self, modifier: String) -> ExpandError {
        ExpandError::UnknownModifier { modifier, word: self.word.to_owned() }
    }

    fn bad_pattern(&self, pattern: &str) -> ExpandError {
        ExpandError::BadPattern { pattern: pattern.to_owned(), word: self.word.to_owned() }
    }
}

#[cfg(test)]
mod tests;
