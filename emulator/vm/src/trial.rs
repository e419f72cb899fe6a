//! A run that can be compared with others: in virtual time and on seeded randomness it depends on
//! nothing of this host. Which code is translated, how many entries the TLB has and how long a slice is
//! must show neither in what it prints nor in the counts that it ends with.

use lithify_control::Frame;
use lithify_control::{Overrides, StartRequest, THAW_ENTROPY_LEN, Trial, exit_code};
use lithify_machine::Status;
use lithify_machine::host::Entropy;

use crate::Frozen;
use crate::request::{self, RequestError};
use crate::session::Progress;
use crate::wasi;

const HOSTNAME: &[u8] = b"trial";

/// Runs the container to its end, then the machine until it rests; returns the exit code. The last line on
/// standard error says what must be equal.
pub(crate) fn run(frozen: &mut Frozen, overrides: &Overrides, trial: Trial) -> u32 {
    if let Err(error) = begin(frozen, overrides, trial) {
        return fail(&error.to_string());
    }
    let before = frozen.machine.instret();
    let code = match carry(frozen) {
        Ok(code) => code,
        Err(why) => return fail(&why),
    };
    let machine = &mut frozen.machine;
    let (instructions, digest) = (machine.instret() - before, machine.digest());
    wasi::report(&format!("trial: {instructions} instructions, state {digest:016x}"));
    code
}

fn fail(why: &str) -> u32 {
    wasi::report(why);
    exit_code::LITHIFY
}

fn begin(frozen: &mut Frozen, overrides: &Overrides, trial: Trial) -> Result<(), RequestError> {
    let mut entropy = [0; THAW_ENTROPY_LEN];
    frozen.handles.randomness.clone().fill(&mut entropy);
    let request = StartRequest {
        hostname: HOSTNAME.to_vec(),
        realtime_ns: frozen.machine.realtime_ns(),
        entropy,
        ..request::start(&frozen.process, overrides, false)?
    };
    frozen.handles.messages.thaw(overrides.kernel_log);
    frozen.handles.streams.thaw();
    frozen.handles.rom.forget();
    frozen.machine.restrict(trial.slice.into(), trial.tlb);
    frozen.session.send(&Frame::Start(request));
    Ok(())
}

fn carry(frozen: &mut Frozen) -> Result<u32, String> {
    loop {
        let status = frozen.machine.run_slice();
        let code = match frozen.session.progress() {
            Progress::Exited(code) => Some(code),
            Progress::Failed { message, .. } => {
                return Err(String::from_utf8_lossy(&message).into_owned());
            }
            Progress::Working | Progress::Ready => None,
            other => return Err(format!("the guest said {other:?}")),
        };
        match (status, code) {
            (Status::Running, _) => {}
            (Status::Idle { .. }, Some(code)) if !frozen.machine.has_pending_output() => {
                return Ok(code);
            }
            (Status::Idle { .. }, Some(_)) => {}
            (Status::Idle { wake_ns: Some(ns) }, None) => frozen.machine.skip_idle(ns),
            (Status::Idle { wake_ns: None }, None) => {
                return Err("the program waits for something that never comes".to_owned());
            }
            (Status::Halted(halt), _) => return Err(format!("the guest ended: {halt:?}")),
        }
    }
}
