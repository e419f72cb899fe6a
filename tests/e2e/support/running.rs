//! A container that a test talks to while it runs.

use super::Artifact;
use rustix::process::{Pid, Signal};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// `lithify run --interactive`, killed if the test ends before it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Starts `words` in `artifact`.
    pub(crate) fn start(artifact: &Artifact, words: &[&str]) -> Self {
        Self::start_with(artifact, &[], words)
    }

    /// As [`start`](Self::start), with these options.
    pub(crate) fn start_with(artifact: &Artifact, options: &[&str], words: &[&str]) -> Self {
        let mut command = artifact.lab().lithify();
        command.args(["run", "--interactive"]).args(options).arg(artifact.ours()).args(words);
        Self::of(command)
    }

    /// Starts a command that runs a container.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command under test starts");
        let stdin = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, stdin, stdout }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// How often a thread of the command has waited so far.
    pub(crate) fn wakes(&self) -> u64 {
        let threads = format!("/proc/{}/task", self.child.id());
        let threads = std::fs::read_dir(threads).expect("the command runs");
        let status = |thread: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(thread.expect("a thread").path().join("status"))
        };
        let waits = |status: String| -> Option<u64> {
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        threads.map(|thread| status(thread).ok().and_then(waits).expect("its status")).sum()
    }

    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("the container reads");
    }

    /// Fails unless the next line of standard output is `line`.
    #[track_caller]
    pub(crate) fn expect_line(&mut self, line: &str) {
        let mut got = String::new();
        self.stdout.read_line(&mut got).expect("standard output is text");
        assert_eq!(got.trim_end_matches('\n'), line);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("the command runs");
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of this process").is_some()
    }

    /// Waits for the end: the exit code, or the signal that killed the command itself.
    pub(crate) fn code(mut self) -> (Option<i32>, Option<i32>) {
        let status = self.child.wait().expect("a child of this process");
        (status.code(), status.signal())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
