//! A container that waits costs the host next to nothing.

use crate::support::{Artifact, Image, Lab, Running};
use std::time::Duration;

/// How long the container is looked at.
const TIME: Duration = Duration::from_secs(5);

/// A guest's kernel has a few timers of its own: it wakes about once a second. Anything that is polled
/// is looked at a hundred times as often, at first seven times.
const MAX_WAKES: u64 = 40;

#[test]
fn a_waiting_container_hardly_wakes_its_host() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let mut running = Running::start(&shell, &["cat"]);
    running.send("ready");
    running.expect_line("ready");
    let before = running.wakes();
    std::thread::sleep(TIME);
    let wakes = running.wakes() - before;
    assert!(wakes < MAX_WAKES, "{wakes} times in {TIME:?}");
    running.send("still there");
    running.expect_line("still there");
}
