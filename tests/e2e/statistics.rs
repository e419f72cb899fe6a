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
