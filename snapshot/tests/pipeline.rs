//! From a small emulator to an artifact that runs.

mod common;

use common::{BOOT, Bench, MEMORY_BYTES, ROOTFS, RUN, emulator, sections};
use lithify_control::Overrides;
use lithify_rom::{Compression, PackError};
use lithify_runner::{Artifact, End, RunOptions, Streams, run, run_until_freeze};
use lithify_snapshot::{
    CheckError, FreezeError, Frozen, SealError, StoredRom, check, inspect, save, seal,
};
use std::fs::{self, File};
use std::io::{Cursor, Read, Seek, Write};

/// `rom` to seal, said to be `len` bytes long.
fn stored(rom: &[u8], len: u64, compression: Compression) -> Result<StoredRom, PackError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(rom).unwrap();
    StoredRom::new(file, len, compression, &std::env::temp_dir())
}

fn plain(rom: &[u8], len: u64) -> StoredRom {
    stored(rom, len, Compression::None).unwrap()
}

fn sealed(frozen: &Frozen, rom: &[u8]) -> Vec<u8> {
    let mut artifact = Vec::new();
    seal(frozen, &plain(rom, rom.len() as u64), &sections(), &mut artifact).unwrap();
    artifact
}

fn options(streams: Streams) -> RunOptions {
    RunOptions {
        args: vec![],
        env: vec![],
        overrides: Overrides::default(),
        mounts: vec![],
        network: None,
        streams,
        events: None,
        terminal: None,
        meter: None,
    }
}

#[test]
fn artifact_continues_where_the_boot_ended() {
    let bench = Bench::new();
    let artifact = sealed(&bench.freeze(emulator(BOOT, RUN)).unwrap(), ROOTFS);
    assert_eq!(*bench.log.lock().unwrap(), ["booting", "ready"]);

    let path = bench.folder.path().join("app.wasm");
    fs::write(&path, artifact).unwrap();
    let mut stdout = tempfile::tempfile().unwrap();
    let streams = Streams::new(
        None,
        stdout.try_clone().unwrap().into(),
        tempfile::tempfile().unwrap().into(),
    );
    let options = options(streams);
    let artifact = Artifact::open(&bench.engine, &path, &bench.cache).unwrap();
    assert_eq!(run(&bench.engine, &artifact, options).unwrap(), 42);

    let mut output = Vec::new();
    stdout.rewind().unwrap();
    stdout.read_to_end(&mut output).unwrap();
    let expected = [
        &MEMORY_BYTES.to_le_bytes()[..],
        &6_u64.to_le_bytes(),
        &24_u64.to_le_bytes(),
        b"hsqs",
        b"a root file system",
    ];
    assert_eq!(output, expected.concat());
}

/// Ends by returning until it has done so twice; then as `RUN` does.
const COUNT: &str = r#"
  (i32.store (i32.const 69632) (i32.add (i32.load (i32.const 69632)) (i32.const 1)))
  (i32.store (i32.const 200000) (memory.grow (i32.const 1)))
  (if (i32.lt_u (i32.load (i32.const 69632)) (i32.const 3)) (then (return)))"#;

#[test]
fn run_that_stands_still_is_saved_and_goes_on_as_often_as_one_likes() {
    let bench = Bench::new();
    let frozen = bench.freeze(emulator(BOOT, &[COUNT, RUN].concat())).unwrap();
    let mut wasm = sealed(&frozen, ROOTFS);
    let path = bench.folder.path().join("app.wasm");
    let start = || {
        let artifact = Artifact::open(&bench.engine, &path, &bench.cache).unwrap();
        let mut stdout = tempfile::tempfile().unwrap();
        let streams = Streams::new(
            None,
            stdout.try_clone().unwrap().into(),
            tempfile::tempfile().unwrap().into(),
        );
        let end = run_until_freeze(&bench.engine, &artifact, options(streams)).unwrap();
        let mut output = Vec::new();
        stdout.rewind().unwrap();
        stdout.read_to_end(&mut output).unwrap();
        (end, output)
    };
    for _ in 0..2 {
        fs::write(&path, &wasm).unwrap();
        let (End::Frozen(machine), _) = start() else { panic!("it returns") };
        let saved = || {
            let mut out = Vec::new();
            save(File::open(&path).unwrap(), machine.memory(), &mut out).unwrap();
            out
        };
        wasm = saved();
        assert_eq!(wasm, saved());
        wasmparser::validate(&wasm).unwrap();
        let report = inspect(Cursor::new(&wasm), wasm.len() as u64).unwrap();
        assert_eq!(check(&report), Ok(()));
        assert!(report.manifest.running);
        assert_eq!(report.sizes.rom, ROOTFS.len() as u64);
        assert_eq!(report.image_config["os"], "linux");
    }
    fs::write(&path, &wasm).unwrap();
    for _ in 0..2 {
        let (End::Exit(42), output) = start() else { panic!("it exits") };
        assert!(output.ends_with(b"hsqsa root file system"), "{output:?}");
    }
}

/// A rootfs image of some chunks that starts like the small one.
fn large_rootfs() -> Vec<u8> {
    let pattern = (0..300_000_u32).map(|i| ((i / 5) ^ (i >> 9)) as u8);
    ROOTFS.iter().copied().chain(pattern).collect()
}

#[test]
fn packed_artifact_shows_its_chunks_and_is_unpacked_by_the_compiler() {
    let bench = Bench::new();
    let frozen = bench.freeze(emulator(BOOT, RUN)).unwrap();
    let rom = large_rootfs();
    let engine = &bench.engine;
    let plain = sealed(&frozen, &rom);
    for compression in [Compression::Lz4, Compression::Zstd(3)] {
        let stored = stored(&rom, rom.len() as u64, compression).unwrap();
        let mut artifact = Vec::new();
        seal(&frozen, &stored, &sections(), &mut artifact).unwrap();
        wasmparser::validate(&artifact).unwrap();
        let report = inspect(Cursor::new(&artifact), artifact.len() as u64).unwrap();
        assert_eq!((report.rom.raw, report.rom.chunks), (rom.len() as u64, Some(5)));
        assert_eq!(report.rom.compression, compression.to_string().split(':').next());
        assert_eq!(report.rom.stored, report.sizes.rom);
        assert!(report.rom.stored < report.rom.raw / 2, "{:?}", report.rom);
        assert_eq!(check(&report), Ok(()));
        assert!(engine.compile(&artifact).unwrap() == engine.compile(&plain).unwrap());
    }
}

#[test]
fn damaged_artifact_is_not_saved() {
    let bench = Bench::new();
    let wasm = sealed(&bench.freeze(emulator(BOOT, RUN)).unwrap(), ROOTFS);
    let path = bench.folder.path().join("app.wasm");
    for len in [4, 100, wasm.len() - 1] {
        fs::write(&path, &wasm[..len]).unwrap();
        let error = save(File::open(&path).unwrap(), &[0; 65536], &mut Vec::new()).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("the artifact that runs cannot be read again: "), "{message}");
    }
}

#[test]
fn damaged_packed_rom_is_answered() {
    let bench = Bench::new();
    let frozen = bench.freeze(emulator(BOOT, RUN)).unwrap();
    let rom = large_rootfs();
    let stored = stored(&rom, rom.len() as u64, Compression::Lz4).unwrap();
    let mut artifact = Vec::new();
    seal(&frozen, &stored, &sections(), &mut artifact).unwrap();
    let at = artifact.windows(8).rposition(|bytes| bytes == lithify_rom::MAGIC).unwrap();
    for (offset, expected) in
        [(8, "unknown codec"), (24, "not as long as its segment"), (35, "chunk 0"), (60, "chunk 0")]
    {
        let mut damaged = artifact.clone();
        damaged[at + offset] ^= 0x7f;
        let message = bench.engine.compile(&damaged).unwrap_err().to_string();
        assert!(message.contains(expected), "{offset}: {message}");
    }
}

#[test]
fn image_that_looks_packed_is_refused() {
    let bench = Bench::new();
    let frozen = bench.freeze(emulator(BOOT, RUN)).unwrap();
    let error = seal(&frozen, &plain(b"LITHROM1", 8), &sections(), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, SealError::Ambiguous), "{error}");
}

#[test]
fn equal_inputs_give_equal_bytes() {
    let (one, two) = (Bench::new(), Bench::new());
    let build = |bench: &Bench| sealed(&bench.freeze(emulator(BOOT, RUN)).unwrap(), ROOTFS);
    let first = build(&one);
    assert!(first == build(&two), "two folders");
    assert!(first == build(&one), "compiled emulator from the cache");
}

#[test]
fn report_and_check_agree_that_nothing_of_the_host_is_left() {
    let bench = Bench::new();
    let artifact = sealed(&bench.freeze(emulator(BOOT, RUN)).unwrap(), ROOTFS);
    wasmparser::validate(&artifact).unwrap();
    let len = artifact.len() as u64;
    let report = inspect(Cursor::new(artifact), len).unwrap();
    assert_eq!(report.manifest, sections().manifest);
    assert_eq!(report.image_config["os"], "linux");
    assert_eq!(report.sizes.rom, ROOTFS.len() as u64);
    assert_eq!(report.sizes.file, len);
    assert!(report.sizes.image > 0 && report.sizes.image < 256, "{:?}", report.sizes);
    assert_eq!(report.exports, ["memory", "_start"]);
    assert_eq!(
        report.imports,
        ["fd_write", "proc_exit", "random_get"]
            .map(|name| format!("wasi_snapshot_preview1.{name}"))
    );
    assert_eq!(check(&report), Ok(()));

    let mut foreign = report.clone();
    foreign.imports.push("wasi_snapshot_preview1x.y".into());
    assert_eq!(check(&foreign), Err(CheckError::Import("wasi_snapshot_preview1x.y".into())));
    let mut reactor = report.clone();
    reactor.exports.push("_initialize".into());
    assert_eq!(check(&reactor), Err(CheckError::Export("_initialize".into())));
    let mut library = report.clone();
    library.exports.pop();
    assert_eq!(check(&library), Err(CheckError::NoExport("_start")));
    let starting = lithify_snapshot::Report { has_start: true, ..report };
    assert_eq!(check(&starting), Err(CheckError::Start));
}

#[test]
fn build_calls_after_the_thaw_trap_and_rom_reads_are_bounded() {
    let bench = Bench::new();
    let cases = [
        "(drop (call $boot_len (i32.const 0)))",
        "(call $boot_read (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0))",
        "(call $boot_log (i32.const 0) (i32.const 0))",
        "(call $rom_read (i32.const 0) (i64.const 24) (i32.const 1))",
        "(call $rom_read (i32.const 0) (i64.const 0x100000000) (i32.const 1))",
        "(call $rom_read (i32.const -1) (i64.const 0) (i32.const 1))",
    ];
    for body in cases {
        let path = bench.folder.path().join("app.wasm");
        fs::write(&path, sealed(&bench.freeze(emulator(BOOT, body)).unwrap(), ROOTFS)).unwrap();
        let null = || tempfile::tempfile().unwrap().into();
        let options = options(Streams::new(None, null(), null()));
        let artifact = Artifact::open(&bench.engine, &path, &bench.cache).unwrap();
        let error = run(&bench.engine, &artifact, options).unwrap_err().to_string();
        assert!(error.starts_with("the artifact's machine stopped: wasm trap"), "{body}: {error}");
    }
}

#[test]
fn machine_that_does_not_come_up_shows_the_last_lines() {
    let bench = Bench::new();
    let boot = "(call $boot_log (i32.const 1024) (i32.const 8)) unreachable";
    let error = bench.freeze(emulator(boot, RUN)).unwrap_err();
    assert!(matches!(error, FreezeError::DidNotComeUp { .. }));
    let message = error.to_string();
    for expected in ["with 64 MiB of memory", "unreachable", "\nbooting\n", "--memory"] {
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
fn calls_that_would_freeze_host_state_are_named() {
    let bench = Bench::new();
    let random = "(drop (call $random (i32.const 0) (i32.const 8)))";
    let message = bench.freeze(emulator(random, RUN)).unwrap_err().to_string();
    assert!(message.contains("called `random_get` before the freeze"), "{message}");

    let print = "(i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 7))
        (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))";
    let message = bench.freeze(emulator(print, RUN)).unwrap_err().to_string();
    assert!(message.contains("called `fd_write` before the freeze\nbooting"), "{message}");
}

#[test]
fn emulators_of_another_shape_are_refused() {
    let bench = Bench::new();
    let module = |text: &str| wat::parse_str(text).unwrap();
    let cases = [
        (b"not wasm".to_vec(), "does not fit"),
        (module(r#"(module (memory (export "memory") 1))"#), "wizer-initialize"),
        (module(r#"(module (import "lithify" "new" (func)))"#), "imports `new` from `lithify`"),
        (module(r#"(module (import "env" "f" (func)))"#), "imports `f` from `env`"),
        (module(r#"(module (import "lithify" "rom_len" (func (result i32))))"#), "does not fit"),
    ];
    for (emulator, expected) in cases {
        let message = bench.freeze(emulator).unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
fn rootfs_that_is_not_as_long_as_announced_is_an_error() {
    let bench = Bench::new();
    let frozen = bench.freeze(emulator(BOOT, RUN)).unwrap();
    for announced in [ROOTFS.len() as u64 - 1, ROOTFS.len() as u64 + 1] {
        let rom = plain(ROOTFS, announced);
        let error = seal(&frozen, &rom, &sections(), &mut Vec::new()).unwrap_err();
        assert!(matches!(error, SealError::RomLength { .. }), "{error}");
    }
}

#[test]
fn rootfs_beyond_the_format_is_refused_before_anything_is_written() {
    let bench = Bench::new();
    let frozen = bench.freeze(emulator(BOOT, RUN)).unwrap();
    for len in [u64::from(u32::MAX), 4 << 30, u64::MAX] {
        let mut out = Vec::new();
        let error = seal(&frozen, &plain(&[], len), &sections(), &mut out).unwrap_err();
        assert!(matches!(error, SealError::TooLarge { .. }), "{error}");
        assert!(out.is_empty());
    }
}

#[test]
fn full_disk_is_reported_as_such() {
    let bench = Bench::new();
    let frozen = bench.freeze(emulator(BOOT, RUN)).unwrap();
    let mut small = [0; 64];
    let error = seal(&frozen, &plain(ROOTFS, 24), &sections(), &mut &mut small[..]).unwrap_err();
    assert!(matches!(error, SealError::Write(_)), "{error}");
}

#[test]
fn every_truncation_and_every_flipped_byte_is_answered() {
    let bench = Bench::new();
    let artifact = sealed(&bench.freeze(emulator(BOOT, RUN)).unwrap(), ROOTFS);
    let look = |bytes: &[u8]| inspect(Cursor::new(bytes), bytes.len() as u64);
    for len in 0..artifact.len() {
        // Only a cut between two sections can leave something whole.
        if let Ok(report) = look(&artifact[..len]) {
            assert!(check(&report).is_err() || report.sizes.rom == 0, "cut at {len}");
        }
    }
    for at in 0..artifact.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = artifact.clone();
            damaged[at] ^= flip;
            // Damage in text or data goes unnoticed; what counts is that nothing panics.
            let _: Result<_, _> = look(&damaged);
        }
    }
    let message = look(&artifact[..artifact.len() - 1]).unwrap_err().to_string();
    assert!(message.contains("cut off"), "{message}");
}

#[test]
fn files_that_are_no_artifacts_are_named() {
    let module = wat::parse_str("(module)").unwrap();
    let cases: [(&[u8], &str); 5] = [
        (b"", "cut off"),
        (b"\x7fELF....", "compiled form"),
        (b"\0asm\x0d\0\x01\0", "component"),
        (b"FROM scratch", "not WebAssembly"),
        (&module, "lithify did not make"),
    ];
    for (bytes, expected) in cases {
        let error = inspect(Cursor::new(bytes), bytes.len() as u64).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} lacks {expected:?}");
    }
}
