//! Those that run the sequences: QEMU's user mode, and our machine without paging.

use std::path::{Path, PathBuf};
use std::process::Command;

use lithify_machine::{Halt, Status};

use crate::generate::Sequence;
use crate::layout::{BASE, State, elf, image};
use crate::rv64_support::{COMPILER, OBJCOPY, are_there, assemble, folder, run_machine};

const HARNESS: &str = "rv64_differential/harness.S";
const EMULATOR: &str = "qemu-riscv64";
const CPU: &str = "rv64,zba=true,zbb=true,zbs=true";

/// The states that sequences left behind, or why there are none.
pub(crate) type Outcome = Result<Vec<State>, String>;

/// Runs sequences.
pub(crate) trait Subject {
    fn run(&self, sequences: &[Sequence]) -> Outcome;
}

/// Whether our machine's harness can be built.
pub(crate) fn assembler_is_there() -> bool {
    are_there(&[COMPILER, OBJCOPY])
}

/// Whether both subjects can be built and run.
pub(crate) fn tools_are_there() -> bool {
    are_there(&[COMPILER, OBJCOPY, EMULATOR])
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
        let harness = assemble(HARNESS, BASE, &format!("{name}-user"), &[]);
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
        let name = format!("{name}-supervisor");
        Self { harness: assemble(HARNESS, BASE, &name, &["-DSUPERVISOR"]) }
    }
}

impl Subject for Ours {
    fn run(&self, sequences: &[Sequence]) -> Outcome {
        match run_machine(image(&self.harness, sequences)) {
            (Some(Status::Halted(Halt::Shutdown)), log) => {
                states(&log, sequences).map_err(|error| format!("machine: {error}"))
            }
            (status, log) => {
                Err(format!("machine: {status:?} with scause, sepc, stval {log:02x?}"))
            }
        }
    }
}
