//! How a guest program ends is how the runtime ends.

use crate::support::{Artifact, Image, Lab, Runtime, run};

#[test]
fn exit_codes_and_signals_reach_the_host() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    // The program itself is PID 1 of its namespace, where the kernel drops such signals.
    let killed = |signal| format!("sh -c 'kill -{signal} $$'; exit $?");
    for runtime in Runtime::BOTH {
        for (script, code) in [
            ("exit 0", 0),
            ("exit 7", 7),
            ("exit 125", 125),
            ("exit 255", 255),
            (&killed("KILL"), 137),
            (&killed("TERM"), 143),
        ] {
            runtime.run(&shell, &["sh", "-c", script]).expect_guest_code(runtime, code);
        }
    }
}

#[test]
fn crash_of_the_program_itself_is_its_signal() {
    let Some(lab) = Lab::get() else { return };
    let debian = Artifact::of(lab, Image::Debian);
    for runtime in Runtime::BOTH {
        let args = ["python3", "-c", "import ctypes; ctypes.string_at(0)"];
        runtime.run(&debian, &args).expect_guest_code(runtime, 139);
    }
}

#[test]
fn program_that_takes_all_memory_is_killed_and_the_rest_goes_on() {
    let Some(lab) = Lab::get() else { return };
    let debian = Artifact::of(lab, Image::Debian);
    let args = ["sh", "-c", "head -c -1G /dev/zero; echo $?"];
    let outcome = Runtime::Ours.run(&debian, &args).expect_guest_code(Runtime::Ours, 0);
    assert_eq!(outcome.stdout, b"137\n");
}

#[test]
fn program_that_cannot_start_is_told_apart() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    for runtime in Runtime::BOTH {
        for (program, code, message) in [
            ("nonsense", 127, "exec \"nonsense\": not found in any directory of PATH"),
            ("/bin/nonsense", 127, "exec \"/bin/nonsense\": "),
            ("/etc/passwd", 126, "exec \"/etc/passwd\": permission denied"),
            ("/etc", 126, "exec \"/etc\": permission denied"),
            ("/lib/riscv64-linux-gnu/libc.so.6", 0, ""),
        ] {
            let outcome = runtime.run(&shell, &[program]).expect_guest_code(runtime, code);
            let stderr = outcome.stderr_text();
            assert!(stderr.contains(message), "{stderr}");
        }
    }
}

#[test]
fn image_that_cannot_start_is_lithify_s_error() {
    let Some(lab) = Lab::get() else { return };
    for (target, message) in [
        ("unknown-user", "user \"ghost\" has no entry in the image's /etc/passwd"),
        ("nothing-to-run", "no command specified: the image has neither ENTRYPOINT nor CMD"),
    ] {
        let artifact = Artifact::of(lab, Image::Shell(target));
        for runtime in Runtime::BOTH {
            let outcome = runtime.run(&artifact, &[]).expect_code(125);
            assert_eq!(outcome.stderr_text(), format!("lithify: {message}\n"), "{runtime:?}");
        }
    }
}

#[test]
fn uncompiled_artifact_runs_the_same() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    for mut command in [lab.wasmtime(), lab.lithify()] {
        command.arg("run").arg(shell.wasm()).args(["sh", "-c", "echo out; echo err >&2; exit 7"]);
        let outcome = run(&mut command).expect_code(7);
        assert_eq!(
            (outcome.stdout_text(), outcome.stderr_text()),
            ("out\n".into(), "err\n".into())
        );
    }
}
