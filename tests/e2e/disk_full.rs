//! Disks that are full and files that may not grow: one clear message, nothing left behind.

use crate::support::{Artifact, Image, Lab, run};
use std::path::Path;
use std::process::Command;

/// As much less than the artifact's size as both kinds of limit round.
const MISSING_BYTES: u64 = 256 << 10;

fn script(text: &str, inner: &Command) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", text, "sh"]).arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// The command's error from the file system and an empty folder.
#[track_caller]
fn assert_fails_cleanly(command: &mut Command, code: i32, error: &str, folder: &Path) {
    run(command).expect_error(code, &["full", error]);
    assert_eq!(std::fs::read_dir(folder).expect("the folder").count(), 0);
}

#[test]
fn artifact_that_outgrows_a_limit_leaves_nothing() {
    let Some(lab) = Lab::get() else { return };
    // Built before, so that no other file of the build is written anew or as large.
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let len = shell.wasm().metadata().expect("an artifact").len();
    let folder = lab.temporary();
    let mut build = lab.build(&Image::Shell("shell").context(), &folder.path().join("full.wasm"));
    build.args(["--target", "shell"]);
    // sh counts in blocks of 512 bytes; with the signal ignored, writing fails as on a full disk.
    let text = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", (len - MISSING_BYTES) / 512);
    assert_fails_cleanly(&mut script(&text, &build), 1, "File too large", folder.path());

    let mut compile = lab.lithify();
    compile.arg("compile").arg(shell.wasm()).arg("-o").arg(folder.path().join("full.cwasm"));
    assert_fails_cleanly(&mut script(&text, &compile), 125, "File too large", folder.path());
}

#[test]
fn full_disk_is_named() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let len = shell.wasm().metadata().expect("an artifact").len();
    let folder = lab.temporary();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).expect("a mount point");
    let mount = format!("mount -t tmpfs -o size={} tmpfs {}", len - MISSING_BYTES, disk.display());
    let mut unshared = Command::new("unshare");
    unshared.args(["--mount", "--map-root-user", "sh", "-c"]);
    if run(unshared.arg(&mount)).code != 0 {
        println!("skipped: this user may not mount a tmpfs");
        return;
    }
    let mut build = lab.build(&Image::Shell("shell").context(), &disk.join("full.wasm"));
    build.args(["--target", "shell"]);
    // The mount ends with the command, so the command lists what is left on the disk.
    let list = format!("echo \"left: $(ls -A {})\" >&2", disk.display());
    let text = format!("{mount} && \"$@\"; code=$?; {list}; exit $code");
    let inner = script(&text, &build);
    let mut unshared = Command::new("unshare");
    unshared.args(["--mount", "--map-root-user"]).arg(inner.get_program()).args(inner.get_args());
    unshared.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let outcome = run(&mut unshared).expect_error(1, &["full.wasm: ", "No space left on device"]);
    assert!(outcome.stderr_text().ends_with("left: \n"), "{}", outcome.stderr_text());
}
