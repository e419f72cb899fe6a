//! The shapes that arguments come in: JSON array, words, names with values.

use super::ParseError;

/// Arguments that can be written as a JSON array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// `["a", "b"]`.
    Json(Vec<String>),
    /// Anything else, as written.
    Text(String),
}

impl Arguments {
    pub(crate) fn parse(rest: &str) -> Result<Self, ParseError> {
        Ok(match json_array(rest)? {
            Some(items) => Self::Json(items),
            None => Self::Text(rest.to_owned()),
        })
    }

    /// The array's items, or the text cut at white space without regard to quotes.
    pub(crate) fn into_list(self) -> Vec<String> {
        match self {
            Self::Json(items) => items,
            Self::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

/// A JSON array of strings; `None` for text that is no JSON array, which then is the shell form.
pub(crate) fn json_array(rest: &str) -> Result<Option<Vec<String>>, ParseError> {
    if !rest.trim_start().starts_with('[') {
        return Ok(None);
    }
    let Ok(items) = serde_json::from_str::<Vec<serde_json::Value>>(rest) else {
        return Ok(None);
    };
    (1..)
        .zip(items)
        .map(|(position, item)| match item {
            serde_json::Value::String(text) => Ok(text),
            _ => Err(ParseError::JsonItemNotString { position }),
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Words divided by white space that is neither quoted nor escaped; quotes and escapes stay.
pub(crate) fn words(rest: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        match c {
            c if c == escape && quote != Some('\'') => match chars.next() {
                Some(escaped) => word.extend([c, escaped]),
                None => break,
            },
            c => {
                quote = match quote {
                    None if c == '"' || c == '\'' => Some(c),
                    Some(open) if open == c => None,
                    other => other,
                };
                word.push(c);
            }
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A name and its value, both still to be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

impl Pair {
    fn new(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned() }
    }
}

/// `a=b c="d e"`, or the old form `name the whole rest`; the flag tells that it was the old form.
pub(crate) fn pairs(
    rest: &str,
    keyword: &str,
    escape: char,
) -> Result<(Vec<Pair>, bool), ParseError> {
    let words = words(rest, escape);
    let Some(first) = words.first() else { return Ok((Vec::new(), false)) };
    if !first.contains('=') {
        let (name, value) = rest
            .split_once(char::is_whitespace)
            .ok_or_else(|| ParseError::NoValue { keyword: keyword.to_owned() })?;
        return Ok((vec![Pair::new(name, value.trim_start())], true));
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((name, value)) => Ok(Pair::new(name, value)),
        None => Err(ParseError::NoEquals { word: word.clone() }),
    };
    Ok((words.iter().map(pair).collect::<Result<_, _>>()?, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_array_of_strings_is_json() {
        let some = |items: &[&str]| Ok(Some(items.iter().map(|s| (*s).to_owned()).collect()));
        assert_eq!(json_array(r#"["a", "b c"]"#), some(&["a", "b c"]));
        assert_eq!(json_array(r#"  [ "a\/b\u0041" ] "#), some(&["a/bA"]));
        assert_eq!(json_array("[]"), some(&[]));
        for shell in ["a", r#"["a"] junk"#, r#"["a""#, "['a']", "[a]", "[ -f x ] && y", ""] {
            assert_eq!(json_array(shell), Ok(None), "{shell}");
        }
        let error = json_array(r#"["a", 1]"#).unwrap_err();
        assert_eq!(error, ParseError::JsonItemNotString { position: 2 });
    }

    #[test]
    fn words_keep_quotes_and_escapes() {
        let table: &[(&str, &[&str])] = &[
            ("a b", &["a", "b"]),
            ("a=\"b c\" d", &["a=\"b c\"", "d"]),
            ("a='b \\' c", &["a='b \\'", "c"]),
            ("a=b\\ c d", &["a=b\\ c", "d"]),
            ("a=\"b\\\" c\"", &["a=\"b\\\" c\""]),
            ("a=\"\" b", &["a=\"\"", "b"]),
            ("a\\", &["a"]),
            ("  ", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(words(text, '\\'), *expected, "{text}");
        }
    }

    #[test]
    fn pairs_in_both_forms() {
        let (found, old) = pairs("a=1 b=\"2 3\" c=", "ENV", '\\').unwrap();
        assert_eq!(
            (found, old),
            (vec![Pair::new("a", "1"), Pair::new("b", "\"2 3\""), Pair::new("c", "")], false)
        );
        let (found, old) = pairs("a  the rest = all", "ENV", '\\').unwrap();
        assert_eq!((found, old), (vec![Pair::new("a", "the rest = all")], true));
        let error = pairs("a=1 b", "ENV", '\\').unwrap_err();
        assert_eq!(error.to_string(), "no `=` in `b`: expected `name=value`");
        let error = pairs("a", "LABEL", '\\').unwrap_err();
        assert_eq!(error.to_string(), "LABEL needs a value: expected `LABEL name=value`");
    }
}
