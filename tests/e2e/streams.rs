//! Three byte-exact streams.

use crate::support::{Artifact, Image, Lab, Runtime};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Bytes without pattern, the same in every run (xorshift64, Marsaglia 2003).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

#[track_caller]
fn assert_passes_through(len: usize) {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    for runtime in Runtime::BOTH {
        let outcome = runtime.feed(&shell, &["cat"], noise(len)).expect_code(0);
        assert_eq!(outcome.stdout.len(), len, "{runtime:?}");
        assert!(Sha256::digest(&outcome.stdout) == Sha256::digest(noise(len)), "{runtime:?}");
        assert_eq!(outcome.stderr_text(), "", "{runtime:?}");
    }
}

#[test]
fn ten_megabytes_pass_unchanged() {
    assert_passes_through(10_000_000);
}

#[test]
#[ignore = "slow"]
fn hundred_megabytes_pass_unchanged() {
    assert_passes_through(100_000_000);
}

#[test]
fn stdout_and_stderr_stay_apart() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let script = "i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done";
    let lines = |word: &str| (0..500).map(|i| format!("{word} {i}\n")).collect::<String>();
    for runtime in Runtime::BOTH {
        let outcome = runtime.run(&shell, &["sh", "-c", script]).expect_code(0);
        assert_eq!(outcome.stdout_text(), lines("out"), "{runtime:?}");
        assert_eq!(outcome.stderr_text(), lines("err"), "{runtime:?}");
    }
}

#[test]
fn empty_stdin_ends_at_once() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    for runtime in Runtime::BOTH {
        for outcome in [runtime.run(&shell, &["cat"]), runtime.feed(&shell, &["cat"], Vec::new())] {
            assert_eq!(outcome.expect_code(0).stdout, b"", "{runtime:?}");
        }
    }
}

#[test]
fn without_interactive_the_guest_reads_nothing() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let mut command = lab.lithify();
    command.arg("run").arg(shell.ours()).arg("cat");
    let outcome = crate::support::feed(&mut command, b"unseen".to_vec()).expect_code(0);
    assert_eq!(outcome.stdout_text(), "");
}

#[test]
fn output_ends_although_input_goes_on() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    for runtime in Runtime::BOTH {
        let outcome = runtime.feed(&shell, &["head", "-c", "5"], noise(1_000_000)).expect_code(0);
        assert_eq!(outcome.stdout, noise(5), "{runtime:?}");
    }
}

#[test]
fn conversation_needs_no_end_of_input() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    for runtime in Runtime::BOTH {
        let mut child = runtime
            .command(&shell, &[], &["cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the runtime starts");
        let mut stdin = child.stdin.take().expect("piped");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        for line in ["first\n", "second\n"] {
            stdin.write_all(line.as_bytes()).expect("the guest reads");
            let mut answer = String::new();
            stdout.read_line(&mut answer).expect("the guest answers");
            assert_eq!(answer, line, "{runtime:?}");
        }
        let closed = Instant::now();
        drop(stdin);
        let status = child.wait().expect("the guest ends");
        assert!(status.success(), "{runtime:?}");
        assert!(closed.elapsed() < Duration::from_secs(20), "{runtime:?}");
    }
}
