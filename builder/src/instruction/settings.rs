//! Instructions with one value or a plain list: SHELL, WORKDIR, USER, EXPOSE, VOLUME, ONBUILD, ….

use super::flags::Flags;
use super::{Instruction, InstructionError};
use crate::parser::{Arguments, Node};

/// ONBUILD: a trigger kept in the image for builds upon it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnBuild {
    /// The trigger as written, heredocs included.
    pub text: String,
    /// The trigger, which proves that it will parse later.
    pub trigger: Box<Instruction>,
}

pub(super) fn one(node: &Node, keyword: &'static str) -> Result<String, InstructionError> {
    Flags::none(node)?;
    if node.rest.is_empty() {
        return Err(InstructionError::Arguments { keyword, expected: "exactly one argument" });
    }
    Ok(node.rest.clone())
}

pub(super) fn list(
    node: &Node,
    keyword: &'static str,
    rest: &str,
) -> Result<Vec<String>, InstructionError> {
    Flags::none(node)?;
    let items: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    if items.is_empty() {
        return Err(InstructionError::Arguments { keyword, expected: "at least one argument" });
    }
    Ok(items)
}

pub(super) fn volume(node: &Node) -> Result<Vec<String>, InstructionError> {
    Flags::none(node)?;
    let items = Arguments::parse(&node.rest)?.into_list();
    if items.is_empty() {
        return Err(InstructionError::Arguments {
            keyword: "VOLUME",
            expected: "at least one path",
        });
    }
    if items.iter().any(|item| item.trim().is_empty()) {
        return Err(InstructionError::EmptyName { keyword: "VOLUME" });
    }
    Ok(items)
}

pub(super) fn shell(node: &Node) -> Result<Vec<String>, InstructionError> {
    Flags::none(node)?;
    match Arguments::parse(&node.rest)? {
        Arguments::Json(words) if !words.is_empty() => Ok(words),
        _ => Err(InstructionError::Arguments {
            keyword: "SHELL",
            expected: "the JSON form: SHELL [\"program\", \"argument\"]",
        }),
    }
}

pub(super) fn on_build(node: &Node, escape: char) -> Result<OnBuild, InstructionError> {
    Flags::none(node)?;
    if node.rest.is_empty() {
        return Err(InstructionError::Arguments { keyword: "ONBUILD", expected: "an instruction" });
    }
    let mut inner = Node::from_line(&node.rest, node.span);
    if matches!(inner.keyword.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
        return Err(InstructionError::Trigger { keyword: inner.keyword });
    }
    inner.heredocs.clone_from(&node.heredocs);
    let trigger = super::instruction(&inner, escape)?;
    let mut text = node.rest.clone();
    for heredoc in &node.heredocs {
        text.push('\n');
        text.push_str(&heredoc.content);
        text.push_str(&heredoc.name);
    }
    Ok(OnBuild { text, trigger: Box::new(trigger) })
}
