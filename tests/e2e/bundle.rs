//! One executable file: it runs where nothing else is, and its arguments and streams are the
//! container's.

use crate::support::{Artifact, Image, Lab, Outcome, feed, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const CODE: i32 = 125;
const RUNNER: &str = "LITHIFY_RUNNER";

/// The bundle of the shell image in a folder of its own, or `None` after saying why it is skipped.
fn bundle(folder: &Path) -> Option<PathBuf> {
    let lab = Lab::get()?;
    if std::env::var_os(RUNNER).is_none() {
        println!("skipped: {RUNNER} is not set (see Makefile)");
        return None;
    }
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let path = folder.join("app");
    let mut command = lab.lithify();
    run(command.arg("bundle").arg(shell.wasm()).arg("-o").arg(&path)).expect_code(0);
    Some(path)
}

const SCRIPT: &str = "cat; echo \"$1\" >&2; exit 7";

fn expect_as_native(outcome: Outcome) {
    let outcome = outcome.expect_code(7);
    assert_eq!(outcome.stdout_text(), "some input");
    assert_eq!(outcome.stderr_text(), "--version\n");
}

#[test]
fn bundle_is_a_program_like_any_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(app) = bundle(folder.path()) else { return };
    let mut command = Command::new(&app);
    command.args(["sh", "-c", SCRIPT, "-e", "--version"]);
    expect_as_native(feed(&mut command, b"some input".to_vec()));

    let mut command = Command::new(&app);
    command.args(["sh", "-c", "echo $A $B $GREETING"]).env("B", "two");
    command.env("LITHIFY_OPTIONS", "-e A=1  -e B");
    assert_eq!(run(&mut command).expect_code(0).stdout_text(), "1 two hello\n");
    command.env("LITHIFY_OPTIONS", "--env\nA=one two\n");
    assert_eq!(run(&mut command).expect_code(0).stdout_text(), "one two hello\n");
    command.env("LITHIFY_OPTIONS", "app.cwasm");
    let message = run(&mut command).expect_code(2).stderr_text();
    assert!(message.contains("LITHIFY_OPTIONS: expected options, found `app.cwasm`"), "{message}");
}

#[test]
fn bundle_runs_in_an_empty_root_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(app) = bundle(folder.path()) else { return };
    let root = folder.path().join("root");
    fs::create_dir(&root).expect("a folder");
    fs::copy(&app, root.join("app")).expect("a copy");
    let probe = ["--map-root-user", "chroot", "/", "true"];
    if !Command::new("unshare").args(probe).status().is_ok_and(|status| status.success()) {
        println!("skipped: no user namespace to call chroot in");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "chroot"]).arg(&root);
    command.args(["/app", "sh", "-c", SCRIPT, "-e", "--version"]);
    expect_as_native(feed(&mut command, b"some input".to_vec()));
    assert_eq!(fs::read_dir(&root).expect("the root").count(), 1);
}

#[test]
fn bundle_that_is_cut_off_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(app) = bundle(folder.path()) else { return };
    let runner = fs::metadata(std::env::var_os(RUNNER).expect("set")).expect("a runner").len();
    let len = app.metadata().expect("a bundle").len();
    let cut = folder.path().join("cut");
    fs::copy(&app, &cut).expect("a copy");
    for len in [len - 1, len / 2, runner + (1 << 16)] {
        fs::File::options().write(true).open(&cut).expect("the copy").set_len(len).expect("cut");
        let outcome = run(&mut Command::new(&cut)).expect_code(CODE);
        let message = outcome.stderr_text();
        assert_eq!((outcome.stdout_text().as_str(), message.lines().count()), ("", 1), "{message}");
        assert!(message.contains("cut: this bundle is damaged"), "{message}");
    }
}

#[test]
fn only_runners_are_bundled() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let folder = lab.temporary();
    let script = folder.path().join("script");
    fs::write(&script, "#!/bin/sh\n").expect("a file");
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("its own file");
    let output = folder.path().join("out");
    let mut cases = vec![
        (script, "script: not a runner: no 64-bit ELF program"),
        (shell.ours().to_owned(), "not a runner: a bundle or a compiled artifact"),
        (folder.path().join("missing"), "missing: No such file"),
        (folder.path().to_owned(), "not a runner"),
    ];
    if Path::new("/bin/sh").exists() {
        cases.push(("/bin/sh".into(), "it needs libraries"));
    }
    for (runner, expected) in cases {
        let mut command = lab.lithify();
        command.arg("bundle").arg(shell.wasm()).arg("-o").arg(&output);
        run(command.arg("--runner").arg(runner)).expect_error(CODE, &[expected]);
        assert!(!output.exists());
    }
}
