//! Translated code does what interpreted code does, also where code changes, stacks are left and
//! pages come and go.

use crate::support::{Artifact, Image, Lab, Runtime, run, trial};
use lithify_control::Profile;
use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

const COMPILER: &str = "riscv64-linux-gnu-gcc";

/// `torture`'s cases.
const CASES: [&str; 9] =
    ["selfmod", "alias", "protect", "jit", "spawn", "recursion", "jump", "signals", "evict"];

/// An image with the program, which is cross-compiled; none without the compiler.
fn context(lab: &Lab) -> Option<TempDir> {
    let folder = lab.temporary();
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/images/translation");
    let program = folder.path().join("torture");
    let mut compiler = Command::new(COMPILER);
    compiler.args(["-O2", "-static", "-s", "-o"]).arg(&program).arg(images.join("torture.c"));
    match compiler.output() {
        Err(error) => {
            println!("skipped: {COMPILER}: {error}");
            return None;
        }
        Ok(output) => {
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{COMPILER}: {message}");
        }
    }
    std::fs::copy(images.join("Dockerfile"), folder.path().join("Dockerfile")).expect("a copy");
    Some(folder)
}

/// The artifact without translation, and the one that was trained on every case.
fn artifacts() -> Option<&'static [Artifact; 2]> {
    static ARTIFACTS: OnceLock<Option<[Artifact; 2]>> = OnceLock::new();
    let build = || {
        let lab = Lab::get()?;
        let context = context(lab)?;
        let artifact = |name: &str, options: &[String]| {
            let wasm = lab.folder().join(name);
            run(lab.build(context.path(), &wasm).args(options)).expect_code(0);
            Artifact::at(lab, wasm)
        };
        let train = CASES.map(|case| format!("--train=[\"/torture\", \"{case}\"]"));
        Some([
            artifact("interpreted.wasm", &["--translate=off".into()]),
            artifact("translated.wasm", &train),
        ])
    };
    ARTIFACTS.get_or_init(build).as_ref()
}

#[test]
fn changing_code_and_stacks_left_behind_are_the_same_translated() {
    let Some([interpreted, translated]) = artifacts() else { return };
    let expected = Runtime::Stock.run(interpreted, &["/torture"]).expect_code(0);
    assert_eq!(expected.stdout_text().lines().count(), CASES.len(), "{}", expected.stdout_text());
    for runtime in Runtime::BOTH {
        let found = runtime.run(translated, &["/torture"]).expect_code(0);
        assert_eq!(found.stdout_text(), expected.stdout_text());
    }
}

/// Percent of the instructions of a case that are executed translated.
fn translated_percent(artifact: &Artifact, case: &str) -> f64 {
    let mut command = artifact.lab().lithify();
    command.args(["run", "--stats=json"]).arg(artifact.ours()).args(["/torture", case]);
    let stderr = run(&mut command).expect_code(0).stderr_text();
    let line = stderr.lines().find(|line| line.starts_with('{')).expect("statistics");
    let counts: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let count = |name: &str| counts[name].as_f64().expect("a number");
    100.0 * count("translated") / count("instructions")
}

/// At least so many of a thousand instructions of each case are executed translated, by kernel and program.
const TRANSLATED: [u64; CASES.len()] = [600, 600, 700, 700, 700, 900, 900, 900, 700];

#[test]
fn each_case_runs_translated_and_ends_as_when_it_is_interpreted() {
    let Some([interpreted, translated]) = artifacts() else { return };
    for (case, least) in CASES.into_iter().zip(TRANSLATED) {
        let words = ["/torture", case];
        let (expected, _) = trial(interpreted, "", &words);
        let restricted = ["tlb=4", "slice=50", "slice=1000,tlb=4"].map(|options| (options, 100));
        for (options, least) in [("", least)].into_iter().chain(restricted) {
            let (found, permille) = trial(translated, options, &words);
            assert_eq!(found, expected, "{case}, `{options}`");
            assert!(permille >= least, "{case}, `{options}`: {permille} of 1000 translated");
        }
    }
}

#[test]
fn trained_code_is_executed_translated_and_generated_code_is_not() {
    let Some([interpreted, translated]) = artifacts() else { return };
    assert_eq!(translated_percent(interpreted, "signals"), 0.0);
    let trained = translated_percent(translated, "signals");
    assert!(trained > 80.0, "{trained} %");
    let generated = translated_percent(translated, "selfmod");
    assert!(generated < trained, "{generated} %, {trained} %");
}

#[test]
fn profiles_are_kept_and_give_the_same_artifact_and_damaged_ones_are_refused() {
    let Some(lab) = Lab::get() else { return };
    let Some(context) = context(lab) else { return };
    let path = |name: &str| context.path().join(name);
    let build = |output: &str, option: &str, profile: &str| {
        let mut command = lab.build(context.path(), &path(output));
        command.arg(format!("--profile-{option}")).arg(path(profile));
        run(&mut command)
    };
    build("trained.wasm", "out", "counts").expect_code(0);
    build("given.wasm", "in", "counts").expect_code(0);
    let [trained, given] = ["trained.wasm", "given.wasm"].map(|name| std::fs::read(path(name)));
    assert!(trained.expect("an artifact") == given.expect("an artifact"), "the artifacts differ");
    let mut counts = std::fs::read(path("counts")).expect("a profile");
    counts.truncate(counts.len() / 2);
    std::fs::write(path("half"), counts).expect("half a profile");
    build("half.wasm", "in", "half").expect_error(1, &["half", "damaged profile"]);
    std::fs::write(path("none"), "nothing").expect("a file");
    build("none.wasm", "in", "none").expect_error(1, &["none", "not a profile"]);
}

/// What was counted of the kernel and init when the boot files were made.
fn system_profile(lab: &Lab) -> Option<Profile> {
    let Ok(bytes) = std::fs::read(lab.boot_files().join("profile-riscv64")) else {
        println!("skipped: the boot files have no profile (see Makefile)");
        return None;
    };
    Some(Profile::decode(&bytes).expect("a profile"))
}

#[test]
fn the_profile_of_the_boot_files_is_of_their_kernel_and_their_init() {
    let Some(lab) = Lab::get() else { return };
    let Some(profile) = system_profile(lab) else { return };
    let file = |name: &str| std::fs::read(lab.boot_files().join(name)).expect("a boot file");
    let kernel = file("kernel-riscv64");
    let kernel: HashSet<_> = kernel.as_chunks::<4096>().0.iter().collect();
    let (of_kernel, others): (Vec<_>, Vec<_>) =
        profile.pages.iter().partition(|page| page.places.iter().any(|place| *place >= 1 << 63));
    // The kernel patches itself while it boots.
    let found = of_kernel.iter().filter(|page| kernel.contains(&*page.bytes)).count();
    assert!(found > 200 && found * 10 > of_kernel.len() * 9, "{found} of {}", of_kernel.len());
    let initramfs = file("initramfs-riscv64.cpio");
    let of_init = others.iter().filter(|page| {
        initramfs.windows(page.bytes.len()).any(|bytes| bytes == page.bytes.as_slice())
    });
    assert!(of_init.count() > 10);
}

#[test]
fn what_the_kernel_does_for_programs_is_translated_without_any_training() {
    let Some(lab) = Lab::get() else { return };
    if system_profile(lab).is_none() {
        return;
    }
    let folder = lab.temporary();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("nothing"), Profile::default().encode()).expect("a profile");
    let mut build = lab.build(&Image::Shell("shell").context(), &path("untrained.wasm"));
    build.args(["--target", "shell", "--profile-in"]).arg(path("nothing"));
    run(&mut build).expect_code(0);
    let artifact = Artifact::at(lab, path("untrained.wasm"));
    let script = "i=0; while [ $i -lt 200 ]; do (: >/dev/null); i=$((i+1)); done; echo $i";
    let (end, permille) = trial(&artifact, "", &["sh", "-c", script]);
    assert_eq!(end.stdout, "200\n");
    assert!(permille > 500, "{permille} of 1000 translated");
}
