//! A hand-written emulator: it boots by reading its files and runs by printing from the rootfs.

use lithify_control::{BootConfig, ImageProcess};
use lithify_runner::{CompiledCache, Engine};
use lithify_snapshot::{FreezeError, Frozen, Machine, Manifest, Sections, freeze};
use std::fs::File;
use std::io::{Seek, Write};
use std::sync::{Arc, Mutex};

pub(crate) const ROOTFS: &[u8] = b"hsqs: a root file system";
pub(crate) const MEMORY_BYTES: u64 = 64 << 20;

/// Imports from both modules alternate, so that sealing has to renumber.
const IMPORTS: &str = r#"
(import "lithify" "rom_len" (func $rom_len (result i64)))
(import "wasi_snapshot_preview1" "fd_write"
  (func $fd_write (param i32 i32 i32 i32) (result i32)))
(import "lithify" "rom_read" (func $rom_read (param i32 i64 i32)))
(import "lithify" "boot_len" (func $boot_len (param i32) (result i64)))
(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
(import "lithify" "boot_read" (func $boot_read (param i32 i32 i64 i32)))
(import "lithify" "boot_log" (func $boot_log (param i32 i32)))
(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
(memory (export "memory") 2)
(data (i32.const 1024) "booting\nready\n")
"#;

/// Boots: notes the guest's memory size and the lengths of kernel and rootfs.
pub(crate) const BOOT: &str = r#"
  (call $boot_log (i32.const 1024) (i32.const 14))
  (call $boot_read (i32.const 2) (i32.const 65536) (i64.const 0) (i32.const 8))
  (i64.store (i32.const 65544) (call $boot_len (i32.const 0)))
  (i64.store (i32.const 65552) (call $rom_len))
  (call $rom_read (i32.const 65560) (i64.const 0) (i32.const 4))
  (drop (memory.grow (i32.const 1)))
  (i32.store8 (i32.const 131072) (i32.const 33))
  (global.set $state (i32.const 42))"#;

/// Runs: prints what the boot noted and the end of the rootfs, exits with the frozen state.
/// The call of `$exit` goes through the table.
pub(crate) const RUN: &str = r#"
  (call $rom_read (i32.const 65564) (i64.const 6) (i32.const 18))
  (i32.store (i32.const 0) (i32.const 65536))
  (i32.store (i32.const 4) (i32.wrap_i64 (i64.add (i64.const 22) (call $rom_len))))
  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
  (call_indirect (param i32) (global.get $state) (i32.const 1))"#;

pub(crate) fn emulator(boot: &str, run: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {IMPORTS}
          (global $state (mut i32) (i32.const 0))
          (table 2 funcref)
          (elem (i32.const 0) $nothing $exit)
          (func $nothing)
          (func (export "_initialize"))
          (func (export "wizer-initialize") {boot})
          (func (export "_start") {run}))"#
    );
    wat::parse_str(text).expect("the test's module is valid")
}

pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) engine: Engine,
    pub(crate) cache: CompiledCache,
    pub(crate) log: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = CompiledCache::at(folder.path().join("cache")).unwrap();
        Self { folder, engine: Engine::new().unwrap(), cache, log: Arc::default() }
    }

    pub(crate) fn freeze(&self, emulator: Vec<u8>) -> Result<Frozen, FreezeError> {
        let mut rootfs: File = tempfile::tempfile().unwrap();
        rootfs.write_all(ROOTFS).unwrap();
        rootfs.rewind().unwrap();
        let machine = Machine {
            emulator,
            kernel: b"kernel".to_vec(),
            initramfs: b"initramfs".to_vec(),
            config: BootConfig {
                prepared: None,
                memory_bytes: MEMORY_BYTES,
                epoch_seconds: 1_700_000_000,
                entropy_seed: [3; 32],
                kernel_args: Vec::new(),
                process: ImageProcess::default(),
                warm: None,
            },
            rootfs,
            awaited_line: None,
            translate: None,
        };
        let log = Arc::clone(&self.log);
        freeze(&self.engine, &self.cache, machine, move |line| {
            log.lock().unwrap().push(String::from_utf8_lossy(line).into_owned());
        })
    }
}

pub(crate) fn sections() -> Sections {
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
    Sections {
        manifest: Manifest {
            format: Manifest::FORMAT,
            tool: "lithify 0.0.0".into(),
            architecture: "riscv64".into(),
            memory_bytes: MEMORY_BYTES,
            kernel: digest("1"),
            initramfs: digest("2"),
            emulator: digest("3"),
            rootfs: digest("4"),
            running: false,
            translation: None,
            machine: None,
        },
        image_config: br#"{"os":"linux"}"#.to_vec(),
    }
}
