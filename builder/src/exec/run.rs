//! RUN: a command, executed by something that can, becomes a layer.

mod changes;
mod job;
mod lines;

use std::path::Path;

use lithify_image::Digest;
use lithify_rootfs::{Content, LayerBuilder, Metadata, Node, Tree};

use super::{Applier, Current, ExecError, Outcome, StageState};
use crate::error::Error;
use crate::instruction::{CommandLine, NetworkMode, Run, SecurityMode};
use crate::parser::{Heredoc, heredoc_word};
use crate::progress::Event;
pub(crate) use job::{
    Command, Ended, Executor, Finished, Job, JobMount, JobMountKind, JobNetwork, Stream,
};
use lines::Lines;

/// Where a heredoc that names its interpreter is put for the time of its step.
const SCRIPT: &str = "/.lithify-run/script";
const SCRIPT_DIR: &str = ".lithify-run";

impl Applier<'_> {
    pub(super) fn run_command(
        &self,
        state: &mut StageState,
        run: &Run,
        current: Current<'_>,
    ) -> Result<Outcome, Error> {
        check_supported(run)?;
        let (argv, script) = program(state, run);
        let command = Command {
            argv,
            env: state.environment(self.plan.args.proxies()),
            cwd: state.config.config.working_dir.clone(),
            user: state.config.config.user.clone(),
        };
        let key = self.run_key(state, run, &command, script.as_deref());
        let _entered = self.cache.enter(key);
        if let Some(hit) = self.cache.find(current.stage, &key)? {
            return self.take(state, hit, current);
        }
        let changes = self.executed(state, &command, script, current)?;
        self.commit(state, &changes, current, &[key], Vec::new())
    }

    /// All that decides the result. Proxies do not: they are how a place reaches the network.
    fn run_key(
        &self,
        state: &StageState,
        run: &Run,
        command: &Command,
        script: Option<&str>,
    ) -> Digest {
        self.key("RUN", state)
            .list(&command.argv)
            .list(state.environment(std::iter::empty()))
            .text(&command.cwd)
            .text(&command.user)
            .optional(script)
            .text(match run.network {
                NetworkMode::Default => "default",
                NetworkMode::None => "none",
                NetworkMode::Host => "host",
            })
            .switch(run.security == SecurityMode::Insecure)
            .list(&run.devices)
            .finish()
    }

    fn executed(
        &self,
        state: &StageState,
        command: &Command,
        script: Option<String>,
        current: Current<'_>,
    ) -> Result<LayerBuilder, Error> {
        let executor = self.executor.as_deref().ok_or(ExecError::NoMachine)?;
        let process = command.argv.join(" ");
        let tree = state.files.tree()?;
        let with_script = script.map(|script| add_script(tree, script)).transpose()?;
        let tree = with_script.as_ref().unwrap_or(tree);
        let mut lines = Lines::default();
        let mut show = |line: &str| {
            self.progress.event(Event::StepOutput { id: current.id, line });
        };
        let job = Job {
            tree,
            command,
            mounts: &[],
            network: JobNetwork::None,
            is_privileged: false,
            cancel: &self.cancel,
        };
        let finished =
            executor.execute(&job, &mut |stream, bytes| lines.push(stream, bytes, &mut show));
        lines.finish(&mut show);
        match finished?.ended {
            Ended::Changed(tar) => changes::read(&tar, Path::new(SCRIPT_DIR), self.epoch),
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
