//! What a thawed container is told: its new name, and its own hooks.
//!
//! A process of init's own enters the container for that, since its files are only to be opened where
//! no link leads out of it. The names are there before the container goes on. If the image has hooks,
//! the container's processes are stopped until these have ended, and then continued; those that
//! handle `SIGCONT` get it in any case.

use crate::error::{Context, Error, reason};
use crate::helper::{self, Helper};
use crate::processes::Processes;
use crate::spawn::Child;
use crate::{capability, identity, standstill};
use lithify_control::Renewal;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags};
use rustix::thread::ThreadNameSpaceType;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Programs in the image that are executed after each thaw, in the order of their names.
const DIRECTORY: &str = "/etc/lithify/thaw.d";

/// The signal that tells of a thaw.
const SIGCONT: u32 = 18;

/// A longer complaint is cut.
const MAX_COMPLAINT: usize = 4096;

/// What the helper says when it is about to execute hooks. Anything else is a complaint.
const HOOKS: u8 = 0;

/// Hooks that are being executed.
#[derive(Debug)]
pub(crate) struct Hooks {
    /// Ends with them.
    said: OwnedFd,
    processes: Processes,
    _helper: Helper,
}

/// Renews the container while it stands still. Returns hooks if there are some, for which it then
/// has to wait.
///
/// # Errors
/// If the kernel refuses; the text of a failure inside the container.
pub(crate) fn start(child: &Child, renewal: &Renewal) -> Result<Option<Hooks>, String> {
    let pid = child.pid();
    let (said, to) = pipe_with(PipeFlags::CLOEXEC)
        .during(|| "make a pipe".to_owned())
        .map_err(|error| error.to_string())?;
    let helper = helper::start(&to, |to| {
        let mut to = File::from(to);
        if let Err(complaint) = inside(pid, renewal, &mut to) {
            // Nobody is left to tell.
            let _ = std::io::Write::write_all(&mut to, complaint.as_bytes());
        }
    })
    .map_err(|error| error.to_string())?;
    drop(to);
    let processes = Processes::of_container(pid);
    match complaint(&said, 1) {
        None => {
            processes.that_handle(SIGCONT).go_on();
            Ok(None)
        }
        Some(first) if first == [HOOKS] => {
            processes.stop();
            Ok(Some(Hooks { said, processes, _helper: helper }))
        }
        Some(mut first) => {
            first.extend(complaint(&said, MAX_COMPLAINT).unwrap_or_default());
            Err(String::from_utf8_lossy(&first).into_owned())
        }
    }
}

impl Hooks {
    /// Lets the container go on, after the hooks have ended.
    ///
    /// # Errors
    /// What the first one that failed has to say.
    pub(crate) fn finish(self) -> Result<(), String> {
        match complaint(&self.said, MAX_COMPLAINT) {
            None => {
                self.processes.go_on();
                Ok(())
            }
            Some(complaint) => Err(String::from_utf8_lossy(&complaint).into_owned()),
        }
    }
}

impl AsFd for Hooks {
    /// Readable, or hung up, when they have ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.said.as_fd()
    }
}

/// Up to `len` bytes of what the helper says; nothing if it has ended without a word.
fn complaint(said: &OwnedFd, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    let read = rustix::io::retry_on_intr(|| rustix::io::read(said, &mut *bytes)).unwrap_or(0);
    bytes.truncate(read);
    (read > 0).then_some(bytes)
}

/// The helper's work; an error ends the container.
fn inside(pid: i32, renewal: &Renewal, to: &mut File) -> Result<(), String> {
    let process = Process::of(pid).during(|| "look at the container".to_owned());
    let process = process.map_err(|error| error.to_string())?;
    process.enter(renewal).map_err(|error| error.to_string())?;
    let hooks = executables(Path::new(DIRECTORY));
    if hooks.is_empty() {
        return Ok(());
    }
    let give_up = |errno: Errno| format!("prepare the hooks: {}", reason(errno));
    std::io::Write::write_all(to, &[HOOKS]).map_err(|error| error.to_string())?;
    standstill::give_way().map_err(give_up)?;
    capability::bound().map_err(|error| error.to_string())?;
    capability::keep_default().map_err(give_up)?;
    hooks.iter().try_for_each(|hook| process.execute(hook, renewal))
}

/// The container's first process, as its helper needs it.
struct Process {
    pidfd: OwnedFd,
    stdout: Option<File>,
    stderr: Option<File>,
    environment: Vec<u8>,
}

impl Process {
    /// Looks while init's own files are in sight.
    fn of(pid: i32) -> Result<Self, Errno> {
        let stream = |number: u32| {
            File::options().append(true).open(format!("/proc/{pid}/fd/{number}")).ok()
        };
        Ok(Self {
            pidfd: Pid::from_raw(pid)
                .ok_or(Errno::SRCH)
                .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()))?,
            stdout: stream(1),
            stderr: stream(2),
            environment: std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default(),
        })
    }

    /// Makes the container's namespaces the caller's, and gives it its names.
    fn enter(&self, renewal: &Renewal) -> Result<(), Error> {
        let namespaces = ThreadNameSpaceType::MOUNT
            | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
            | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
            | ThreadNameSpaceType::PROCESS_ID;
        rustix::thread::move_into_thread_name_spaces(self.pidfd.as_fd(), namespaces)
            .during(|| "enter the container".to_owned())?;
        identity::renew(renewal)
    }

    fn execute(&self, hook: &Path, renewal: &Renewal) -> Result<(), String> {
        let stream = |file: &Option<File>| {
            let file = file.as_ref().and_then(|file| file.try_clone().ok());
            file.map_or_else(Stdio::null, Stdio::from)
        };
        let status = Command::new(hook)
            .env_clear()
            .envs(self.environment.split(|byte| *byte == 0).filter_map(variable))
            .envs(renewal.env.iter().filter_map(|entry| variable(entry)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(stream(&self.stdout))
            .stderr(stream(&self.stderr))
            .status();
        let path = hook.display();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("hook {path} failed: {}", ending(status))),
            Err(error) => {
                Err(format!("hook {path} failed: {}", reason(crate::error::errno(&error))))
            }
        }
    }
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or_default()),
    }
}

fn variable(entry: &[u8]) -> Option<(OsString, OsString)> {
    let split = entry.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    Some((text(&entry[..split]), text(&entry[split + 1..])))
}

/// The executable files of a directory by name, without hidden ones.
fn executables(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let is_hidden =
        |path: &Path| path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
    let is_executable = |path: &PathBuf| {
        let metadata = std::fs::metadata(path);
        metadata.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let paths = entries.flatten().map(|entry| entry.path()).filter(|path| !is_hidden(path));
    let mut paths: Vec<PathBuf> = paths.filter(is_executable).collect();
    paths.sort_unstable();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_the_executable_files_in_order_of_their_names() {
        let folder = tempfile::tempdir().expect("folder");
        for (name, mode) in
            [("20-b", 0o755), ("10-a", 0o700), ("README", 0o644), (".hidden", 0o755)]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, "").expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
        }
        std::fs::create_dir(folder.path().join("30-folder")).expect("made");
        let names = ["10-a", "20-b"].map(|name| folder.path().join(name));
        assert_eq!(executables(folder.path()), names);
        assert!(executables(&folder.path().join("none")).is_empty());
    }

    #[test]
    fn variables_have_a_name() {
        let text = |entry: &[u8]| variable(entry);
        assert_eq!(text(b"A=b=c"), Some(("A".into(), "b=c".into())));
        assert_eq!(text(b"A="), Some(("A".into(), "".into())));
        assert_eq!((text(b"=b"), text(b"A"), text(b"")), (None, None, None));
    }
}
