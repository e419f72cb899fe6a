//! The command as its users meet it, where no machine has to boot.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn lithify(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lithify"))
            .args(words)
            .current_dir(self.path())
            .env("XDG_CACHE_HOME", self.path().join("cache"))
            .env_remove("LITHIFY_BOOT_FILES")
            // The tests' emulator has nothing to count.
            .env("LITHIFY_TRANSLATE", "off")
            .output()
            .unwrap()
    }

    /// Exit code, standard error; nothing must have been printed as a result.
    fn fails(&self, words: &[&str]) -> (i32, String) {
        let output = self.lithify(words);
        assert!(output.stdout.is_empty(), "{output:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Names in the home folder besides the cache.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "cache").collect();
        names.sort();
        names
    }

    fn dockerfile(&self, text: &str) {
        fs::create_dir_all(self.path().join("context")).unwrap();
        fs::write(self.path().join("context/Dockerfile"), text).unwrap();
    }

    /// An emulator that fills a megabyte of its memory and does nothing else.
    fn boot_files(&self) {
        let folder = self.path().join("boot");
        fs::create_dir(&folder).unwrap();
        for name in ["kernel-riscv64", "initramfs-riscv64.cpio"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        let emulator = r#"(module (memory (export "memory") 32) (table 1 funcref)
            (func (export "wizer-initialize")
              (memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576)))
            (func (export "_start")))"#;
        fs::write(folder.join("emulator-riscv64.wasm"), wat::parse_str(emulator).unwrap()).unwrap();
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    let home = Home::new();
    for words in [
        &["build"][..],
        &["biuld", "."],
        &["build", "--memory", "lots", "."],
        &["build", "--push", "."],
        &["build", "-o", "type=zip,dest=x", "."],
        &["build", "-o", "x.wasm", "-o", "x.wasm", "."],
        &["build", "-f", "-", "-o", "x.wasm", "-"],
        &["build", "-"],
        &["prune", "--filter", "label=x", "-f"],
        &["prune"],
        &["build", "--build-context", "no-value", "."],
        &["run"],
        &["run", "--privileged", "app.wasm"],
        &["inspect"],
    ] {
        let (code, message) = home.fails(words);
        assert_eq!(code, 2, "{words:?}: {message}");
    }
}

#[test]
fn files_that_cannot_run_end_with_125_and_their_name() {
    let home = Home::new();
    let module = wat::parse_str("(module)").unwrap();
    for (name, contents, expected) in [
        ("empty.wasm", &b""[..], "cut off"),
        ("cut.wasm", &module[..6], "cut off"),
        ("half.wasm", b"\0asm\x01\0\0\0\x01\x7f", "not a valid WebAssembly module"),
        ("other.wasm", &module, "exports no function `_start`"),
        ("script", b"#!/bin/sh", "neither WebAssembly"),
        ("old.cwasm", b"\x7fELF", "compile the .wasm again"),
    ] {
        fs::write(home.path().join(name), contents).unwrap();
        let (code, message) = home.fails(&["run", name]);
        assert_eq!(code, 125, "{name}: {message}");
        assert!(message.starts_with(&format!("error: {name}: ")), "{message}");
        assert!(message.contains(expected) && message.lines().count() == 1, "{message}");
    }
    for verb in ["run", "compile", "inspect"] {
        let (code, message) = home.fails(&[verb, "missing.wasm"]);
        assert_eq!(code, 125);
        assert!(message.starts_with("error: missing.wasm: No such file"), "{message}");
    }
}

#[test]
fn build_errors_end_with_1_and_leave_nothing() {
    let home = Home::new();
    home.boot_files();
    let build = ["build", "--boot-files", "boot", "-o", "app.wasm", "context"];
    let (code, message) = home.fails(&build);
    assert_eq!(code, 1, "{message}");

    for (dockerfile, expected) in [
        ("FROM scratch\nCOPPY a /\n", "did you mean `COPY`"),
        ("FROM scratch\nCOPY missing /\n", "missing"),
        ("FROM scratch\nSHELL /bin/sh -c\n", "JSON"),
        ("FROM scratch\nRUN true\n", "RUN"),
    ] {
        home.dockerfile(dockerfile);
        let (code, message) = home.fails(&build);
        assert_eq!(code, 1, "{message}");
        assert!(message.contains("Dockerfile:2: ") && message.contains(expected), "{message}");
    }
    assert_eq!(home.names(), ["boot", "context"]);
}

#[test]
fn missing_boot_files_say_how_to_make_them() {
    let home = Home::new();
    home.dockerfile("FROM scratch\n");
    fs::create_dir(home.path().join("empty")).unwrap();
    let (code, message) = home.fails(&["build", "--boot-files", "empty", "context"]);
    assert_eq!(code, 1);
    assert!(message.contains("kernel-riscv64") && message.contains("make boot-files"), "{message}");
}

#[test]
fn artifact_is_written_whole_inspected_and_run() {
    let home = Home::new();
    home.boot_files();
    home.dockerfile(
        "FROM scratch\nCOPY Dockerfile /etc/\nEXPOSE 80\nENTRYPOINT [\"/app\", \"\\u001b\"]\n",
    );
    let words = ["build", "--boot-files", "boot", "--progress=plain", "-t", "context", "context"];
    let built = home.lithify(&words);
    let progress = String::from_utf8(built.stderr).unwrap();
    assert_eq!(String::from_utf8(built.stdout).unwrap(), "context.wasm\n", "{progress}");
    assert!(progress.contains("COPY Dockerfile /etc/") && progress.contains("DONE"), "{progress}");

    let shown = home.lithify(&["inspect", "context.wasm"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("256.00 MiB") && text.contains("riscv64"), "{text}");
    assert!(text.contains("/app") && !text.contains('\u{1b}'), "{text}");
    let shown = home.lithify(&["inspect", "--json", "context.wasm"]);
    let json: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["manifest"]["architecture"], "riscv64");
    assert_eq!(
        json["sizes"]["file"],
        fs::metadata(home.path().join("context.wasm")).unwrap().len()
    );

    let shown = home.lithify(&["inspect", "context:latest"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("dev.lithify.run.exposed-ports [\\\"80/tcp\\\"]"), "{text}");
    assert!(text.contains("dev.lithify.run.entrypoint") && !text.contains('\u{1b}'), "{text}");
    let shown = home.lithify(&["inspect", "--json", "context:latest"]);
    let json: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(json["annotations"]["dev.lithify.run.memory"], "268435456");

    assert!(home.lithify(&["compile", "context.wasm"]).status.success());
    for file in ["context.wasm", "context.cwasm"] {
        let run = home.lithify(&["run", file]);
        assert!(run.status.success(), "{run:?}");
    }
    let (code, message) = home.fails(&["inspect", "context.cwasm"]);
    assert!(code == 125 && message.contains("compiled form"), "{message}");
}

#[test]
fn artifact_runs_where_nothing_can_be_kept() {
    let home = Home::new();
    home.boot_files();
    home.dockerfile("FROM scratch\n");
    assert!(home.lithify(&["build", "--boot-files", "boot", "context"]).status.success());
    let run = Command::new(env!("CARGO_BIN_EXE_lithify"))
        .args(["run", "context.wasm"])
        .current_dir(home.path())
        .env("XDG_CACHE_HOME", "/dev/null/cache")
        .output()
        .unwrap();
    let message = String::from_utf8(run.stderr).unwrap();
    assert!(run.status.success(), "{message}");
    assert!(message.starts_with("warning: compiling for this run only: "), "{message}");
}

#[test]
fn equal_builds_in_two_folders_have_one_digest() {
    let digest = || {
        let home = Home::new();
        home.boot_files();
        home.dockerfile("FROM scratch\nCOPY Dockerfile /\n");
        let built = home.lithify(&["build", "-q", "--boot-files", "boot", "context"]);
        assert!(built.stderr.is_empty(), "{built:?}");
        String::from_utf8(built.stdout).unwrap()
    };
    let first = digest();
    assert!(first.starts_with("sha256:") && first.len() == 72, "{first}");
    assert_eq!(first, digest());
}

#[test]
fn artifact_that_cannot_be_written_leaves_nothing() {
    let home = Home::new();
    home.boot_files();
    home.dockerfile("FROM scratch\n");
    for output in ["missing/app.wasm", "/dev/full/app.wasm", "type=wasm,dest=boot"] {
        let words = ["build", "--boot-files", "boot", "-q", "-o", output, "context"];
        let (code, message) = home.fails(&words);
        assert_eq!((code, message.lines().count()), (1, 1), "{message}");
        let path = output.rsplit('=').next().unwrap();
        assert!(message.starts_with(&format!("error: {path}: ")), "{message}");
    }
    assert_eq!(home.names(), ["boot", "context"]);
}

#[test]
fn disk_that_fills_up_leaves_nothing() {
    let home = Home::new();
    home.boot_files();
    home.dockerfile("FROM scratch\n");
    // A limit on the size of files stops a write half-way, as a full disk does. Half a megabyte is
    // enough for everything but the artifact.
    let script = "trap '' XFSZ; ulimit -f 512; exec \"$@\"";
    let output = Command::new("bash")
        .args(["-c", script, "limited", env!("CARGO_BIN_EXE_lithify")])
        .args(["build", "-q", "--boot-files", "boot", "-o", "app.wasm", "context"])
        .current_dir(home.path())
        .env("XDG_CACHE_HOME", home.path().join("cache"))
        .env("LITHIFY_TRANSLATE", "off")
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("error: cannot write the artifact: "), "{message}");
    assert_eq!(home.names(), ["boot", "context"]);
}

#[test]
fn results_go_to_standard_output() {
    let home = Home::new();
    let version = home.lithify(&["version"]);
    assert!(version.stdout.starts_with(b"lithify ") && version.stderr.is_empty());
    let script = home.lithify(&["completion", "bash"]);
    assert!(String::from_utf8(script.stdout).unwrap().contains("--build-context"));
}
