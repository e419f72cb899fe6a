//! Flags of an instruction, checked against the ones it has.

use super::InstructionError;
use crate::error::Hint;
use crate::parser::Node;

/// What a flag looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// `--flag=value`, once.
    Value,
    /// `--flag=value`, any number of times.
    Values,
    /// `--flag`, `--flag=true`, `--flag=false`.
    Switch,
}

/// A flag's name and what it takes.
pub(super) type Known = (&'static str, Takes);

/// The flags that were given.
#[derive(Debug)]
pub(super) struct Flags(Vec<(&'static str, String)>);

impl Flags {
    pub(super) fn parse(node: &Node, known: &[Known]) -> Result<Self, InstructionError> {
        let mut found = Self(Vec::new());
        for flag in &node.flags {
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag.as_str(), None),
            };
            let &(known_name, takes) =
                known.iter().find(|(known, _)| *known == name).ok_or_else(|| {
                    InstructionError::UnknownFlag {
                        keyword: node.keyword.clone(),
                        flag: name.to_owned(),
                        hint: Hint::nearest(name, known.iter().map(|(known, _)| *known))
                            .prefixed("--"),
                    }
                })?;
            if takes != Takes::Values && found.value(known_name).is_some() {
                return Err(InstructionError::FlagRepeated { flag: name.to_owned() });
            }
            found.0.push((known_name, checked(known_name, takes, value)?.to_owned()));
        }
        Ok(found)
    }

    pub(super) fn none(node: &Node) -> Result<(), InstructionError> {
        Self::parse(node, &[]).map(|_| ())
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(flag, _)| *flag == name).map(|(_, value)| value.as_str())
    }

    /// The value of a flag, `None` also if it is empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(flag, _)| *flag == name).map(|(_, value)| value.clone()).collect()
    }

    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.value(name).map(|value| value == "true")
    }
}

fn checked<'a>(
    name: &'static str,
    takes: Takes,
    value: Option<&'a str>,
) -> Result<&'a str, InstructionError> {
    match (takes, value) {
        (Takes::Switch, None) => Ok("true"),
        (Takes::Switch, Some(value @ ("true" | "false"))) => Ok(value),
        (Takes::Switch, Some(value)) => Err(InstructionError::FlagValue {
            flag: name,
            value: value.to_owned(),
            expected: "true or false",
            hint: Hint::nearest(value, ["true", "false"]),
        }),
        (_, Some(value)) => Ok(value),
        (_, None) => Err(InstructionError::FlagNeedsValue { flag: name.to_owned() }),
    }
}
