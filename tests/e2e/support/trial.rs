//! Runs in virtual time, to be compared with each other.

use super::{Artifact, run};

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) stdout: String,
    /// Instructions and the machine's state.
    pub(crate) trial: String,
}

/// Runs `words` in a trial with these options; also says how many of a thousand instructions were executed
/// translated.
pub(crate) fn trial(artifact: &Artifact, options: &str, words: &[&str]) -> (End, u64) {
    let mut command = artifact.lab().lithify();
    command.args(["run", "--stats=json", &format!("--trial={options}")]).arg(artifact.ours());
    let outcome = run(command.args(words)).expect_code(0);
    let stderr = outcome.stderr_text();
    let line = |start: &str| {
        let line = stderr.lines().find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("no `{start}` in {stderr}")).to_owned()
    };
    let counts: serde_json::Value = serde_json::from_str(&line("{")).expect("JSON");
    let count = |name: &str| counts[name].as_u64().expect("a number");
    let translated = count("translated") * 1000 / count("instructions");
    (End { stdout: outcome.stdout_text(), trial: line("lithify: trial: ") }, translated)
}
