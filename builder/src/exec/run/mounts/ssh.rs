//! Ssh agents: where their sockets appear, and which of the host's they lead to.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use lithify_net::MAX_FORWARDED;

use super::{MountProblem, PlannedMount};
use crate::error::{Error, Hint};
use crate::exec::run::job::{JobMountKind, JobNetwork};
use crate::exec::{Applier, ExecError};
use crate::instruction::{Mount, MountKind};

/// The agent that is meant where none is named.
const DEFAULT_ID: &str = "default";

/// Where sockets are that say no place, before their number among the step's.
const SOCKETS: &str = "/run/buildkit/ssh_agent";

/// Permission bits of sockets that say none.
const SOCKET_MODE: u32 = 0o600;

/// Gives a place to the sockets that say none: BuildKit's.
pub(super) fn place(planned: &mut [PlannedMount<'_>]) -> Result<(), Error> {
    let agents = planned.iter_mut().filter(|planned| planned.mount.kind == MountKind::Ssh);
    for (number, agent) in agents.enumerate() {
        if number == MAX_FORWARDED {
            let problem = MountProblem::TooManyAgents { limit: MAX_FORWARDED };
            return Err(wrong(&agent.mount, problem).into());
        }
        if agent.mount.target.is_none() {
            agent.target = format!("{SOCKETS}.{number}");
        }
    }
    Ok(())
}

impl Applier<'_> {
    /// The way to an agent. As in BuildKit, a step that only could use one gets none if there is
    /// none.
    pub(super) fn agent(
        &self,
        mount: &Mount,
        network: JobNetwork,
    ) -> Result<Option<JobMountKind>, Error> {
        let id = mount.id.as_deref().unwrap_or(DEFAULT_ID);
        let Some(socket) = self.options.ssh.get(id) else {
            let hint = Hint::nearest(id, self.options.ssh.keys().map(String::as_str));
            let missing = MountProblem::AgentMissing { id: id.to_owned(), hint };
            return if mount.required { Err(wrong(mount, missing).into()) } else { Ok(None) };
        };
        if network == JobNetwork::None {
            return Err(wrong(mount, MountProblem::AgentWithoutNetwork).into());
        }
        if let Some(problem) = problem(socket) {
            return Err(wrong(mount, MountProblem::Agent { id: id.to_owned(), problem }).into());
        }
        let owner = (mount.uid.unwrap_or_default(), mount.gid.unwrap_or_default());
        let mode = mount.mode.unwrap_or(SOCKET_MODE);
        Ok(Some(JobMountKind::Socket { host: socket.clone(), mode, owner }))
    }
}

fn wrong(mount: &Mount, problem: MountProblem) -> ExecError {
    ExecError::Mount { mount: mount.text.clone(), problem }
}

/// Why nothing can be reached at `socket`.
fn problem(socket: &Path) -> Option<String> {
    let shown = socket.display();
    match socket.metadata() {
        Ok(found) if found.file_type().is_socket() => None,
        Ok(_) => Some(format!(
            "{shown} is not a socket; keys are held by an agent: start ssh-agent, give it the key \
             with ssh-add, and pass its socket"
        )),
        Err(error) => Some(format!("{shown}: {error}")),
    }
}
