//! The program without a compiler, as a user meets it.

use lithify_runner::{Engine, write_compiled};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Ends with the number of its arguments.
const COUNTS_ARGUMENTS: &str = r#"(module
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (call $exit (i32.load (i32.const 0)))))"#;

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        let wasm = wat::parse_str(COUNTS_ARGUMENTS).unwrap();
        fs::write(files.path("count.wasm"), &wasm).unwrap();
        let compiled = Engine::new().unwrap().compile(&wasm).unwrap();
        write_compiled(&files.path("count.cwasm"), &compiled).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn lithify_run(words: &[&str], file: Option<&Path>, rest: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lithify-run"));
    command.args(words).args(file).args(rest).output().unwrap()
}

fn message(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn it_ends_with_the_guest_s_code() {
    let files = Files::new();
    let output = lithify_run(&[], Some(&files.path("count.cwasm")), &["a", "b"]);
    assert_eq!(output.status.code(), Some(3), "{}", message(&output));
}

#[test]
fn the_file_ends_the_options() {
    let files = Files::new();
    let file = files.path("count.cwasm");
    let output = lithify_run(&["-e", "A=1", "-i"], Some(&file), &["-e", "--help", "--", "x"]);
    assert_eq!(output.status.code(), Some(5), "{}", message(&output));
}

#[test]
fn a_wasm_file_needs_a_compiler() {
    let files = Files::new();
    let output = lithify_run(&[], Some(&files.path("count.wasm")), &[]);
    assert_eq!(output.status.code(), Some(125));
    assert!(message(&output).contains("count.wasm"), "{}", message(&output));
}

#[test]
fn a_wrong_command_line_is_told() {
    let output = lithify_run(&["--frobnicate"], None, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(message(&output).starts_with("lithify-run: invalid option '--frobnicate'"));
    assert_eq!(lithify_run(&[], None, &[]).status.code(), Some(2));
    assert_eq!(lithify_run(&["--help"], None, &[]).status.code(), Some(0));
}
