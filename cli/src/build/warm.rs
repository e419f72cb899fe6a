//! Artifacts whose program runs already.

use crate::args::duration;
use crate::error::CliError;
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
    /// Ask the program for this path by HTTP before the machine freezes, so that what a first answer
    /// takes is done; only with --warm port:NUMBER
    #[arg(long, value_name = "PATH", requires = "warm", value_parser = visit)]
    warm_get: Vec<String>,
}

/// What can be the target of a request: it must not end its line.
fn visit(path: &str) -> Result<String, String> {
    match path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(path.into()),
        false => Err(format!("expected a path as in a URL, found `{path}`")),
    }
}

impl WarmOptions {
    /// What the machine is told.
    pub(crate) fn of_boot(&self) -> Option<Warm> {
        let timeout_ns = u64::try_from(self.warm_timeout.as_nanos()).unwrap_or(u64::MAX);
        let visits: Vec<_> = self.warm_get.iter().map(|path| path.clone().into_bytes()).collect();
        self.warm.as_ref().map(|point| Warm { readiness: point.inside(), timeout_ns, visits })
    }

    /// Refuses visits of a program whose port is not known.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        let has_port = self.warm.as_ref().is_some_and(|point| point.port().is_some());
        match self.warm_get.first() {
            Some(path) if !has_port => Err(CliError::usage(format!(
                "--warm-get {path}: the program's port is not known without --warm port:NUMBER"
            ))),
            _ => Ok(()),
        }
    }

    /// What is looked for in the output.
    pub(crate) fn awaited_line(&self) -> Option<LineTest> {
        let pattern = self.warm.as_ref()?.line()?;
        Some(LineTest::new(move |line| pattern.is_match(line)))
    }

    /// The part that decides the artifact's bytes: one that does not get ready is none.
    pub(crate) fn key(&self) -> Option<String> {
        let point = self.warm.as_ref()?;
        Some(format!("{} {point}", self.warm_get.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_are_of_paths() {
        for path in ["/", "/a?b=c%20d"] {
            assert_eq!(visit(path).as_deref(), Ok(path));
        }
        for path in ["", "index.html", "/a b", "/a\r\nX: y"] {
            assert!(visit(path).unwrap_err().contains("expected a path"), "{path}");
        }
    }
}
