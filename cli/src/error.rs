//! What the user reads when something fails, and the exit code that goes with it.

use crate::exit::Exit;
use lithify_runner::RunnerError;
use std::fmt;

/// One message for the user.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) exit: Exit,
    message: String,
}

impl CliError {
    /// Lithify failed.
    pub(crate) fn own(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Own, message: message.to_string() }
    }

    /// A build failed.
    pub(crate) fn build(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Build, message: message.to_string() }
    }

    /// The command line asks for something impossible.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }

    /// The user stopped a build.
    pub(crate) fn canceled() -> Self {
        Self { exit: Exit::Canceled, message: "the build was canceled".to_owned() }
    }

    /// The user stopped a transfer.
    pub(crate) fn interrupted() -> Self {
        Self { exit: Exit::Canceled, message: "canceled".to_owned() }
    }

    /// Whether it was the user's wish.
    pub(crate) fn is_interruption(&self) -> bool {
        self.exit == Exit::Canceled
    }

    /// The message alone.
    pub(crate) fn text(&self) -> &str {
        &self.message
    }

    /// The same message about something.
    pub(crate) fn about(self, what: impl fmt::Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// The same message as the end of a build.
    pub(crate) fn of_build(self) -> Self {
        Self { exit: Exit::Build, ..self }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "error: {}", self.message.trim_end())
    }
}

impl From<RunnerError> for CliError {
    fn from(error: RunnerError) -> Self {
        Self::own(error)
    }
}
