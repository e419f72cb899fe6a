//! How much memory a guest can have, and what is said of one that wants more than it has, or whose
//! kernel panics.

use crate::support::{Artifact, Image, Lab, Runtime, run, run_within};
use std::time::Duration;

/// Takes memory piece by piece, for a request of more than there is would be refused at once.
const GREEDY: &str = "pieces = []\nwhile True: pieces.append(b'x' * (16 << 20))";

/// Uses 2600 MiB: writes to each page and reads back.
const LARGE: &str = "\
block = bytearray(2600 << 20)
pages = len(block) // 4096
block[::4096] = bytes(number % 251 for number in range(pages))
print(all(block[number * 4096] == number % 251 for number in range(pages)))
";

/// Each page is touched for the first time, by an emulated processor.
const PATIENCE: Duration = Duration::from_secs(900);

/// Debian in a machine with this much memory.
fn with_memory(lab: &'static Lab, size: &str, options: &[&str]) -> Artifact {
    let wasm = lab.folder().join(format!("memory-{size}{}.wasm", options.len()));
    let mut command = lab.build(&Image::Debian.context(), &wasm);
    run(command.args(["--memory", size]).args(options)).expect_code(0);
    Artifact::at(lab, wasm)
}

#[test]
fn a_program_killed_for_its_memory_is_named() {
    let Some(lab) = Lab::get() else { return };
    let debian = Artifact::of(lab, Image::Debian);
    let killed = Runtime::Ours.run(&debian, &["python3", "-c", GREEDY]).expect_code(137);
    assert_eq!(
        killed.stderr_text(),
        "lithify: the guest ran out of memory and killed `python3`; it has 256 MiB, build with a larger --memory\n",
    );
    // Also where it was not the container's first process.
    let script = format!("python3 -c \"{GREEDY}\"; echo code $?; exit 3");
    let survived = Runtime::Ours.run(&debian, &["sh", "-c", &script]).expect_code(3);
    assert_eq!(survived.stdout_text(), "code 137\n");
    assert!(survived.stderr_text().contains("killed `python3`"), "{}", survived.stderr_text());
}

#[test]
fn a_kernel_that_panics_is_quoted_and_the_code_is_lithify_s() {
    let Some(lab) = Lab::get() else { return };
    let debian = with_memory(lab, "128m", &["--kernel-arg", "sysctl.vm.panic_on_oom=1"]);
    for runtime in Runtime::BOTH {
        let panicked = runtime.run(&debian, &["python3", "-c", GREEDY]).expect_code(125);
        let message = panicked.stderr_text();
        let (log, last) = message.trim_end().rsplit_once('\n').expect("lines of the kernel's");
        assert_eq!(
            last,
            "lithify: the guest's kernel panicked: Out of memory: system-wide panic_on_oom is enabled; \
             it has 128 MiB, build with a larger --memory",
        );
        assert!(log.contains("Kernel panic - not syncing: Out of memory"), "{log}");
        assert!(log.lines().count() <= 20, "{log}");
    }
}

#[test]
fn sizes_beyond_the_maximum_are_refused() {
    let Some(lab) = Lab::get() else { return };
    let mut command = lab.build(&Image::Debian.context(), &lab.folder().join("none.wasm"));
    run(command.args(["--memory", "3073m"]))
        .expect_error(2, &["3073m", "at most 3g", "32-bit WebAssembly"]);
}

#[test]
#[ignore = "slow: uses gigabytes of memory"]
fn a_guest_can_use_almost_all_that_wasm_addresses() {
    let Some(lab) = Lab::get() else { return };
    let debian = with_memory(lab, "3g", &[]);
    for runtime in Runtime::BOTH {
        let mut command = runtime.command(&debian, &[], &["python3", "-c", LARGE]);
        let used = run_within(PATIENCE, &mut command).expect_code(0);
        assert_eq!(used.stdout_text(), "True\n", "{runtime:?}");
    }
}
