//! Signals to `lithify run` are the container's.

use crate::support::{Artifact, Image, Lab, Running};
use rustix::process::Signal;
use std::time::Duration;

const FORWARDED: [(Signal, i32); 6] = [
    (Signal::HUP, 1),
    (Signal::INT, 2),
    (Signal::QUIT, 3),
    (Signal::USR1, 10),
    (Signal::USR2, 12),
    (Signal::TERM, 15),
];

/// While it computes, so that a signal has to interrupt it.
fn busy(traps: &str) -> String {
    format!("{traps}; echo ready; while :; do :; done")
}

#[test]
fn a_handler_decides_about_the_exit_code() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    for (signal, number) in FORWARDED {
        let script = busy(&format!("trap 'exit {}' {number}", 40 + number));
        let mut running = Running::start(&shell, &["sh", "-c", &script]);
        running.expect_line("ready");
        running.signal(signal);
        assert_eq!(running.code(), (Some(40 + number), None), "{signal:?}");
    }
}

#[test]
fn without_a_handler_the_signal_ends_the_container() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    for (signal, number) in FORWARDED {
        let mut running = Running::start(&shell, &["cat"]);
        running.send("ready");
        running.expect_line("ready");
        running.signal(signal);
        assert_eq!(running.code(), (Some(128 + number), None), "{signal:?}");
    }
}

#[test]
fn an_ignored_signal_does_nothing() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let script = busy("trap '' HUP; trap 'exit 5' TERM");
    let mut running = Running::start(&shell, &["sh", "-c", &script]);
    running.expect_line("ready");
    running.signal(Signal::HUP);
    running.signal(Signal::TERM);
    assert_eq!(running.code(), (Some(5), None));
}

#[test]
fn a_second_interrupt_within_a_second_stops_the_machine() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let mut running = Running::start(&shell, &["sh", "-c", &busy("trap '' INT")]);
    running.expect_line("ready");
    for _ in 0..600 {
        if running.has_ended() {
            break;
        }
        running.signal(Signal::INT);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(running.has_ended(), "interrupts do not stop the machine");
    assert_eq!(running.code(), (Some(130), None));
}
