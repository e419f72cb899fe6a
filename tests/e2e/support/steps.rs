//! What `--progress plain` says of a build's steps.

use super::Outcome;
use std::collections::BTreeMap;

/// The steps of one build by their numbers.
#[derive(Debug)]
pub(crate) struct Steps(BTreeMap<u32, Step>);

#[derive(Debug, Default)]
struct Step {
    name: String,
    output: String,
    cached: bool,
}

impl Steps {
    /// Reads `#N NAME`, `#N SECONDS OUTPUT` and `#N CACHED`.
    pub(crate) fn of(outcome: &Outcome) -> Self {
        let mut steps = BTreeMap::<u32, Step>::new();
        for line in outcome.stderr_text().lines() {
            let Some((number, text)) = numbered(line) else { continue };
            let step = steps.entry(number).or_default();
            match text.split_once(' ') {
                _ if step.name.is_empty() => text.clone_into(&mut step.name),
                Some((seconds, output)) if seconds.parse::<f64>().is_ok() => {
                    step.output.push_str(output);
                    step.output.push('\n');
                }
                _ => step.cached |= text == "CACHED",
            }
        }
        Self(steps)
    }

    /// Whether the step whose instruction starts so was taken from the cache.
    pub(crate) fn is_cached(&self, instruction: &str) -> bool {
        self.step(instruction).cached
    }

    /// What the step whose instruction starts so wrote.
    pub(crate) fn output(&self, instruction: &str) -> &str {
        &self.step(instruction).output
    }

    /// The names of all that was not cached and is more than a setting.
    pub(crate) fn executed(&self) -> Vec<&str> {
        const WORK: [&str; 5] = ["RUN ", "COPY ", "ADD ", "root file system", "boot and freeze"];
        let work = |step: &&Step| WORK.iter().any(|work| instruction(step).starts_with(work));
        self.0.values().filter(|step| !step.cached).filter(work).map(instruction).collect()
    }

    fn step(&self, start: &str) -> &Step {
        let found = self.0.values().find(|step| instruction(step).starts_with(start));
        found.unwrap_or_else(|| panic!("no step `{start}` in {self:#?}"))
    }
}

fn numbered(line: &str) -> Option<(u32, &str)> {
    let (number, text) = line.strip_prefix('#')?.split_once(' ')?;
    Some((number.parse().ok()?, text))
}

/// The name without its `[STAGE N/M] `.
fn instruction(step: &Step) -> &str {
    step.name.split_once("] ").map_or(step.name.as_str(), |(_, instruction)| instruction)
}
