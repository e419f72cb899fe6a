//! The one error type of the library: what failed, where, and how to show it.

use std::fmt;
use std::sync::Arc;

use crate::context::ContextError;
use crate::exec::ExecError;
use crate::expand::ExpandError;
use crate::ignore::IgnoreError;
use crate::instruction::InstructionError;
use crate::machine::MachineError;
use crate::parser::ParseError;
use crate::plan::PlanError;
use crate::source::{SourceFile, Span};

/// What failed, by the stage of the pipeline that noticed it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not a Dockerfile.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// An instruction's own syntax is wrong.
    #[error(transparent)]
    Instruction(#[from] InstructionError),
    /// A `$variable` could not be expanded.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// The stages do not fit together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A `.dockerignore` or `--exclude` pattern is wrong.
    #[error(transparent)]
    Ignore(#[from] IgnoreError),
    /// The build context or a named context cannot be used.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// Applying an instruction failed.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The machine that executes RUN failed.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// An image or the store failed.
    #[error(transparent)]
    Image(#[from] lithify_image::Error),
    /// A root file system operation failed.
    #[error(transparent)]
    Rootfs(#[from] lithify_rootfs::Error),
}

/// An error and, where there is one, its place in the Dockerfile.
#[derive(Debug)]
pub struct Error {
    kind: Box<ErrorKind>,
    place: Option<(Arc<SourceFile>, Span)>,
}

impl Error {
    /// An error that belongs to the lines `span` of `source`.
    pub(crate) fn at(source: &Arc<SourceFile>, span: Span, kind: impl Into<ErrorKind>) -> Self {
        Self { kind: Box::new(kind.into()), place: Some((Arc::clone(source), span)) }
    }

    /// The same error at this place, unless it has one.
    pub(crate) fn or_at(mut self, source: &Arc<SourceFile>, span: Span) -> Self {
        self.place.get_or_insert_with(|| (Arc::clone(source), span));
        self
    }

    /// What failed.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The lines of the Dockerfile that the error is about.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.place.as_ref().map(|(_, span)| *span)
    }

    /// Whether the build was stopped from outside.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        matches!(*self.kind, ErrorKind::Machine(MachineError::Canceled))
    }

    /// The message with its place and the source lines around it, as shown to users.
    #[must_use]
    pub fn render(&self) -> String {
        match &self.place {
            Some((source, span)) => format!("{self}\n{}", source.excerpt(*span)),
            None => format!("{self}\n"),
        }
    }
}

impl<K: Into<ErrorKind>> From<K> for Error {
    fn from(kind: K) -> Self {
        Self { kind: Box::new(kind.into()), place: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((source, span)) = &self.place {
            write!(f, "{}:{}: ", source.name(), span.first)?;
        }
        write!(f, "{}", self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.kind)
    }
}

/// A nearest-name hint, displayed as nothing when there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hint(Option<String>);

/// Names further apart than this share of their length are not taken for typing errors.
const MIN_SIMILARITY: f64 = 0.6;

impl Hint {
    /// The candidate most like `written`, if one is near enough to be meant.
    pub(crate) fn nearest<'a>(
        written: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let best = candidates
            .into_iter()
            .filter(|name| *name != written)
            .map(|name| (similarity(written, name), name))
            .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        Self(best.map(|(_, name)| name.to_owned()))
    }

    /// The same hint with something before the name.
    pub(crate) fn prefixed(self, prefix: &str) -> Self {
        Self(self.0.map(|name| format!("{prefix}{name}")))
    }

    /// The name meant, if there is a near one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => write!(f, " (did you mean `{name}`?)"),
            None => Ok(()),
        }
    }
}

fn similarity(written: &str, name: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(&written.to_lowercase(), &name.to_lowercase())
}
