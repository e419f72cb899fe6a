//! Typed instructions: syntax and flags checked, variables not yet expanded.

mod command;
mod flags;
mod from;
mod health;
mod mount;
mod pairs;
mod settings;
mod transfer;

pub use command::{CommandLine, NetworkMode, Run, SecurityMode};
pub use from::From;
pub use health::HealthCheck;
pub(crate) use mount::parse as parse_mount;
pub use mount::{Mount, MountKind, Sharing};
pub use pairs::{ArgDeclaration, Pairs};
pub use settings::OnBuild;
pub use transfer::{Inline, Transfer, TransferKind};

use crate::error::Hint;
use crate::parser::{Node, ParseError};

/// All keywords, for hints.
const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Why an instruction is wrong in itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstructionError {
    /// Its arguments cannot be cut apart.
    #[error(transparent)]
    Shape(#[from] ParseError),
    /// No such instruction.
    #[error("unknown instruction `{written}`{hint}")]
    Unknown {
        /// The word where a keyword belongs.
        written: String,
        /// The nearest keyword.
        hint: Hint,
    },
    /// Wrong number of arguments.
    #[error("{keyword} takes {expected}")]
    Arguments {
        /// The instruction.
        keyword: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// No such flag.
    #[error("{keyword} has no flag --{flag}{hint}")]
    UnknownFlag {
        /// The instruction.
        keyword: String,
        /// The flag's name.
        flag: String,
        /// The nearest flag.
        hint: Hint,
    },
    /// A flag given twice.
    #[error("flag --{flag} is given twice")]
    FlagRepeated {
        /// The flag's name.
        flag: String,
    },
    /// A flag without its value.
    #[error("flag --{flag} needs a value: --{flag}=VALUE")]
    FlagNeedsValue {
        /// The flag's name.
        flag: String,
    },
    /// A flag's value cannot be used.
    #[error("--{flag}={value}: expected {expected}{hint}")]
    FlagValue {
        /// The flag's name.
        flag: &'static str,
        /// The value given.
        value: String,
        /// What would be right.
        expected: &'static str,
        /// The nearest right value.
        hint: Hint,
    },
    /// A name that is empty.
    #[error("{keyword} names cannot be empty")]
    EmptyName {
        /// The instruction.
        keyword: &'static str,
    },
    /// A stage name with other characters than allowed.
    #[error("invalid stage name `{name}`: expected a letter, then letters, digits, `-`, `_`, `.`")]
    StageName {
        /// The name.
        name: String,
    },
    /// HEALTHCHECK followed by neither CMD nor NONE.
    #[error("HEALTHCHECK {kind}: expected CMD or NONE{hint}")]
    HealthKind {
        /// What was given.
        kind: String,
        /// The nearer of the two.
        hint: Hint,
    },
    /// A trigger that cannot be one.
    #[error("{keyword} cannot be an ONBUILD trigger")]
    Trigger {
        /// The trigger's keyword.
        keyword: String,
    },
    /// Several sources and a destination that is no directory.
    #[error(
        "{keyword} of several sources needs a destination that ends with `/`, not `{destination}`"
    )]
    DestinationNotDirectory {
        /// The instruction.
        keyword: &'static str,
        /// The destination.
        destination: String,
    },
    /// A heredoc where a destination belongs.
    #[error("{keyword} cannot have a heredoc as its destination")]
    HeredocDestination {
        /// The instruction.
        keyword: &'static str,
    },
    /// A variable where none is expanded.
    #[error(
        "--from={value}: variables are not expanded here; name a stage with `FROM {value} AS name`"
    )]
    VariableInFrom {
        /// The value.
        value: String,
    },
    /// A field of `RUN --mount` is unknown.
    #[error("--mount={mount}: unknown field `{field}`{hint}")]
    MountField {
        /// The whole mount.
        mount: String,
        /// The field.
        field: String,
        /// The nearest field.
        hint: Hint,
    },
    /// A field of `RUN --mount` has a wrong value or does not belong to the mount's type.
    #[error("--mount={mount}: {problem}")]
    Mount {
        /// The whole mount.
        mount: String,
        /// What is wrong.
        problem: String,
    },
}

/// An instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instruction {
    /// FROM.
    From(From),
    /// ARG.
    Arg(Vec<ArgDeclaration>),
    /// ENV.
    Env(Pairs),
    /// LABEL.
    Label(Pairs),
    /// RUN.
    Run(Run),
    /// CMD.
    Cmd(CommandLine),
    /// ENTRYPOINT.
    Entrypoint(CommandLine),
    /// SHELL.
    Shell(Vec<String>),
    /// COPY and ADD.
    Transfer(Transfer),
    /// WORKDIR.
    Workdir(String),
    /// USER.
    User(String),
    /// EXPOSE.
    Expose(Vec<String>),
    /// VOLUME.
    Volume(Vec<String>),
    /// STOPSIGNAL.
    StopSignal(String),
    /// HEALTHCHECK.
    HealthCheck(HealthCheck),
    /// ONBUILD.
    OnBuild(OnBuild),
    /// MAINTAINER.
    Maintainer(String),
}

/// Types one instruction of the tree.
///
/// # Errors
/// [`InstructionError`]: unknown keyword or flag, wrong arguments.
pub(crate) fn instruction(node: &Node, escape: char) -> Result<Instruction, InstructionError> {
    let rest = node.rest.as_str();
    match node.keyword.as_str() {
        "FROM" => from::parse(node).map(Instruction::From),
        "ARG" => pairs::parse_arg(node, escape).map(Instruction::Arg),
        "ENV" => pairs::parse(node, "ENV", escape).map(Instruction::Env),
        "LABEL" => pairs::parse(node, "LABEL", escape).map(Instruction::Label),
        "RUN" => command::parse_run(node).map(Instruction::Run),
        "CMD" => command::parse(node).map(Instruction::Cmd),
        "ENTRYPOINT" => command::parse(node).map(Instruction::Entrypoint),
        "SHELL" => settings::shell(node).map(Instruction::Shell),
        "COPY" => transfer::parse(node, TransferKind::Copy).map(Instruction::Transfer),
        "ADD" => transfer::parse(node, TransferKind::Add).map(Instruction::Transfer),
        "WORKDIR" => settings::one(node, "WORKDIR").map(Instruction::Workdir),
        "USER" => settings::one(node, "USER").map(Instruction::User),
        "EXPOSE" => settings::list(node, "EXPOSE", rest).map(Instruction::Expose),
        "VOLUME" => settings::volume(node).map(Instruction::Volume),
        "STOPSIGNAL" => settings::one(node, "STOPSIGNAL").map(Instruction::StopSignal),
        "HEALTHCHECK" => health::parse(node).map(Instruction::HealthCheck),
        "ONBUILD" => settings::on_build(node, escape).map(Instruction::OnBuild),
        "MAINTAINER" => settings::one(node, "MAINTAINER").map(Instruction::Maintainer),
        keyword => Err(InstructionError::Unknown {
            written: node.written.clone(),
            hint: Hint::nearest(keyword, KEYWORDS),
        }),
    }
}
