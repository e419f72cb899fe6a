//! The container's process from its first instruction to the image's program, freeze included.

use crate::accounts::{Account, Accounts};
use crate::control::ControlPort;
use crate::error::{Context, Error, reason};
use crate::export::Exports;
use crate::image::Overlay;
use crate::mounts::Mounts;
use crate::program::{self, Program};
use crate::readiness::NOTIFY_VARIABLE;
use crate::renew::Devices;
use crate::streams::TheirEnds;
use crate::{capability, dev, freeze, host_mounts, identity, network, prefetch};
use lithify_control::{Frame, Readiness, StartRequest, exit_code};
use rustix::fs::{Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::process::{Resource, Rlimit};
use std::convert::Infallible;

/// Why there is no container.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The machine is of no use to anybody.
    BeforeFreeze(Error),
    /// This request cannot be served.
    Start {
        /// One of [`exit_code`].
        code: u32,
        /// One line for the user.
        message: Vec<u8>,
    },
}

impl Failure {
    /// What the host is told; nothing if it does not listen yet.
    ///
    /// # Errors
    /// The failure itself if it came before the freeze.
    pub(crate) fn frame(self) -> Result<Frame, Error> {
        match self {
            Self::BeforeFreeze(error) => Err(error),
            Self::Start { code, message } => Ok(Frame::Failed { code, message }),
        }
    }

    /// Something other than the image's program failed.
    pub(crate) fn start(message: impl Into<Vec<u8>>) -> Self {
        Self::Start { code: exit_code::LITHIFY, message: message.into() }
    }
}

impl From<Error> for Failure {
    /// After the freeze, every error is a start's.
    fn from(error: Error) -> Self {
        Self::start(error.to_string())
    }
}

/// What docker says that every terminal is.
const TERMINAL_TYPE: &[u8] = b"xterm";

/// Open files, docker's limit; the kernel's default of 1024 is for programs that use `select`.
const MAX_OPEN_FILES: u64 = 1 << 20;

/// Prepares the container in `root` and lets the machine freeze; returns in a thawed one, with the
/// request.
///
/// # Errors
/// If the container cannot be made, or renewed.
pub(crate) fn freeze(
    root: &Overlay,
    control: &mut ControlPort,
    thaw: &Devices,
    streams: &TheirEnds,
) -> Result<(Prepared, StartRequest), Failure> {
    let reclaim = freeze::Reclaim::open().map_err(Failure::BeforeFreeze)?;
    let prepared = || {
        let prepared = Prepared::new(root, Privileges::Default, streams)?;
        let files = identity::Files::create()?;
        dev::link_mount_table()?;
        Ok((prepared, files))
    };
    let (prepared, mut files) = prepared().map_err(Failure::BeforeFreeze)?;
    reclaim.run().map_err(Failure::BeforeFreeze)?;
    prefetch::program();
    let request = freeze::until_start(control).map_err(Failure::BeforeFreeze)?;
    thaw.renew(request.realtime_ns, request.entropy)?;
    identity::set_hostname(&request.hostname)?;
    files.write(&request)?;
    if !request.network {
        network::lower()?;
    }
    Ok((prepared, request))
}

/// Prepares the container that `request` describes and starts it; the files that tell who it is
/// are among `mounts`.
///
/// # Errors
/// Always, for success does not return: the caller's process is the image's program then.
pub(crate) fn run(
    root: &Overlay,
    mounts: &Mounts,
    request: StartRequest,
    control: &mut ControlPort,
    streams: &TheirEnds,
    exports: &mut Exports,
) -> Result<Infallible, Failure> {
    let privileges = if request.privileged { Privileges::All } else { Privileges::Default };
    let prepared = Prepared::new(root, privileges, streams)?;
    identity::set_hostname(&request.hostname)?;
    mounts.attach()?;
    prepared.start(request, control, streams, exports)
}

/// What the container's root may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privileges {
    Default,
    All,
}

/// What does not depend on the request.
pub(crate) struct Prepared {
    accounts: Accounts,
    privileges: Privileges,
}

impl Prepared {
    fn new(root: &Overlay, privileges: Privileges, streams: &TheirEnds) -> Result<Self, Error> {
        rustix::process::umask(Mode::from_raw_mode(0o022));
        rustix::process::setsid().during(|| "start a session".to_owned())?;
        enter_root(&root.merged).during(|| format!("make {} the root", root.merged))?;
        dev::populate()?;
        raise_limits().during(|| "raise resource limits".to_owned())?;
        if privileges == Privileges::Default {
            dev::protect_kernel()?;
            capability::bound()?;
        }
        streams.install()?;
        Ok(Self { accounts: Accounts::read(), privileges })
    }

    /// Executes the program of `request`.
    ///
    /// # Errors
    /// Always, for success does not return: the caller's process is the image's program then.
    pub(crate) fn start(
        &self,
        request: StartRequest,
        control: &mut ControlPort,
        streams: &TheirEnds,
        exports: &mut Exports,
    ) -> Result<Infallible, Failure> {
        let account = self
            .accounts
            .resolve(&request.user)
            .map_err(|error| Failure::start(error.to_string()))?;
        host_mounts::attach(&request.mounts, &account, &request.cwd)?;
        if request.export {
            exports.begin()?;
        }
        let mut env = request.env;
        if let Some(size) = request.terminal {
            streams.replace_by_terminal(size, Uid::from_raw(account.uid))?;
            program::add_default(&mut env, b"TERM", TERMINAL_TYPE);
        }
        if request.freeze_at == Some(Readiness::Notify) {
            env.push(NOTIFY_VARIABLE.to_vec());
        }
        let program = Program::new(request.argv, env, &request.hostname, &account.home)?;
        enter_directory(&request.cwd)?;
        become_user(&account, self.privileges, streams).map_err(|errno| {
            Failure::start(format!("become user {}: {}", account.uid, reason(errno)))
        })?;
        if request.tell_execution {
            control.send(&Frame::Executes)?;
        }
        Err(program.execute())
    }
}

/// Leaves nothing of init's own tree visible; the namespace's mounts no longer follow init's.
fn enter_root(root: &str) -> Result<(), Errno> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    rustix::process::chdir(root)?;
    // The old root is stacked on the new one's directory, where it can be taken off at once.
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

fn raise_limits() -> Result<(), Errno> {
    let files = Rlimit { current: Some(MAX_OPEN_FILES), maximum: Some(MAX_OPEN_FILES) };
    rustix::process::setrlimit(Resource::Nofile, files)?;
    // The kernel's default follows the RAM's size and is far below what servers start.
    rustix::process::setrlimit(Resource::Nproc, Rlimit { current: None, maximum: None })
}

/// Makes a missing directory, with its parents, as root: docker's `WORKDIR`. Entered before the
/// user changes, for it need not be the user's own.
fn enter_directory(cwd: &[u8]) -> Result<(), Failure> {
    if cwd.is_empty() {
        return Ok(());
    }
    let entered = rustix::process::chdir(cwd).or_else(|errno| match errno {
        Errno::NOENT => make_path(cwd).and_then(|()| rustix::process::chdir(cwd)),
        errno => Err(errno),
    });
    entered.map_err(|errno| {
        let path = cwd.escape_ascii();
        Failure::start(format!("enter working directory \"{path}\": {}", reason(errno)))
    })
}

fn make_path(path: &[u8]) -> Result<(), Errno> {
    let ends = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/');
    for end in ends.map(|(at, _)| at).chain([path.len()]) {
        match rustix::fs::mkdir(&path[..end], Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) => {}
            made => made?,
        }
    }
    Ok(())
}

fn become_user(
    account: &Account,
    privileges: Privileges,
    streams: &TheirEnds,
) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    if !uid.is_root() {
        streams.give_to(uid)?;
    }
    let groups: Vec<Gid> = account.groups.iter().copied().map(Gid::from_raw).collect();
    rustix::thread::set_thread_groups(&groups)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    match (uid.is_root(), privileges) {
        (true, Privileges::Default) => return capability::keep_default(),
        (true, Privileges::All) => return Ok(()),
        (false, _) => {}
    }
    // Leaving uid 0 clears the process's capabilities.
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}
