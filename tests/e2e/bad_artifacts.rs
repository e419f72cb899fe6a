//! Files that are no sound artifact: one clear message, exit code 125, nothing written.

use crate::support::{Artifact, Image, Lab, Outcome, run};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const CODE: i32 = 125;

fn lithify(lab: &Lab, args: &[&OsStr]) -> Outcome {
    run(lab.lithify().args(args))
}

fn copy_with(folder: &Path, name: &str, from: &Path, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = fs::read(from).expect("a file to copy");
    change(&mut bytes);
    let path = folder.join(name);
    fs::write(&path, bytes).expect("a changed copy");
    path
}

#[test]
fn truncated_artifact_is_refused_by_every_command() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let folder = lab.temporary();
    let whole = shell.wasm().metadata().expect("an artifact").len() as usize;
    let output = folder.path().join("out.cwasm");
    for len in [0, 3, 7, 8, 1000, whole / 2, whole - 1] {
        let cut = copy_with(folder.path(), "cut.wasm", shell.wasm(), |bytes| bytes.truncate(len));
        let cut = cut.as_os_str();
        for args in [
            &["run".as_ref(), cut][..],
            &["inspect".as_ref(), cut],
            &["compile".as_ref(), cut, "-o".as_ref(), output.as_ref()],
        ] {
            lithify(lab, args).expect_error(CODE, &["cut.wasm: "]);
        }
        assert!(!output.exists(), "{len}");
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1, "{len}");
    }
}

#[test]
fn other_files_are_no_artifacts() {
    let Some(lab) = Lab::get() else { return };
    let folder = lab.temporary();
    for (contents, part) in [
        (&b"#!/bin/sh\n"[..], "neither WebAssembly nor a compiled form"),
        (b"\0asm\x0d\0\x01\0", "component"),
        (b"\0asm\x01\0\0\0", "_start"),
    ] {
        let path = folder.path().join("other");
        fs::write(&path, contents).expect("a file");
        let args = ["run".as_ref(), path.as_os_str()];
        lithify(lab, &args).expect_error(CODE, &["other: not an artifact", part]);
    }
    let missing = folder.path().join("missing.wasm");
    lithify(lab, &["run".as_ref(), missing.as_os_str()])
        .expect_error(CODE, &["missing.wasm", "No such file"]);
    lithify(lab, &["run".as_ref(), folder.path().as_os_str()]).expect_error(CODE, &["directory"]);
}

#[test]
fn compiled_form_of_another_version_is_refused() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let folder = lab.temporary();
    // The engine notes its version, with its length before and the target's name behind it.
    let other_version: fn(&mut Vec<u8>) = |bytes| {
        let version = b"\x0248";
        let at = bytes.windows(version.len()).position(|window| window == version);
        bytes[at.expect("the engine's version") + 1] = b'3';
    };
    let other_class: fn(&mut Vec<u8>) = |bytes| bytes[4] = 1;
    let cut: fn(&mut Vec<u8>) = |bytes| bytes.truncate(4096);
    for change in [other_version, other_class, cut] {
        let path = copy_with(folder.path(), "other.cwasm", shell.ours(), change);
        let parts =
            ["other.cwasm: compiled for another version or machine", "compile the .wasm again"];
        lithify(lab, &["run".as_ref(), path.as_os_str()]).expect_error(CODE, &parts);
    }
}

#[test]
fn compiled_form_that_others_can_write_is_refused() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let folder = lab.temporary();
    let path = copy_with(folder.path(), "open.cwasm", shell.ours(), |_| {});
    fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("its own file");
    let parts = ["open.cwasm: refusing to run native code", "others can write it (mode 666)"];
    lithify(lab, &["run".as_ref(), path.as_os_str()]).expect_error(CODE, &parts);
}

#[test]
fn artifact_imports_nothing_but_wasi() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let args = ["inspect".as_ref(), "--json".as_ref(), shell.wasm().as_os_str()];
    let report = lithify(lab, &args).expect_code(0).stdout_text();
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let imports = report["imports"].as_array().expect("a list");
    assert!(!imports.is_empty());
    let is_wasi = |import: &serde_json::Value| {
        import.as_str().is_some_and(|name| name.starts_with("wasi_snapshot_preview1."))
    };
    assert!(imports.iter().all(is_wasi), "{imports:?}");
    assert_eq!(report["manifest"]["architecture"], "riscv64");
    assert_eq!(report["image_config"]["config"]["Cmd"], serde_json::json!(["sh"]));
}
