//! ENV, LABEL and ARG.

use super::InstructionError;
use super::flags::Flags;
use crate::parser::{Node, Pair, pairs, words};

/// Names with values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    /// In order; later ones win.
    pub pairs: Vec<Pair>,
    /// Written in the old form, `name value`.
    pub old_form: bool,
}

/// One name of an ARG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgDeclaration {
    /// The name.
    pub name: String,
    /// The default, still to be expanded.
    pub default: Option<String>,
}

pub(super) fn parse(
    node: &Node,
    keyword: &'static str,
    escape: char,
) -> Result<Pairs, InstructionError> {
    Flags::none(node)?;
    let (pairs, old_form) = pairs(&node.rest, keyword, escape)?;
    if pairs.is_empty() {
        return Err(InstructionError::Arguments { keyword, expected: "at least one name=value" });
    }
    if pairs.iter().any(|pair| pair.name.is_empty()) {
        return Err(InstructionError::EmptyName { keyword });
    }
    Ok(Pairs { pairs, old_form })
}

pub(super) fn parse_arg(
    node: &Node,
    escape: char,
) -> Result<Vec<ArgDeclaration>, InstructionError> {
    Flags::none(node)?;
    let words = words(&node.rest, escape);
    if words.is_empty() {
        return Err(InstructionError::Arguments { keyword: "ARG", expected: "at least one name" });
    }
    words.into_iter().map(declaration).collect()
}

fn declaration(word: String) -> Result<ArgDeclaration, InstructionError> {
    let (name, default) = match word.split_once('=') {
        Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
        None => (word, None),
    };
    if name.is_empty() {
        return Err(InstructionError::EmptyName { keyword: "ARG" });
    }
    Ok(ArgDeclaration { name, default })
}
