//! Malicious layers, archives, layouts and Dockerfiles: each is refused with a message that says
//! why, or does no harm; within a bound on memory, and none hangs.

use crate::support::{Lab, Outcome, run};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Address space of one build, in KiB: what it takes is a tenth of it.
const MEMORY: &str = "1500000";
const SECRET: &str = "top secret";

fn all_are_refused_or_harmless(group: &str) {
    let Some(lab) = Lab::get() else { return };
    let folder = lab.temporary();
    let (cases, victim) = (folder.path().join("cases"), folder.path().join("victim"));
    fs::create_dir(&victim).expect("a folder");
    fs::write(victim.join("secret"), SECRET).expect("a file");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/hostile/cases.py");
    let mut make = Command::new("python3");
    run(make.arg(script).arg(&cases).arg(&victim).arg(group)).expect_code(0);
    let names: BTreeSet<_> = fs::read_dir(&cases)
        .expect("the cases")
        .map(|case| case.expect("a case").file_name())
        .collect();
    assert!(names.len() >= 8, "{names:?}");
    let wrong: Vec<String> = names
        .iter()
        .filter_map(|name| {
            let problem = problem(lab, &cases.join(name), &victim)?;
            Some(format!("{}: {problem}", name.display()))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), names.len(), wrong.join("\n"));
}

/// What is wrong with how a case ends.
fn problem(lab: &Lab, case: &Path, victim: &Path) -> Option<String> {
    let output = case.join("output.tar");
    let outcome = run(&mut build(lab, case, &output));
    let expected = fs::read_to_string(case.join("expected")).expect("what is expected");
    let shown = format!("{}{}", outcome.stdout_text(), outcome.stderr_text());
    let written = fs::read(&output).unwrap_or_default();
    if shown.contains(SECRET) || written.windows(SECRET.len()).any(|part| part == SECRET.as_bytes())
    {
        return Some(format!("it shows a file of the host: {shown}"));
    }
    if fs::read_dir(victim).expect("the victim").count() != 1 {
        return Some("it changed a folder of the host".into());
    }
    let ended_well = match expected.split_once('\n') {
        None => outcome.code == 0,
        Some((_, parts)) => outcome.code == 1 && is_clear(&outcome, parts),
    };
    (!ended_well).then(|| format!("code {}, expected {expected:?}: {shown}", outcome.code))
}

fn is_clear(outcome: &Outcome, parts: &str) -> bool {
    let message = outcome.stderr_text();
    message.matches("error: ").count() == 1 && parts.lines().all(|part| message.contains(part))
}

fn build(lab: &Lab, case: &Path, output: &Path) -> Command {
    let lithify = lab.lithify();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v $0 && exec \"$@\"", MEMORY]).arg(lithify.get_program());
    for (name, value) in lithify.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let base = format!("base=oci-layout://{}", case.join("layout").display());
    let output = format!("type=tar,dest={}", output.display());
    command.args(["build", "--quiet", "--build-context", &base, "--output", &output]);
    command.arg(case.join("context"));
    command
}

#[test]
fn hostile_input_is_refused_or_harmless() {
    all_are_refused_or_harmless("quick");
}

#[test]
#[ignore = "slow: half a gigabyte of headers, decompression bombs"]
fn hostile_amounts_are_refused_or_harmless() {
    all_are_refused_or_harmless("slow");
}
