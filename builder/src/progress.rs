//! What a build tells while it runs. The library prints nothing.

use crate::source::Span;

/// Something that works but should not be written so, or that the user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The rule's name; BuildKit's where it has the same rule.
    pub rule: &'static str,
    /// The message.
    pub message: String,
    /// The lines it is about.
    pub span: Option<Span>,
}

impl Warning {
    pub(crate) fn new(rule: &'static str, message: impl Into<String>, span: Option<Span>) -> Self {
        Self { rule, message: message.into(), span }
    }
}

/// Identifies a step within one build; steps are numbered from 1 in the order they start.
pub type StepId = usize;

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An instruction starts.
    StepStarted {
        /// Its number.
        id: StepId,
        /// Name or number of its stage.
        stage: &'a str,
        /// Its place among the stage's steps, from 1.
        index: usize,
        /// How many steps the stage has.
        total: usize,
        /// The instruction as written, on one line.
        text: &'a str,
    },
    /// The command of a RUN step wrote a line.
    StepOutput {
        /// Its number.
        id: StepId,
        /// The line without its end. It can hold any characters, those that steer terminals too.
        line: &'a str,
    },
    /// The instruction is done.
    StepDone {
        /// Its number.
        id: StepId,
    },
    /// The instruction is done: what it makes was there.
    StepCached {
        /// Its number.
        id: StepId,
    },

    /// A warning; [`crate::Built`] holds them all again.
    Warning(&'a Warning),
}

/// Receives events.
pub trait Progress: Sync {
    /// Called for each event, on the thread where it happens; stages are built by several.
    fn event(&self, event: Event<'_>);
}

/// Events are thrown away.
impl Progress for () {
    fn event(&self, _: Event<'_>) {}
}
