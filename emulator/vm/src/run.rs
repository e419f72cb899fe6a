//! Second half: thaw, start the container, carry bytes until it exits.

use lithify_control::wire::WireError;
use lithify_control::{Frame, Overrides, exit_code};
use lithify_machine::{GENERATION_ID_LEN, Halt, Machine, Status};

use crate::Frozen;
use crate::bindings::{Messages, Randomness, Streams, WasiClock, number};
use crate::events::Events;
use crate::session::{Progress, Session};
use crate::wasi;
use crate::{files, request};

/// Parts of the bindings that learn about the thaw.
#[derive(Debug)]
pub(crate) struct Handles {
    pub(crate) randomness: Randomness,
    pub(crate) messages: Messages,
    pub(crate) streams: Streams,
}

/// Longest single wait: a guest without timers still looks up now and then.
const MAX_WAIT_NS: u64 = 3_600_000_000_000;

/// While output waits for a slow host, it is offered again this often.
const OUTPUT_RETRY_NS: u64 = 1_000_000;

/// Foreign runtimes may refuse codes from here on: wasmtime's command line prints an error and
/// ends with 1.
const FIRST_REFUSED_CODE: u32 = 126;

/// Runs the artifact; returns its exit code.
pub(crate) fn run(frozen: Frozen) -> u32 {
    let overrides = request::overrides();
    let is_foreign = matches!(overrides, Ok(None));
    let code = run_with(frozen, overrides.map(Option::unwrap_or_default));
    if is_foreign && code >= FIRST_REFUSED_CODE {
        wasi::report(&format!("exit code {code}"));
    }
    code
}

fn run_with(frozen: Frozen, overrides: Result<Overrides, WireError>) -> u32 {
    let Frozen { mut machine, session, handles, process } = frozen;
    let started = overrides.map_err(Into::into).and_then(|overrides| {
        handles.messages.thaw(overrides.kernel_log);
        request::start(&process, &overrides)
    });
    let mut request = match started {
        Ok(request) => request,
        Err(error) => return fail(&error.to_string()),
    };
    if let Some(files) = files::find() {
        request.mounts = files.mounts;
        machine.serve_files(Some(files.server));
    }
    let mut generation = [0; GENERATION_ID_LEN];
    if let Err(error) = wasi::random(&mut generation) {
        return fail(&format!("the host has no randomness: {error}"));
    }
    handles.randomness.thaw();
    handles.streams.thaw();
    machine.thaw(Box::new(WasiClock), generation);
    session.send(&Frame::Start(request));
    carry(&mut machine, &session, &handles.messages, Events::open())
}

fn fail(why: &str) -> u32 {
    wasi::report(why);
    exit_code::LITHIFY
}

/// Runs the machine until its container is done and all output is delivered.
fn carry(machine: &mut Machine, session: &Session, messages: &Messages, mut events: Events) -> u32 {
    loop {
        if let Err(error) = events.forward(session) {
            return fail(&format!("the runner's events: {error}"));
        }
        let status = machine.run_slice();
        match session.progress() {
            Progress::Working | Progress::Ready => {}
            _ if machine.has_pending_output() => {}
            Progress::Exited(code) => return code,
            Progress::Failed { code, message } => {
                wasi::report(&String::from_utf8_lossy(&message));
                return code;
            }
            Progress::Broken(error) => return fail(&format!("control port: {error}")),
        }
        match status {
            Status::Running => {}
            Status::Idle { wake_ns } => wait(machine, &events, wake_ns),
            Status::Halted(halt) => return halted(halt, messages),
        }
    }
}

/// Sleeps in the host until the guest's next timer, an event or input that the guest can take.
fn wait(machine: &Machine, events: &Events, wake_ns: Option<u64>) {
    let input = machine.wanted_input().any(|port| port == number::STDIN);
    let longest = if machine.has_pending_output() { OUTPUT_RETRY_NS } else { MAX_WAIT_NS };
    wasi::wait(input, events.file(), wake_ns.unwrap_or(longest).min(longest));
}

fn halted(halt: Halt, messages: &Messages) -> u32 {
    wasi::print_error(&messages.tail());
    fail(match halt {
        Halt::Shutdown => "the guest powered off without an exit code",
        Halt::Reboot => "the guest's kernel stopped (its last messages are above)",
        Halt::Failure => "the guest's system failed (its last messages are above)",
    })
}
