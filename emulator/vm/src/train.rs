//! A training run: the image's program for a while, in virtual time and on seeded randomness, so
//! that what it executes is counted. Whatever becomes of it is an end of the run like any other.

use lithify_machine::Status;

use crate::Frozen;
use crate::imports::boot_log;
use crate::session::Progress;
use crate::warm;

/// Runs the program until it ends, waits for something from outside, or has executed
/// `max_instructions`.
pub(crate) fn run(frozen: &mut Frozen, max_instructions: u64) {
    if warm::request(frozen, None).is_err() {
        return;
    }
    let end = frozen.machine.instret().saturating_add(max_instructions);
    while frozen.machine.instret() < end {
        let status = frozen.machine.run_slice();
        match frozen.session.progress() {
            Progress::Working => {}
            end => return report(&end),
        }
        match status {
            Status::Running => {}
            Status::Idle { wake_ns: Some(ns) } => frozen.machine.skip_idle(ns),
            Status::Idle { wake_ns: None } | Status::Halted(_) => return,
        }
    }
}

/// Says to who builds that the program did not end well: it was counted all the same.
fn report(end: &Progress) {
    let line = match end {
        Progress::Exited(0) => return,
        Progress::Exited(code) => format!("the program ended with exit code {code}\n"),
        Progress::Failed { message, .. } => format!("{}\n", String::from_utf8_lossy(message)),
        other => format!("the program's run ended: {other:?}\n"),
    };
    boot_log(line.as_bytes());
}
