//! Bare-metal riscv64 programs for the tests: assembling them, and running them in our machine.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use lithify_machine::host::{BootFile, Console, Entropy, Input, KernelLog, NoDisk};
use lithify_machine::{Hosts, MIN_MEMORY, Machine, Setup, Status};

pub(crate) const COMPILER: &str = "riscv64-linux-gnu-gcc";
pub(crate) const OBJCOPY: &str = "riscv64-linux-gnu-objcopy";

/// Slices our machine gets for one program, far more than it needs.
const MAX_SLICES: usize = 100_000;

/// Whether all `tools` are installed; prints which is missing.
pub(crate) fn are_there(tools: &[&str]) -> bool {
    tools.iter().all(|tool| {
        let there = Command::new(tool).arg("--version").output().is_ok();
        if !there {
            println!("skipped: {tool} is not installed");
        }
        there
    })
}

/// Where the running test binary may put files.
pub(crate) fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"));
    std::fs::create_dir_all(&folder).expect("create the test's folder");
    folder
}

/// Assembles and links the `.text` of `source`, a file in `tests`, for address `base`. `name`
/// keeps concurrent tests apart.
pub(crate) fn assemble(source: &str, base: u64, name: &str, flags: &[&str]) -> Vec<u8> {
    let (object, binary) = (folder().join(format!("{name}.elf")), folder().join(name));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(source);
    succeed(
        Command::new(COMPILER)
            .args(["-nostdlib", "-static", "-march=rv64gc"])
            .arg(format!("-Wl,-Ttext={base:#x}"))
            .args(flags)
            .arg(source)
            .arg("-o")
            .arg(&object),
    );
    succeed(Command::new(OBJCOPY).args(["-O", "binary", "-j", ".text"]).arg(&object).arg(&binary));
    std::fs::read(&binary).expect("read the program")
}

fn succeed(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Runs a kernel `Image`: how it ended, and what it printed.
pub(crate) fn run_machine(image: Vec<u8>) -> (Option<Status>, Vec<u8>) {
    let log = Rc::new(RefCell::new(Vec::new()));
    let mut machine = Machine::new(Setup {
        memory_bytes: MIN_MEMORY,
        epoch_ns: 0,
        kernel: &mut File(image),
        initramfs: &mut File(Vec::new()),
        kernel_args: "",
        rng_seed: &[],
        ports: &[],
        hosts: Hosts {
            console: Box::new(Absent),
            entropy: Box::new(Absent),
            disk: Box::new(NoDisk),
            kernel_log: Box::new(Log(Rc::clone(&log))),
            link: None,
        },
    })
    .expect("the image fits");
    let status = (0..MAX_SLICES).find_map(|_| match machine.run_slice() {
        Status::Running => None,
        Status::Idle { wake_ns: Some(ns) } => {
            machine.skip_idle(ns);
            None
        }
        status => Some(status),
    });
    drop(machine);
    (status, log.take())
}

struct File(Vec<u8>);

impl BootFile for File {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) {
        into.copy_from_slice(&self.0[offset as usize..][..into.len()]);
    }
}

/// Host ends of devices that no program touches.
struct Absent;

impl Console for Absent {
    fn write(&mut self, _port: u32, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn read(&mut self, _port: u32, _into: &mut [u8]) -> Input {
        Input::Closed
    }
}

impl Entropy for Absent {
    fn fill(&mut self, into: &mut [u8]) {
        into.fill(0);
    }
}

struct Log(Rc<RefCell<Vec<u8>>>);

impl KernelLog for Log {
    fn write(&mut self, bytes: &[u8]) {
        self.0.borrow_mut().extend(bytes);
    }
}
