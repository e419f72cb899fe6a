//! Two thaws of one artifact share no randomness, no identity and no time.

use crate::support::{Artifact, Image, Lab, Outcome, Runtime, run};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
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

/// Days that the artifact has lain when it is started.
const AGE_DAYS: u64 = 100;

/// Starts at the same moment.
const AT_ONCE: usize = 20;

/// Every source of randomness that programs use, the boot's identity, and the clocks.
const DRAW: &str = r"
import os, secrets, ssl, time
print(open('/dev/urandom', 'rb').read(32).hex())
print(os.getrandom(32).hex())
print(secrets.token_hex(32))
print(ssl.RAND_bytes(32).hex())
print(open('/proc/sys/kernel/random/boot_id').read().strip())
before = time.monotonic()
time.sleep(0.01)
assert 0.01 <= time.monotonic() - before < 60
assert float(open('/proc/uptime').read().split()[0]) < 3600
print(f'{time.time():.9f}')
";

/// Values of one thaw that no other value equals.
const DRAWN: usize = 5;

/// A Debian artifact whose machine stands still since [`AGE_DAYS`]: its clock is that of the
/// build's `SOURCE_DATE_EPOCH`.
fn aged_artifact(lab: &'static Lab, folder: &Path) -> Artifact {
    let wasm = folder.join("aged.wasm");
    let epoch = now().as_secs() - AGE_DAYS * 24 * 3600;
    let mut command = lab.build(&Image::Debian.context(), &wasm);
    run(command.env("SOURCE_DATE_EPOCH", epoch.to_string())).expect_code(0);
    Artifact::at(lab, wasm)
}

fn draw(artifact: &Artifact, temporary: &Path) -> Vec<String> {
    let asked = now();
    let mut command = Runtime::Ours.command(artifact, &[], &["python3", "-c", DRAW]);
    // Wherever a run could leave something.
    for variable in ["TMPDIR", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"] {
        command.env(variable, temporary);
    }
    let outcome: Outcome = run(command.current_dir(temporary)).expect_code(0);
    let mut lines: Vec<String> = outcome.stdout_text().lines().map(str::to_owned).collect();
    let clock = parse(&lines.pop().expect("the clock is printed last"));
    let answered = now();
    assert!(
        clock + CLOCK_TOLERANCE >= asked && clock <= answered + CLOCK_TOLERANCE,
        "asked {asked:?}, guest {clock:?}, answered {answered:?}"
    );
    assert_eq!(lines.len(), DRAWN, "{lines:?}");
    lines
}

/// Thaws one old artifact `count` times, [`AT_ONCE`] at the same time.
fn thaw_apart(count: usize) {
    let Some(lab) = Lab::get() else { return };
    let (home, temporary) = (lab.temporary(), lab.temporary());
    let artifact = aged_artifact(lab, home.path());
    artifact.ours();
    let mut drawn = Vec::new();
    while drawn.len() < count * DRAWN {
        std::thread::scope(|scope| {
            let thaw = || draw(&artifact, temporary.path());
            let thaws: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(thaw)).collect();
            drawn.extend(thaws.into_iter().flat_map(|thaw| thaw.join().expect("a thaw")));
        });
    }
    let distinct: HashSet<&String> = drawn.iter().collect();
    assert_eq!(distinct.len(), drawn.len(), "values that two thaws share");
    let left: Vec<_> = std::fs::read_dir(temporary.path()).expect("it is ours").collect();
    assert!(left.is_empty(), "left on the host: {left:?}");
}

#[test]
fn thaws_of_an_old_artifact_at_the_same_moment_share_nothing() {
    thaw_apart(AT_ONCE);
}

#[test]
#[ignore = "slow: 100 starts of python"]
fn hundred_thaws_of_an_old_artifact_share_nothing() {
    thaw_apart(100);
}
