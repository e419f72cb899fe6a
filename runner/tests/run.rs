//! Small hand-written guests that use WASI the way an artifact does.

use lithify_control::Overrides;
use lithify_runner::{Artifact, CompiledCache, Engine, RunOptions, RunnerError, Streams, run};
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Imports and helpers: `$out` writes bytes to standard output.
const PRELUDE: &str = r#"
(import "wasi_snapshot_preview1" "fd_write"
  (func $fd_write (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_read"
  (func $fd_read (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
(memory (export "memory") 4)
(func $io (param $at i32) (param $len i32)
  (i32.store (i32.const 0) (local.get $at))
  (i32.store (i32.const 4) (local.get $len)))
(func $write (param $fd i32) (param $at i32) (param $len i32)
  (call $io (local.get $at) (local.get $len))
  (if (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))
    (then (call $exit (i32.const 99)))))
(func $read (param $fd i32) (param $at i32) (param $len i32) (result i32)
  (call $io (local.get $at) (local.get $len))
  (if (call $fd_read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))
    (then (call $exit (i32.const 98))))
  (i32.load (i32.const 8)))
"#;

struct Bench {
    folder: tempfile::TempDir,
    engine: Engine,
    cache: CompiledCache,
}

struct Finished {
    code: Result<u32, RunnerError>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = CompiledCache::at(folder.path().join("cache")).unwrap();
        Self { folder, engine: Engine::new().unwrap(), cache }
    }

    fn write(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, contents).unwrap();
        path
    }

    fn guest(&self, imports: &str, body: &str) -> PathBuf {
        // Imports come before all else in a module.
        let text = format!("(module {imports} {PRELUDE} {body})");
        self.write("guest.wasm", &wat::parse_str(text).unwrap())
    }

    fn open(&self, path: &Path) -> Result<Artifact, RunnerError> {
        Artifact::open(&self.engine, path, &self.cache)
    }

    fn run(&self, path: &Path, stdin: Option<OwnedFd>, words: &[&str]) -> Finished {
        let mut out = tempfile::tempfile().unwrap();
        let mut err = tempfile::tempfile().unwrap();
        let duplicate = |file: &File| OwnedFd::from(file.try_clone().unwrap());
        let options = RunOptions {
            args: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
            env: vec![b"A=1".to_vec(), b"B=\xff".to_vec()],
            overrides: Overrides { cwd: Some(b"/work".to_vec()), ..Overrides::default() },
            mounts: vec![],
            network: None,
            streams: Streams::new(stdin, duplicate(&out), duplicate(&err)),
            events: None,
            terminal: None,
            meter: None,
        };
        let code = self.open(path).and_then(|artifact| run(&self.engine, &artifact, options));
        let contents = |file: &mut File| {
            let mut bytes = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut bytes).unwrap();
            bytes
        };
        Finished { code, stdout: contents(&mut out), stderr: contents(&mut err) }
    }
}

#[test]
fn exit_codes_and_streams_pass_through() {
    let bench = Bench::new();
    for code in [0_u32, 7, 137, 300] {
        let path = bench.guest(
            "",
            &format!(
                r#"(data (i32.const 100) "outerr")
                (func (export "_start")
                  (call $write (i32.const 1) (i32.const 100) (i32.const 3))
                  (call $write (i32.const 2) (i32.const 103) (i32.const 3))
                  (call $exit (i32.const {code})))"#
            ),
        );
        let finished = bench.run(&path, None, &["guest"]);
        assert_eq!(finished.code.unwrap(), code);
        assert_eq!((&finished.stdout[..], &finished.stderr[..]), (&b"out"[..], &b"err"[..]));
    }
}

#[test]
fn returning_from_start_is_success() {
    let bench = Bench::new();
    let path = bench.guest("", r#"(func (export "_start"))"#);
    assert_eq!(bench.run(&path, None, &["guest"]).code.unwrap(), 0);
}

const CAT: &str = r#"(func (export "_start") (local $n i32)
  (loop $again
    (local.set $n (call $read (i32.const 0) (i32.const 1024) (i32.const 65536)))
    (if (local.get $n) (then
      (call $write (i32.const 1) (i32.const 1024) (local.get $n))
      (br $again)))))"#;

#[test]
fn input_reaches_output_unchanged_and_ends() {
    let bench = Bench::new();
    let path = bench.guest("", CAT);
    let sent: Vec<u8> =
        (0..1_000_003_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let input = sent.clone();
    let feeder = thread::spawn(move || writer.write_all(&input).unwrap());
    let finished = bench.run(&path, Some(reader.into()), &["cat"]);
    feeder.join().unwrap();
    assert_eq!(finished.code.unwrap(), 0);
    assert!(finished.stdout == sent);
}

#[test]
fn detached_input_is_at_its_end() {
    let bench = Bench::new();
    let path = bench.guest("", CAT);
    let finished = bench.run(&path, None, &["cat"]);
    assert_eq!((finished.code.unwrap(), finished.stdout.len()), (0, 0));
}

#[test]
fn reader_that_goes_away_ends_the_run_with_141() {
    let bench = Bench::new();
    let path = bench.guest(
        "",
        r#"(func (export "_start") (loop $forever
             (call $write (i32.const 1) (i32.const 100) (i32.const 65536)) (br $forever)))"#,
    );
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let streams = Streams::new(None, writer.into(), tempfile::tempfile().unwrap().into());
    let options = RunOptions {
        args: vec![],
        env: vec![],
        overrides: Overrides::default(),
        mounts: vec![],
        network: None,
        streams,
        events: None,
        terminal: None,
        meter: None,
    };
    assert_eq!(run(&bench.engine, &bench.open(&path).unwrap(), options).unwrap(), 141);
}

#[test]
fn arguments_and_environment_arrive_byte_for_byte() {
    let bench = Bench::new();
    let path = bench.guest(
        r#"(import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "args_sizes_get"
             (func $args_sizes (param i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "environ_get"
             (func $env (param i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "environ_sizes_get"
             (func $env_sizes (param i32 i32) (result i32)))"#,
        r#"(func (export "_start")
             (drop (call $args_sizes (i32.const 16) (i32.const 20)))
             (drop (call $args (i32.const 200) (i32.const 1000)))
             (call $write (i32.const 1) (i32.load (i32.const 200)) (i32.load (i32.const 20)))
             (drop (call $env_sizes (i32.const 16) (i32.const 20)))
             (drop (call $env (i32.const 200) (i32.const 1000)))
             (call $write (i32.const 1) (i32.load (i32.const 200)) (i32.load (i32.const 20))))"#,
    );
    let finished = bench.run(&path, None, &["guest", "", "zwei drei"]);
    assert_eq!(finished.stdout, b"guest\0\0zwei drei\0A=1\0B=\xff\0");
}

#[test]
fn request_file_holds_the_overrides() {
    let bench = Bench::new();
    let path = bench.guest(
        r#"(import "wasi_snapshot_preview1" "fd_prestat_get"
             (func $prestat (param i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "path_open"
             (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#,
        r#"(data (i32.const 100) "request")
           (func (export "_start")
             (if (call $prestat (i32.const 3) (i32.const 16)) (then (call $exit (i32.const 1))))
             (if (i32.ne (i32.load (i32.const 20)) (i32.const 9))
               (then (call $exit (i32.const 2))))
             (if (i32.ne (call $prestat (i32.const 4) (i32.const 16)) (i32.const 8))
               (then (call $exit (i32.const 3))))
             (if (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 7)
                   (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 24))
               (then (call $exit (i32.const 4))))
             (call $write (i32.const 1) (i32.const 1000)
               (call $read (i32.load (i32.const 24)) (i32.const 1000) (i32.const 500))))"#,
    );
    let finished = bench.run(&path, None, &["guest"]);
    assert_eq!(finished.code.unwrap(), 0);
    let overrides = Overrides::decode(&finished.stdout).unwrap();
    assert_eq!(overrides.cwd.as_deref(), Some(&b"/work"[..]));
}

/// One subscription to standard input (userdata 5) and one to 30 ms of the monotonic clock
/// (userdata 6); writes the first event's userdata and the number of events.
const POLL: &str = r#"(func (export "_start")
  (i64.store (i32.const 100) (i64.const 5))
  (i32.store8 (i32.const 108) (i32.const 1))
  (i64.store (i32.const 148) (i64.const 6))
  (i32.store (i32.const 164) (i32.const 1))
  (i64.store (i32.const 172) (i64.const 30000000))
  (if (call $poll (i32.const 100) (i32.const 300) (i32.const 2) (i32.const 308))
    (then (call $exit (i32.const 1))))
  (i32.store8 (i32.const 301) (i32.load (i32.const 308)))
  (call $write (i32.const 1) (i32.const 300) (i32.const 2)))"#;
const POLL_IMPORT: &str = r#"(import "wasi_snapshot_preview1" "poll_oneoff"
  (func $poll (param i32 i32 i32 i32) (result i32)))"#;

#[test]
fn poll_wakes_for_the_clock_when_input_is_silent() {
    let bench = Bench::new();
    let path = bench.guest(POLL_IMPORT, POLL);
    let (reader, writer) = std::io::pipe().unwrap();
    bench.open(&path).unwrap();
    let begin = Instant::now();
    let finished = bench.run(&path, Some(reader.into()), &[]);
    assert_eq!(finished.stdout, [6, 1]);
    assert!(begin.elapsed() >= Duration::from_millis(30));
    drop(writer);
}

#[test]
fn poll_wakes_for_input_and_for_its_end() {
    let bench = Bench::new();
    let path = bench.guest(POLL_IMPORT, POLL);
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"x").unwrap();
    assert_eq!(bench.run(&path, Some(reader.into()), &[]).stdout, [5, 1]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(writer);
    assert_eq!(bench.run(&path, Some(reader.into()), &[]).stdout, [5, 1]);
    assert_eq!(bench.run(&path, None, &[]).stdout, [5, 1]);
}

#[test]
fn calls_outside_the_subset_answer_enosys() {
    let bench = Bench::new();
    let path = bench.guest(
        r#"(import "wasi_snapshot_preview1" "proc_raise"
             (func $raise (param i32) (result i32)))"#,
        r#"(func (export "_start") (call $exit (call $raise (i32.const 0))))"#,
    );
    assert_eq!(bench.run(&path, None, &[]).code.unwrap(), 52);
}

#[test]
fn hostile_addresses_fault_and_do_not_crash() {
    let bench = Bench::new();
    let path = bench.guest(
        r#"(import "wasi_snapshot_preview1" "random_get"
             (func $random (param i32 i32) (result i32)))"#,
        r#"(func (export "_start")
             (if (i32.ne (call $random (i32.const -8) (i32.const 16)) (i32.const 21))
               (then (call $exit (i32.const 1))))
             (if (i32.ne (i32.const 21)
                   (call $fd_write (i32.const 1) (i32.const -4) (i32.const -1) (i32.const 0)))
               (then (call $exit (i32.const 2)))))"#,
    );
    assert_eq!(bench.run(&path, None, &[]).code.unwrap(), 0);
}

#[test]
fn trap_is_one_message() {
    let bench = Bench::new();
    let path = bench.guest("", r#"(func (export "_start") unreachable)"#);
    let message = bench.run(&path, None, &[]).code.unwrap_err().to_string();
    assert_eq!(
        message,
        "the artifact's machine stopped: wasm trap: wasm `unreachable` instruction executed"
    );
}

#[test]
fn bad_files_are_named_with_what_is_wrong() {
    let bench = Bench::new();
    let whole = fs::read(bench.guest("", CAT)).unwrap();
    let module = |text: &str| wat::parse_str(text).unwrap();
    let cases = [
        (whole[..whole.len() / 2].to_vec(), "not a valid WebAssembly module"),
        (whole[..6].to_vec(), "the file is cut off"),
        (Vec::new(), "the file is cut off"),
        (b"#!/bin/sh\n".to_vec(), "neither WebAssembly nor a compiled form"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "a component, which other runtimes run"),
        (b"\x7fELF and no more".to_vec(), "compiled for another version or machine"),
        (module("(module)"), "it exports no function `_start`"),
        (module(r#"(module (func (export "_start")))"#), "it exports no `memory`"),
        (module(r#"(module (import "env" "f" (func)))"#), "it imports `f` from `env`"),
    ];
    for (contents, expected) in cases {
        let path = bench.write("bad", &contents);
        let message = bench.open(&path).unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
    let message = bench.open(Path::new("/nonexistent")).unwrap_err().to_string();
    assert!(message.starts_with("/nonexistent: "), "{message}");
}

#[test]
fn precompiled_files_run_and_are_checked() {
    let bench = Bench::new();
    let wasm = fs::read(bench.guest("", CAT)).unwrap();
    let path = bench.folder.path().join("guest.cwasm");
    let mut compiled = bench.engine.compile(&wasm).unwrap();
    lithify_runner::write_compiled(&path, &compiled).unwrap();
    assert!(Artifact::open_precompiled(&bench.engine, &path).is_ok());

    fs::set_permissions(&path, PermissionsExt::from_mode(0o622)).unwrap();
    let message = bench.open(&path).unwrap_err().to_string();
    assert!(message.contains("refusing to run native code"), "{message}");

    // The version is text in the file: another one of the same length.
    let version = b"48";
    let at = compiled.windows(2).position(|pair| pair == version).unwrap();
    compiled[at..at + 2].copy_from_slice(b"47");
    let path = bench.write("old.cwasm", &compiled);
    let message = bench.open(&path).unwrap_err().to_string();
    assert!(message.contains("compile the .wasm again"), "{message}");
}
