//! Those that run the cases: QEMU's `virt` board with a firmware of our own, and our machine.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lithify_machine::{Halt, Status};

use crate::case::{BASE, Case, Outcome, image};
use crate::rv64_support::{COMPILER, OBJCOPY, are_there, assemble, folder, run_machine};

const EMULATOR: &str = "qemu-system-riscv64";
/// What our machine has and no more, so that both know the same instructions.
const CPU: &str = "rv64,zba=true,zbb=true,zbs=true,zbc=false,h=false,sstc=true";
const FIRMWARE_BASE: u64 = 0x8000_0000;
const TIMEOUT: Duration = Duration::from_secs(60);

fn harness(name: &str) -> Vec<u8> {
    assemble("rv64_differential_privileged/harness.S", BASE, &format!("{name}-harness"), &[])
}

fn outcomes(bytes: &[u8], cases: &[Case]) -> Vec<Outcome> {
    let outcomes: Vec<_> = bytes.chunks_exact(Outcome::BYTES).map(Outcome::from_bytes).collect();
    assert_eq!(outcomes.len(), cases.len(), "one outcome per case");
    outcomes
}

/// `None`, and a message, without the assembler.
pub(crate) fn run_ours(name: &str, cases: &[Case]) -> Option<Vec<Outcome>> {
    if !are_there(&[COMPILER, OBJCOPY]) {
        return None;
    }
    let (status, log) = run_machine(image(&harness(name), cases));
    assert_eq!(status, Some(Status::Halted(Halt::Shutdown)));
    Some(outcomes(&log, cases))
}

/// `None`, and a message, without QEMU.
pub(crate) fn run_qemu(name: &str, cases: &[Case]) -> Option<Vec<Outcome>> {
    if !are_there(&[COMPILER, OBJCOPY, EMULATOR]) {
        return None;
    }
    let firmware = format!("{name}-firmware");
    assemble("rv64_differential_privileged/firmware.S", FIRMWARE_BASE, &firmware, &[]);
    let program = folder().join(format!("{name}-program"));
    std::fs::write(&program, image(&harness(name), cases)).expect("write the program");
    let output = folder().join(format!("{name}-output"));
    let mut child = Command::new(EMULATOR)
        .args(["-machine", "virt", "-m", "64M", "-cpu", CPU, "-display", "none"])
        .args(["-monitor", "none"])
        .arg("-bios")
        .arg(folder().join(firmware))
        .arg("-device")
        .arg(format!("loader,file={},addr={BASE:#x},force-raw=on", program.display()))
        .arg("-serial")
        .arg(format!("file:{}", output.display()))
        .stdin(Stdio::null())
        .spawn()
        .expect("start the emulator");
    let start = Instant::now();
    let status = loop {
        match child.try_wait().expect("wait for the emulator") {
            Some(status) => break status,
            None if start.elapsed() > TIMEOUT => {
                child.kill().expect("stop the emulator");
                child.wait().expect("wait for the emulator");
                panic!("QEMU did not finish the cases within {TIMEOUT:?}");
            }
            None => sleep(Duration::from_millis(10)),
        }
    };
    assert!(status.success(), "QEMU: {status}");
    Some(outcomes(&std::fs::read(&output).expect("read the output"), cases))
}
