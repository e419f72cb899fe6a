//! The first half of a warm artifact goes on: the image's program runs until it is ready, in virtual
//! time and on seeded randomness, and the machine freezes with it.

use lithify_control::{Frame, Readiness, StartRequest, THAW_ENTROPY_LEN, Warm};
use lithify_machine::host::Entropy;
use lithify_machine::{Halt, Status};

use crate::request::{self, RequestError};
use crate::session::Progress;
use crate::visits::Visits;
use crate::{Frozen, Stage};

/// The host name until the thaw.
const HOSTNAME: &[u8] = b"localhost";

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Why the program is not ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReady {
    #[error("{0}")]
    Request(#[from] RequestError),
    #[error("the program ended with exit code {0} before it was ready")]
    Ended(u32),
    #[error("{0}")]
    DidNotStart(String),
    #[error("the program was not ready after {} seconds of its own time", ns / NS_PER_SECOND)]
    TimedOut { ns: u64 },
    #[error("the program did not answer `{request}` within {} seconds of its own time", ns / NS_PER_SECOND)]
    NoAnswer { request: String, ns: u64 },
    #[error("the program waits for something that never comes, and is not ready")]
    Stuck,
    #[error("the guest ended before the program was ready ({0:?})")]
    Halted(Halt),
    #[error("the guest said {0:?} before the program was ready")]
    Unexpected(Progress),
}

/// Starts the image's program and returns when it stands still in the machine.
pub(crate) fn start(frozen: &mut Frozen, warm: &Warm) -> Result<(), NotReady> {
    match visits(warm) {
        None => {
            request(frozen, warm.readiness.clone())?;
            run_until_settled(frozen, warm.timeout_ns, None)?;
        }
        Some(visits) => {
            frozen.machine.connect(Some(visits.link()));
            request(frozen, None)?;
            run_until_settled(frozen, warm.timeout_ns, Some(&visits))?;
            frozen.machine.connect(None);
        }
    }
    frozen.handles.streams.freeze();
    frozen.stage = Stage::Running { terminal: false };
    Ok(())
}

/// Those that the program is to have before it freezes.
fn visits(warm: &Warm) -> Option<Visits> {
    match warm.readiness {
        Some(Readiness::Port(port)) if !warm.visits.is_empty() => {
            Some(Visits::new(port, &warm.visits))
        }
        _ => None,
    }
}

/// Asks the guest to start the image's program, and shows the build what it prints.
pub(crate) fn request(
    frozen: &mut Frozen,
    freeze_at: Option<Readiness>,
) -> Result<(), RequestError> {
    let argv = request::default_command(&frozen.process)?;
    let mut entropy = [0; THAW_ENTROPY_LEN];
    frozen.handles.randomness.clone().fill(&mut entropy);
    let process = &frozen.process;
    let request = StartRequest {
        env: process.env.clone(),
        cwd: process.cwd.clone(),
        user: process.user.clone(),
        hostname: HOSTNAME.to_vec(),
        // It has an interface, which leads nowhere yet.
        network: true,
        freeze_at,
        ..StartRequest::new(argv, frozen.machine.realtime_ns(), entropy)
    };
    frozen.handles.streams.show_build();
    frozen.session.send(&Frame::Start(request));
    Ok(())
}

/// Until init says that the container stands still: when it sees that the program is ready, or is told
/// to after the visits.
fn run_until_settled(
    frozen: &mut Frozen,
    timeout_ns: u64,
    visits: Option<&Visits>,
) -> Result<(), NotReady> {
    let deadline = frozen.machine.now_ns().saturating_add(timeout_ns);
    let mut visits = visits;
    while frozen.machine.now_ns() < deadline {
        visits.iter().for_each(|visits| visits.set_time(frozen.machine.now_ns()));
        let status = frozen.machine.run_slice();
        match frozen.session.progress() {
            Progress::Working => {}
            Progress::Settled => return Ok(()),
            Progress::Exited(code) => return Err(NotReady::Ended(code)),
            Progress::Failed { message, .. } => {
                return Err(NotReady::DidNotStart(String::from_utf8_lossy(&message).into()));
            }
            other => return Err(NotReady::Unexpected(other)),
        }
        let idle = match status {
            Status::Running => continue,
            Status::Idle { wake_ns } => wake_ns,
            Status::Halted(halt) => return Err(NotReady::Halted(halt)),
        };
        // What follows an answer, like a line in a log, is done when the guest has nothing left to do.
        if visits.take_if(|visits| visits.are_over()).is_some() {
            frozen.session.tell(&Frame::Settle);
            continue;
        }
        let next = [idle, visits.and_then(Visits::rest)].into_iter().flatten().min();
        frozen.machine.skip_idle(next.ok_or(NotReady::Stuck)?);
    }
    Err(match visits.and_then(Visits::unanswered) {
        Some(request) => NotReady::NoAnswer { request, ns: timeout_ns },
        None => NotReady::TimedOut { ns: timeout_ns },
    })
}
