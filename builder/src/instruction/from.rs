//! FROM.

use super::InstructionError;
use super::flags::{Flags, Takes};
use crate::parser::Node;

/// `FROM [--platform=P] base [AS name]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// The base as written.
    pub base: String,
    /// The stage's name, lower-case.
    pub name: Option<String>,
    /// The name as written.
    pub written_name: Option<String>,
    /// The platform as written.
    pub platform: Option<String>,
}

pub(super) fn parse(node: &Node) -> Result<From, InstructionError> {
    let flags = Flags::parse(node, &[("platform", Takes::Value)])?;
    let words: Vec<&str> = node.rest.split_whitespace().collect();
    let (base, written) = match words[..] {
        [base] => (base, None),
        [base, word, name] if word.eq_ignore_ascii_case("as") => (base, Some(name)),
        _ => {
            return Err(InstructionError::Arguments {
                keyword: "FROM",
                expected: "one base, or `base AS name`",
            });
        }
    };
    let name = written.map(str::to_lowercase);
    if let Some(name) = name.as_deref().filter(|name| !is_stage_name(name)) {
        return Err(InstructionError::StageName { name: name.to_owned() });
    }
    Ok(From {
        base: base.to_owned(),
        name,
        written_name: written.map(str::to_owned),
        platform: flags.text("platform"),
    })
}

/// A lower-case letter, then lower-case letters, digits, `-`, `_`, `.`.
fn is_stage_name(name: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(allowed)
}
