//! RUN: a command, executed by something that can, becomes a layer.

mod changes;
mod lines;

use std::path::Path;

use lithify_image::Blob;
use lithify_rootfs::{Content, Metadata, Node, Tree};

use super::{Applier, ExecError, StageState};
use crate::cancel::Cancel;
use crate::dockerfile::Step;
use crate::error::Error;
use crate::instruction::{CommandLine, NetworkMode, Run, SecurityMode};
use crate::machine::MachineError;
use crate::parser::{Heredoc, heredoc_word};
use crate::progress::Event;
use lines::Lines;

/// Where a heredoc that names its interpreter is put for the time of its step.
const SCRIPT: &str = "/.lithify-run/script";
const SCRIPT_DIR: &str = ".lithify-run";

/// A command and its circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// `NAME=VALUE`.
    pub(crate) env: Vec<String>,
    /// Working directory; empty means `/`. It is made if it is missing.
    pub(crate) cwd: String,
    /// `user[:group]`, names or numbers of the tree; empty means root.
    pub(crate) user: String,
}

/// Where output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With code 0; the tar holds what it changed, as an OCI layer.
    Changed(Blob),
    /// With this code.
    Failed { code: u32 },
    /// It did not even start.
    NotStarted { message: String },
}

/// A command to execute, and where.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// The root.
    pub(crate) tree: &'a Tree,
    /// The command; its standard input is empty.
    pub(crate) command: &'a Command,
    /// Ends the job early.
    pub(crate) cancel: &'a Cancel,
}

/// Executes commands, several at a time.
pub(crate) trait Executor: Send + Sync {
    /// Does one job. Gives `output` as it comes.
    ///
    /// # Errors
    /// [`MachineError::Canceled`] soon after the job was canceled.
    fn execute(
        &self,
        job: &Job<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Ended, MachineError>;
}

impl Applier<'_> {
    pub(super) fn run_command(
        &mut self,
        state: &mut StageState,
        run: &Run,
        step: &Step,
    ) -> Result<(), Error> {
        check_supported(run)?;
        let executor = self.executor.as_deref().ok_or(ExecError::NoMachine)?;
        let (argv, script) = program(state, run);
        let process = argv.join(" ");
        let command = Command {
            argv,
            env: state.environment(self.plan.args.proxies()),
            cwd: state.config.config.working_dir.clone(),
            user: state.config.config.user.clone(),
        };
        let with_script = script.map(|script| add_script(&state.tree, script)).transpose()?;
        let tree = with_script.as_ref().unwrap_or(&state.tree);
        let mut lines = Lines::default();
        let mut show = |line: &str| {
            self.progress.event(Event::StepOutput { id: self.steps, line });
        };
        let job = Job { tree, command: &command, cancel: &self.options.cancel };
        let ended =
            executor.execute(&job, &mut |stream, bytes| lines.push(stream, bytes, &mut show));
        lines.finish(&mut show);
        match ended? {
            Ended::Changed(tar) => {
                let layer = changes::read(&tar, Path::new(SCRIPT_DIR), self.epoch)?;
                state.add_layer(&layer, self.store, &step.text, self.epoch)
            }
            Ended::Failed { code } => Err(ExecError::Command { process, code }.into()),
            Ended::NotStarted { message } => Err(ExecError::NotStarted { process, message }.into()),
        }
    }
}

fn check_supported(run: &Run) -> Result<(), ExecError> {
    let flag = match run {
        Run { mounts, .. } if !mounts.is_empty() => format!("--mount={}", mounts[0].text),
        Run { network: NetworkMode::Host, .. } => "--network=host".to_owned(),
        Run { security: SecurityMode::Insecure, .. } => "--security=insecure".to_owned(),
        Run { devices, .. } if !devices.is_empty() => format!("--device={}", devices[0]),
        _ => return Ok(()),
    };
    Err(ExecError::RunFlag { flag })
}

/// Program and arguments, and the text of the script that has to be in a file.
fn program(state: &StageState, run: &Run) -> (Vec<String>, Option<String>) {
    let text = match &run.command {
        CommandLine::Exec(words) => return (words.clone(), None),
        CommandLine::Shell(text) => text,
    };
    let shell = |text: String| state.shell().into_iter().chain([text]).collect();
    match &run.heredocs[..] {
        [] => (shell(text.clone()), None),
        [script] if heredoc_word(text).is_some() => match script.text() {
            script if script.starts_with("#!") => (shell(SCRIPT.to_owned()), Some(script)),
            script => (shell(script), None),
        },
        heredocs => (shell(reattached(text, heredocs)), None),
    }
}

/// The command with its heredocs behind it, for the shell to read.
fn reattached(command: &str, heredocs: &[Heredoc]) -> String {
    let texts = heredocs.iter().map(|heredoc| format!("\n{}{}", heredoc.content, heredoc.name));
    std::iter::once(command.to_owned()).chain(texts).collect()
}

fn add_script(tree: &Tree, text: String) -> Result<Tree, Error> {
    let mut tree = tree.clone();
    let node = Node::file(Metadata::root_owned(0o755), Content::inline(text.into_bytes()));
    tree.insert(Path::new(SCRIPT), node)?;
    Ok(tree)
}

#[cfg(test)]
mod tests;
