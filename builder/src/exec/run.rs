//! RUN: a command, executed by something that can, becomes a layer.

mod cache_mount;
mod changes;
mod job;
mod lines;
mod mounts;

use lithify_rootfs::LayerBuilder;

use super::{Applier, Current, ExecError, Outcome, StageState};
use crate::cache::Key;
use crate::error::Error;
use crate::instruction::{CommandLine, NetworkMode, Run, SecurityMode};
use crate::parser::{Heredoc, heredoc_word};
use crate::progress::Event;
pub(crate) use job::{
    Command, Ended, Executor, Finished, Job, JobMount, JobMountKind, JobNetwork, Stream,
};
use lines::Lines;
pub use mounts::MountProblem;
use mounts::Planned;

/// Where a heredoc that names its interpreter is put for the time of its step.
const SCRIPT: &str = "/.lithify-run/script";

impl Applier<'_> {
    pub(super) fn run_command(
        &self,
        state: &mut StageState,
        run: &Run,
        current: Current<'_>,
    ) -> Result<Outcome, Error> {
        let network = self.network(run);
        self.check_allowed(run, network)?;
        let (argv, script) = program(state, run);
        let command = Command {
            argv,
            env: state.environment(self.plan.args.proxies()),
            cwd: state.config.config.working_dir.clone(),
            user: state.config.config.user.clone(),
        };
        let planned = self.planned_mounts(state, run, current)?;
        let key = self.run_key(state, run, &command, script.as_deref());
        let key = self.add_mounts(key.text(network.name()), &planned)?.finish();
        let _entered = self.cache.enter(key);
        if let Some(hit) = self.cache.find(current.stage, &key)? {
            return self.take(state, hit, current);
        }
        let step = RunStep { command, script, planned, network, run };
        let changes = self.executed(state, step, current)?;
        self.commit(state, &changes, current, &[key], Vec::new())
    }

    /// All that decides the result but the mounts and the network. Proxies do not: they are how a
    /// place reaches the network.
    fn run_key(
        &self,
        state: &StageState,
        run: &Run,
        command: &Command,
        script: Option<&str>,
    ) -> Key {
        self.key("RUN", state)
            .list(&command.argv)
            .list(state.environment(std::iter::empty()))
            .text(&command.cwd)
            .text(&command.user)
            .optional(script)
            .switch(run.security == SecurityMode::Insecure)
    }

    /// Executes a step and keeps what it changed in its caches, also if it fails.
    fn executed(
        &self,
        state: &StageState,
        step: RunStep<'_>,
        current: Current<'_>,
    ) -> Result<LayerBuilder, Error> {
        let executor = self.executor.as_deref().ok_or(ExecError::NoMachine)?;
        let RunStep { mut command, script, planned, network, run } = step;
        let process = command.argv.join(" ");
        let mut opened = self.opened_mounts(&planned, network)?;
        command.env.append(&mut opened.env);
        name_agent(&mut command.env, planned.agent_target());
        opened.mounts.extend(script.map(|text| mounts::script(SCRIPT, &text)));
        let mut lines = Lines::default();
        let mut show = |line: &str| {
            self.progress.event(Event::StepOutput { id: current.id, line });
        };
        let job = Job {
            tree: state.files.tree()?,
            command: &command,
            mounts: &opened.mounts,
            network,
            hosts: &self.options.hosts,
            is_privileged: run.security == SecurityMode::Insecure,
            cancel: &self.cancel,
        };
        let finished =
            executor.execute(&job, &mut |stream, bytes| lines.push(stream, bytes, &mut show));
        lines.finish(&mut show);
        let Finished { ended, caches } = finished?;
        opened.keep_caches(&caches)?;
        match ended {
            Ended::Changed(tar) => changes::read(&tar, Some(self.epoch)),
            Ended::Failed { code } => Err(ExecError::Command { process, code }.into()),
            Ended::NotStarted { message } => Err(ExecError::NotStarted { process, message }.into()),
        }
    }

    /// What the step reaches: its own wish, or the build's.
    fn network(&self, run: &Run) -> JobNetwork {
        match (run.network, self.options.network) {
            (NetworkMode::Default, NetworkMode::Default) => JobNetwork::Default,
            (NetworkMode::None, _) | (NetworkMode::Default, NetworkMode::None) => JobNetwork::None,
            (NetworkMode::Host, _) | (NetworkMode::Default, NetworkMode::Host) => JobNetwork::Host,
        }
    }

    /// What reaches beyond the build's own files has to be allowed by whoever builds.
    fn check_allowed(&self, run: &Run, network: JobNetwork) -> Result<(), ExecError> {
        if let Some(device) = run.devices.first() {
            return Err(ExecError::Device { device: device.clone() });
        }
        let allowed = &self.options.allow;
        let wishes = [
            (network == JobNetwork::Host, allowed.network_host, "--network=host", "network.host"),
            (
                run.security == SecurityMode::Insecure,
                allowed.security_insecure,
                "--security=insecure",
                "security.insecure",
            ),
        ];
        let refused = wishes.iter().find(|(is_wished, is_allowed, ..)| *is_wished && !is_allowed);
        match refused {
            Some((.., flag, entitlement)) => Err(ExecError::NotAllowed { flag, entitlement }),
            None => Ok(()),
        }
    }
}

/// The variable by which ssh finds its agent, and what stands between it and its value.
const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK=";

/// A step that has to be executed.
struct RunStep<'a> {
    command: Command,
    /// The text of a script that the command names.
    script: Option<String>,
    planned: Planned<'a>,
    network: JobNetwork,
    run: &'a Run,
}

/// Tells the command where its agent is, unless its environment says so. As with BuildKit, also if
/// there is none in the end.
fn name_agent(env: &mut Vec<String>, target: Option<&str>) {
    let is_set = env.iter().any(|entry| entry.starts_with(AGENT_VARIABLE));
    env.extend(target.filter(|_| !is_set).map(|target| format!("{AGENT_VARIABLE}{target}")));
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

#[cfg(test)]
mod tests;
