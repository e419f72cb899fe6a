//! One run of an artifact on one of the two runtimes.

use super::{Artifact, Outcome, feed, run};
use std::process::Command;

/// Who runs the artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// Upstream wasmtime.
    Stock,
    /// `lithify run`.
    Ours,
}

/// wasmtime's command line refuses codes from here on ("outside of [0..126)") and exits with 1.
const STOCK_CODES: i32 = 126;

impl Runtime {
    pub(crate) const BOTH: [Self; 2] = [Self::Stock, Self::Ours];

    /// The command that runs `artifact` from its compiled form, with the guest's variables and
    /// arguments.
    pub(crate) fn command(self, artifact: &Artifact, env: &[&str], args: &[&str]) -> Command {
        let mut command = match self {
            Self::Stock => artifact.lab().wasmtime(),
            Self::Ours => artifact.lab().lithify(),
        };
        command.arg("run");
        for variable in env {
            command.args(["--env", variable]);
        }
        match self {
            Self::Stock => command.arg("--allow-precompiled").arg(artifact.stock()),
            Self::Ours => command.arg("--interactive").arg(artifact.ours()),
        };
        command.args(args);
        command
    }

    /// Runs `artifact` with an empty standard input.
    pub(crate) fn run(self, artifact: &Artifact, args: &[&str]) -> Outcome {
        run(&mut self.command(artifact, &[], args))
    }

    /// Runs `artifact` with `input`.
    pub(crate) fn feed(self, artifact: &Artifact, args: &[&str], input: Vec<u8>) -> Outcome {
        feed(&mut self.command(artifact, &[], args), input)
    }
}

impl Outcome {
    /// Fails unless the guest ended with `code`, as far as the runtime can tell.
    #[track_caller]
    pub(crate) fn expect_guest_code(self, runtime: Runtime, code: i32) -> Self {
        if runtime == Runtime::Ours || code < STOCK_CODES {
            return self.expect_code(code);
        }
        let outcome = self.expect_code(1);
        let message = outcome.stderr_text();
        assert!(message.contains("exit status outside of [0..126)"), "{message}");
        assert!(message.contains(&format!("lithify: exit code {code}")), "{message}");
        outcome
    }
}
