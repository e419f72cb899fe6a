//! RUN, CMD and ENTRYPOINT: command lines.

use super::InstructionError;
use super::flags::{Flags, Takes};
use super::mount::{self, Mount};
use crate::error::Hint;
use crate::parser::{Arguments, Heredoc, Node};

/// A command line in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// JSON form: run as it is.
    Exec(Vec<String>),
    /// Shell form: handed to SHELL.
    Shell(String),
}

impl CommandLine {
    /// Nothing to run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Exec(words) => words.is_empty(),
            Self::Shell(text) => text.is_empty(),
        }
    }
}

/// `RUN --network=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NetworkMode {
    /// The build's network.
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The host's network.
    Host,
}

/// `RUN --security=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecurityMode {
    /// Restricted capabilities.
    #[default]
    Sandbox,
    /// All capabilities.
    Insecure,
}

/// RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What to run.
    pub command: CommandLine,
    /// Heredocs: the script itself where the command is nothing but one heredoc's name.
    pub heredocs: Vec<Heredoc>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Network.
    pub network: NetworkMode,
    /// Privileges.
    pub security: SecurityMode,
    /// Devices asked for.
    pub devices: Vec<String>,
}

pub(super) fn parse(node: &Node) -> Result<CommandLine, InstructionError> {
    Flags::none(node)?;
    command_line(node)
}

fn command_line(node: &Node) -> Result<CommandLine, InstructionError> {
    Ok(match Arguments::parse(&node.rest)? {
        Arguments::Json(words) => CommandLine::Exec(words),
        Arguments::Text(text) => CommandLine::Shell(text),
    })
}

pub(super) fn parse_run(node: &Node) -> Result<Run, InstructionError> {
    let flags = Flags::parse(
        node,
        &[
            ("mount", Takes::Values),
            ("network", Takes::Value),
            ("security", Takes::Value),
            ("device", Takes::Values),
        ],
    )?;
    let command = command_line(node)?;
    if command.is_empty() {
        return Err(InstructionError::Arguments { keyword: "RUN", expected: "a command" });
    }
    Ok(Run {
        command,
        heredocs: node.heredocs.clone(),
        mounts: flags
            .texts("mount")
            .iter()
            .map(|text| mount::parse(text))
            .collect::<Result<_, _>>()?,
        network: one_of(
            &flags,
            "network",
            "default, none or host",
            &[
                ("default", NetworkMode::Default),
                ("none", NetworkMode::None),
                ("host", NetworkMode::Host),
            ],
        )?,
        security: one_of(
            &flags,
            "security",
            "sandbox or insecure",
            &[("sandbox", SecurityMode::Sandbox), ("insecure", SecurityMode::Insecure)],
        )?,
        devices: flags.texts("device"),
    })
}

fn one_of<T: Copy + Default>(
    flags: &Flags,
    flag: &'static str,
    expected: &'static str,
    values: &[(&str, T)],
) -> Result<T, InstructionError> {
    let Some(value) = flags.text(flag) else { return Ok(T::default()) };
    match values.iter().find(|(name, _)| *name == value) {
        Some((_, found)) => Ok(*found),
        None => Err(InstructionError::FlagValue {
            flag,
            hint: Hint::nearest(&value, values.iter().map(|(name, _)| *name)),
            value,
            expected,
        }),
    }
}
