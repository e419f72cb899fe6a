//! What `--stats` says of a run.

use crate::support::{Artifact, Image, Lab, run};
use std::process::Command;

/// The moments that a run of `words` tells, in their order.
fn moments(command: &mut Command) -> Vec<(String, f64)> {
    let text = run(command).expect_code(0).stderr_text();
    let json: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let names = ["mapped", "instantiated", "thawed", "executed", "first_byte", "ended"];
    let moment = |name: &&str| Some(((*name).to_owned(), json[format!("{name}_ms")].as_f64()?));
    names.iter().filter_map(moment).collect()
}

#[test]
fn phases_of_a_start_follow_each_other() {
    let Some(lab) = Lab::get() else { return };
    let artifact = Artifact::of(lab, Image::Shell("shell"));
    let mut command = lab.lithify();
    command.args(["run", "--stats=json"]).arg(artifact.ours()).args(["sh", "-c", "echo $0"]);
    let moments = moments(&mut command);
    assert_eq!(moments.len(), 6, "{moments:?}");
    assert!(moments.is_sorted_by(|(_, earlier), (_, later)| earlier <= later), "{moments:?}");
}

#[test]
fn a_program_that_runs_already_is_not_executed() {
    let Some(lab) = Lab::get() else { return };
    let (wasm, outcome) = crate::warm::build(lab, "exec", &["--warm", "exec"]);
    outcome.expect_code(0);
    let artifact = Artifact::at(lab, wasm);
    let mut command = lab.lithify();
    let moments = moments(command.args(["run", "--stats=json"]).arg(artifact.ours()));
    let names: Vec<_> = moments.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["mapped", "instantiated", "thawed", "first_byte", "ended"]);
}

#[test]
fn the_bytes_of_a_frozen_machine_are_told_apart() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let mut command = lab.lithify();
    let json = run(command.args(["inspect", "--json"]).arg(shell.wasm())).expect_code(0);
    let report: serde_json::Value = serde_json::from_str(&json.stdout_text()).expect("JSON");
    let parts = report["manifest"]["machine"].as_object().expect("parts");
    let all: u64 = parts.values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(Some(all), report["sizes"]["image"].as_u64());
    const MIB: u64 = 1 << 20;
    for (part, range) in [
        ("kernel_code", MIB..4 * MIB),
        ("kernel_constants", MIB / 8..MIB),
        ("kernel_variables", MIB / 32..MIB),
        ("page_tables", 1..MIB / 8),
        ("slab", MIB / 8..2 * MIB),
        // The programs of init and of the image.
        ("page_cache", MIB / 2..4 * MIB),
        ("programs", 4096..MIB / 2),
        ("kernel_other", 1..MIB),
        ("emulator", MIB / 2..4 * MIB),
    ] {
        let bytes = parts[part].as_u64().expect("bytes");
        assert!(range.contains(&bytes), "{part}: {bytes} of {parts:?}");
    }
}
