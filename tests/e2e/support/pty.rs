//! A terminal with `lithify run` on it, and somebody who types and reads.

use super::Artifact;
use rustix::process::{Pid, Signal};
use rustix::pty::OpenptFlags;
use rustix::termios::{Termios, Winsize, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// What has not appeared by then never will.
const PATIENCE: Duration = Duration::from_secs(120);

/// A command on a terminal of its own, killed if the test ends before it.
#[derive(Debug)]
pub(crate) struct Pty {
    child: Child,
    master: File,
    before: Termios,
    /// Kept open: how the terminal is set stays readable when the command has ended.
    terminal: OwnedFd,
    output: Receiver<Vec<u8>>,
    /// What has arrived and was not expected yet.
    seen: Vec<u8>,
}

impl Pty {
    /// Runs `words` in `artifact` with a terminal of 24 lines and 80 columns.
    pub(crate) fn run(artifact: &Artifact, options: &[&str], words: &[&str]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).expect("a pseudo-terminal");
        rustix::pty::unlockpt(&master).expect("unlocked");
        let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags).expect("its other side");
        let master = File::from(master);
        set_size(&master, 24, 80);
        let stream = || terminal.try_clone().expect("a duplicate");
        let lithify = artifact.lab().lithify();
        // Makes the terminal the controlling one of a new session, then executes the command.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(lithify.get_program()).args(["run", "-it"]);
        command.envs(lithify.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.args(options).arg(artifact.ours()).args(words);
        let before = tcgetattr(&terminal).expect("a terminal");
        let child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn();
        let output = collect(master.try_clone().expect("a duplicate"));
        let child = child.expect("setsid is there");
        Self { child, master, before, terminal, output, seen: Vec::new() }
    }

    /// As somebody who types.
    pub(crate) fn send(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("a terminal takes keys");
    }

    /// Waits for `text`; what comes before it is skipped.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        let in_time = self.appears(text, PATIENCE);
        assert!(in_time, "`{text}` is not in `{}`", String::from_utf8_lossy(&self.seen));
    }

    /// Whether `text` appears within `patience`; if so, it and what comes before it is skipped.
    pub(crate) fn appears(&mut self, text: &str, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        loop {
            if let Some(at) = self.seen.windows(text.len()).position(|at| at == text.as_bytes()) {
                self.seen.drain(..at + text.len());
                return true;
            }
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(_) => return false,
            }
        }
    }

    /// Types `keys` again and again until `text` appears: for what happens at some later time.
    #[track_caller]
    pub(crate) fn repeat_until(&mut self, keys: &str, text: &str) {
        for _ in 0..100 {
            self.send(keys);
            if self.appears(text, Duration::from_secs(1)) {
                return;
            }
        }
        panic!("`{text}` is not in `{}`", String::from_utf8_lossy(&self.seen));
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        set_size(&self.master, rows, columns);
    }

    /// How the terminal was set before the command ran, and how it is now.
    pub(crate) fn modes(&self) -> (Termios, Termios) {
        (self.before.clone(), tcgetattr(&self.terminal).expect("a terminal"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// The command's state, as in the third field of `/proc/PID/stat`.
    pub(crate) fn state(&self) -> char {
        let stat = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(stat).expect("it runs");
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.expect("a state follows the name")
    }

    /// Waits for something that cannot be waited for.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < end, "not {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of this process").is_some()
    }

    /// Waits for the end: the exit code, or the signal that killed the command itself.
    pub(crate) fn code(&mut self) -> (Option<i32>, Option<i32>) {
        let status = self.child.wait().expect("a child of this process");
        (status.code(), status.signal())
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(terminal: &File, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size).expect("a terminal has a size");
}

/// Reads until the terminal's last side is closed, or the test has ended.
fn collect(mut master: File) -> Receiver<Vec<u8>> {
    let (to, output) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = master.read(&mut bytes) {
            if to.send(bytes[..len].to_vec()).is_err() {
                return;
            }
        }
    });
    output
}
