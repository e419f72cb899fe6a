//! Two thaws of one artifact share no randomness, no identity and no time.

use crate::support::{Artifact, Image, Lab, Runtime, run};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far the guest's clock may be from the host's.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(50);

#[test]
fn thaws_share_neither_randomness_nor_identity() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let script = "od -An -tx1 -w32 -N32 /dev/urandom
        cat /proc/sys/kernel/random/boot_id /etc/machine-id /etc/hostname
        cat /proc/sys/kernel/random/uuid";
    let thaws: Vec<Vec<String>> = Runtime::BOTH
        .into_iter()
        .cycle()
        .take(4)
        .map(|runtime| {
            let outcome = runtime.run(&shell, &["sh", "-c", script]).expect_code(0);
            outcome.stdout_text().lines().map(str::to_owned).collect()
        })
        .collect();
    for (line, name) in ["urandom", "boot_id", "machine-id", "hostname", "uuid"].iter().enumerate()
    {
        let values: HashSet<&str> = thaws.iter().map(|thaw| thaw[line].as_str()).collect();
        assert_eq!(values.len(), thaws.len(), "{name}: {values:?}");
        assert!(values.iter().all(|value| !value.is_empty()), "{name}");
    }
    let machine_id = &thaws[0][2];
    assert!(machine_id.len() == 32 && machine_id.bytes().all(|b| b.is_ascii_hexdigit()));
}

#[test]
fn host_name_is_the_user_s_choice() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let mut command = lab.lithify();
    command.args(["run", "--hostname", "stone"]).arg(shell.ours());
    command.args(["sh", "-c", "cat /proc/sys/kernel/hostname /etc/hostname; echo $HOSTNAME"]);
    assert_eq!(run(&mut command).expect_code(0).stdout_text(), "stone\nstone\nstone\n");
}

/// Host time at a moment in the guest lies between a question and its answer, so the guest's
/// clock must, too, give or take the tolerance.
#[test]
fn clock_is_the_host_s() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    for runtime in Runtime::BOTH {
        let script = "while read -r line; do date +%s.%N; done";
        let mut child = runtime
            .command(&shell, &[], &["sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the runtime starts");
        let mut stdin = child.stdin.take().expect("piped");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        for round in 0..8 {
            let asked = now();
            stdin.write_all(b"now\n").expect("the guest reads");
            let mut answer = String::new();
            stdout.read_line(&mut answer).expect("the guest answers");
            let answered = now();
            let guest = parse(&answer);
            assert!(
                guest + CLOCK_TOLERANCE >= asked && guest <= answered + CLOCK_TOLERANCE,
                "{runtime:?}, round {round}: asked {asked:?}, guest {guest:?}, answered {answered:?}"
            );
            // Idle time must count, too.
            std::thread::sleep(Duration::from_millis(150));
        }
        drop(stdin);
        assert!(child.wait().expect("the guest ends").success());
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

fn parse(date: &str) -> Duration {
    let (seconds, nanoseconds) = date.trim().split_once('.').expect("seconds.nanoseconds");
    Duration::new(seconds.parse().expect("seconds"), nanoseconds.parse().expect("nanoseconds"))
}
