//! Running a command with its three streams, for a limited time.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A command that takes longer hangs. The slowest, a build with all caches cold, takes 30 s.
const PATIENCE: Duration = Duration::from_secs(300);

/// How a command ended and what it wrote.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit code, 128 and the signal if one killed the process.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Outcome {
    pub(crate) fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Fails with what the command wrote unless it ended with `code`.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.stdout_text(), self.stderr_text());
        self
    }

    /// Fails unless the command ended with `code`, wrote nothing to standard output and one error,
    /// which contains all `parts`.
    #[track_caller]
    pub(crate) fn expect_error(self, code: i32, parts: &[&str]) -> Self {
        let outcome = self.expect_code(code);
        let message = outcome.stderr_text();
        assert_eq!(outcome.stdout_text(), "", "{message}");
        assert_eq!(message.matches("error: ").count(), 1, "{message}");
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
        assert!(!message.contains("panicked"), "{message}");
        outcome
    }
}

/// Runs `command` to its end with an empty standard input.
pub(crate) fn run(command: &mut Command) -> Outcome {
    run_within(PATIENCE, command)
}

/// As [`run`], for a command of which it is known that it takes long.
pub(crate) fn run_within(patience: Duration, command: &mut Command) -> Outcome {
    collect(command.stdin(Stdio::null()), None, patience)
}

/// Runs `command` to its end and gives it `input`.
pub(crate) fn feed(command: &mut Command, input: Vec<u8>) -> Outcome {
    collect(command.stdin(Stdio::piped()), Some(input), PATIENCE)
}

fn collect(command: &mut Command, input: Option<Vec<u8>>, patience: Duration) -> Outcome {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let writer = child.stdin.take().zip(input).map(|(stdin, input)| write_all(stdin, input));
    let stdout = read_all(child.stdout.take().expect("piped"));
    let stderr = read_all(child.stderr.take().expect("piped"));
    let (ended, watchdog) = watch(&child, patience);
    let status = child.wait().expect("a child of this process");
    drop(ended);
    let in_time = watchdog.join().expect("the watchdog does not panic");
    if let Some(writer) = writer {
        writer.join().expect("the writer does not panic");
    }
    let outcome = Outcome {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
        stdout: stdout.join().expect("the reader does not panic"),
        stderr: stderr.join().expect("the reader does not panic"),
    };
    assert!(in_time, "{command:?} hung\n{}{}", outcome.stdout_text(), outcome.stderr_text());
    outcome
}

fn write_all(mut stdin: ChildStdin, input: Vec<u8>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        // A program that does not read all of its input is the test's business.
        let _ = stdin.write_all(&input);
    })
}

fn read_all(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

/// Kills the process after `patience` unless the sender is dropped before; tells which.
fn watch(child: &Child, patience: Duration) -> (mpsc::Sender<()>, JoinHandle<bool>) {
    let pid = child.id().to_string();
    let (ended, end) = mpsc::channel();
    let watchdog = std::thread::spawn(move || {
        let in_time = end.recv_timeout(patience) != Err(mpsc::RecvTimeoutError::Timeout);
        if !in_time {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        }
        in_time
    });
    (ended, watchdog)
}
