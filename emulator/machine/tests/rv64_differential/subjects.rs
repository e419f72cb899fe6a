//! Those that run the sequences: QEMU's user mode, and our machine without paging.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use lithify_machine::host::{BootFile, Console, Entropy, Input, KernelLog};
use lithify_machine::{Halt, MIN_MEMORY, Machine, Setup, Status};

use crate::generate::Sequence;
use crate::layout::{State, elf, image};

const COMPILER: &str = "riscv64-linux-gnu-gcc";
const OBJCOPY: &str = "riscv64-linux-gnu-objcopy";
const EMULATOR: &str = "qemu-riscv64";
const CPU: &str = "rv64,zba=true,zbb=true,zbs=true";

/// Slices our machine gets for one batch, far more than it needs.
const MAX_SLICES: usize = 100_000;

/// The states that sequences left behind, or why there are none.
pub(crate) type Outcome = Result<Vec<State>, String>;

/// Runs sequences.
pub(crate) trait Subject {
    fn run(&self, sequences: &[Sequence]) -> Outcome;
}

/// Prints which tool is missing, if one is.
fn are_there(tools: &[&str]) -> bool {
    tools.iter().all(|tool| {
        let there = Command::new(tool).arg("--version").output().is_ok();
        if !there {
            println!("skipped: {tool} is not installed");
        }
        there
    })
}

/// Whether our machine's harness can be built.
pub(crate) fn assembler_is_there() -> bool {
    are_there(&[COMPILER, OBJCOPY])
}

/// Whether both subjects can be built and run.
pub(crate) fn tools_are_there() -> bool {
    are_there(&[COMPILER, OBJCOPY, EMULATOR])
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rv64_differential");
    std::fs::create_dir_all(&folder).expect("create the test's folder");
    folder
}

/// Assembles the harness; `name` keeps concurrent tests apart.
fn assemble(name: &str, flags: &[&str]) -> Vec<u8> {
    let (object, binary) = (folder().join(format!("{name}.elf")), folder().join(name));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rv64_differential/harness.S");
    succeed(
        Command::new(COMPILER)
            .args(["-nostdlib", "-static", "-march=rv64gc", "-Wl,-Ttext=0x80200000"])
            .args(flags)
            .args([source, "-o"])
            .arg(&object),
    );
    succeed(Command::new(OBJCOPY).args(["-O", "binary", "-j", ".text"]).arg(&object).arg(&binary));
    std::fs::read(&binary).expect("read the harness")
}

fn succeed(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn states(output: &[u8], sequences: &[Sequence]) -> Result<Vec<State>, String> {
    let states: Vec<State> = output.chunks_exact(State::BYTES).map(State::from_bytes).collect();
    if states.len() == sequences.len() {
        Ok(states)
    } else {
        Err(format!("{} bytes of output for {} sequences", output.len(), sequences.len()))
    }
}

pub(crate) struct Qemu {
    harness: Vec<u8>,
    program: PathBuf,
}

impl Qemu {
    pub(crate) fn new(name: &str) -> Self {
        let harness = assemble(&format!("{name}-user"), &[]);
        Self { harness, program: folder().join(format!("{name}-batch")) }
    }
}

impl Subject for Qemu {
    fn run(&self, sequences: &[Sequence]) -> Outcome {
        std::fs::write(&self.program, elf(&image(&self.harness, sequences))).expect("write");
        let output = Command::new(EMULATOR)
            .args(["-cpu", CPU])
            .arg(executable(&self.program))
            .output()
            .expect("start the emulator");
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("QEMU: {}: {message}", output.status));
        }
        states(&output.stdout, sequences).map_err(|error| format!("QEMU: {error}"))
    }
}

/// QEMU's user mode insists on the permission.
fn executable(program: &Path) -> &Path {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(program, permissions).expect("make the program executable");
    program
}

pub(crate) struct Ours {
    harness: Vec<u8>,
}

impl Ours {
    pub(crate) fn new(name: &str) -> Self {
        Self { harness: assemble(&format!("{name}-supervisor"), &["-DSUPERVISOR"]) }
    }
}

impl Subject for Ours {
    fn run(&self, sequences: &[Sequence]) -> Outcome {
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut machine = Machine::new(Setup {
            memory_bytes: MIN_MEMORY,
            epoch_ns: 0,
            kernel: &mut File(image(&self.harness, sequences)),
            initramfs: &mut File(Vec::new()),
            kernel_args: "",
            rng_seed: &[],
            ports: &[],
            console: Box::new(Absent),
            entropy: Box::new(Absent),
            disks: Vec::new(),
            kernel_log: Box::new(Log(Rc::clone(&log))),
        })
        .expect("the image fits");
        let status =
            (0..MAX_SLICES).map(|_| machine.run_slice()).find(|status| *status != Status::Running);
        let log = log.borrow();
        match status {
            Some(Status::Halted(Halt::Shutdown)) => {
                states(&log, sequences).map_err(|error| format!("machine: {error}"))
            }
            status => Err(format!("machine: {status:?} with scause, sepc, stval {log:02x?}")),
        }
    }
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

/// Host ends of devices that no sequence touches.
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
