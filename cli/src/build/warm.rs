//! Artifacts whose program runs already.

use crate::args::duration;
use crate::freeze_point::FreezePoint;
use clap::Args;
use lithify_control::Warm;
use lithify_snapshot::LineTest;
use std::time::Duration;

/// Options that say when the machine freezes.
#[derive(Debug, Args)]
pub(crate) struct WarmOptions {
    /// Run the image's program until it is ready, and freeze it with the machine: it listens at
    /// port:NUMBER, prints line:REGEX, makes file:PATH, is executed (exec), or says so (notify)
    #[arg(long, value_name = "port:NUMBER|line:REGEX|file:PATH|exec|notify")]
    warm: Option<FreezePoint>,
    /// How long the program may take, in its own time
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    warm_timeout: Duration,
}

impl WarmOptions {
    /// What the machine is told.
    pub(crate) fn of_boot(&self) -> Option<Warm> {
        let timeout_ns = u64::try_from(self.warm_timeout.as_nanos()).unwrap_or(u64::MAX);
        self.warm.as_ref().map(|point| Warm { readiness: point.inside(), timeout_ns })
    }

    /// What is looked for in the output.
    pub(crate) fn awaited_line(&self) -> Option<LineTest> {
        let pattern = self.warm.as_ref()?.line()?;
        Some(LineTest::new(move |line| pattern.is_match(line)))
    }

    /// The part that decides the artifact's bytes: one that does not get ready is none.
    pub(crate) fn key(&self) -> Option<String> {
        self.warm.as_ref().map(ToString::to_string)
    }
}
