//! Bytes to a located tree of instructions.
//!
//! This layer knows lines, continuations, comments, directives, heredocs and flags, and nothing of what
//! an instruction means, except which ones can hold heredocs.

mod directive;
mod flags;
mod heredoc;
mod logical;
mod shape;

pub use directive::Directives;
pub use heredoc::Heredoc;
pub use shape::Pair;

pub(crate) use heredoc::heredoc_word;
pub(crate) use shape::{Arguments, json_array, pairs, words};

use crate::progress::Warning;
use crate::source::Span;

/// A Dockerfile larger than this is refused before anything is allocated for it.
pub(crate) const MAX_FILE_BYTES: u64 = 8 << 20;

/// Longest physical line, as in BuildKit.
const MAX_LINE_BYTES: usize = (64 << 10) - 1;

/// Why bytes are not a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The file is too large.
    #[error("the Dockerfile has more than the {MAX_FILE_BYTES} bytes allowed")]
    FileTooLarge,
    /// Not text.
    #[error("not UTF-8 text (byte {offset} of the file)")]
    NotUtf8 {
        /// Offset of the first wrong byte.
        offset: usize,
    },
    /// A zero byte, which no path and no argument of a process can hold.
    #[error("a zero byte at byte {offset} of the file")]
    ZeroByte {
        /// Its offset.
        offset: usize,
    },
    /// A line is too long.
    #[error("the line has {bytes} bytes, more than the {MAX_LINE_BYTES} allowed")]
    LineTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Only comments and blank lines.
    #[error("the Dockerfile has no instructions")]
    Empty,
    /// The same directive twice.
    #[error("only one `{name}` directive can be used")]
    DirectiveRepeated {
        /// The directive.
        name: &'static str,
    },
    /// `# escape=` with something else than a backslash or backtick.
    #[error("escape directive `{value}`: expected \\ or `")]
    BadEscape {
        /// What was given.
        value: String,
    },
    /// The file ends inside a heredoc.
    #[error("heredoc `{name}` is not closed: no line holds only `{name}`")]
    HeredocNotClosed {
        /// The terminator.
        name: String,
    },
    /// A JSON array with something else than strings.
    #[error("item {position} of the JSON array is not a string")]
    JsonItemNotString {
        /// Counted from 1.
        position: usize,
    },
    /// ENV or LABEL with a name only.
    #[error("{keyword} needs a value: expected `{keyword} name=value`")]
    NoValue {
        /// The instruction.
        keyword: String,
    },
    /// ENV or LABEL where a later word has no `=`.
    #[error("no `=` in `{word}`: expected `name=value`")]
    NoEquals {
        /// The word.
        word: String,
    },
}

/// An instruction as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Upper-case keyword, known or not.
    pub(crate) keyword: String,
    /// The keyword as written.
    pub(crate) written: String,
    /// Flags before the arguments, without the leading `--`, quotes removed.
    pub(crate) flags: Vec<String>,
    /// Everything after the flags, continuations joined, trimmed.
    pub(crate) rest: String,
    /// The whole instruction on one line, without heredocs.
    pub(crate) line: String,
    /// Heredocs that follow, in order.
    pub(crate) heredocs: Vec<Heredoc>,
    /// Where it stands.
    pub(crate) span: Span,
}

impl Node {
    /// One logical line without its heredocs.
    pub(crate) fn from_line(line: &str, span: Span) -> Self {
        let line = line.trim();
        let (written, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (flags, rest) = flags::split(rest.trim_start());
        Self {
            keyword: written.to_ascii_uppercase(),
            written: written.to_owned(),
            flags,
            rest: rest.trim().to_owned(),
            line: line.to_owned(),
            heredocs: Vec::new(),
            span,
        }
    }

    /// RUN, COPY and ADD hold heredocs, also behind ONBUILD; their JSON forms do not.
    fn can_hold_heredocs(&self) -> bool {
        match self.keyword.as_str() {
            "ONBUILD" => {
                let inner = Self::from_line(&self.rest, self.span);
                inner.keyword != "ONBUILD" && inner.can_hold_heredocs()
            }
            "RUN" | "COPY" | "ADD" => !matches!(json_array(&self.rest), Ok(Some(_))),
            _ => false,
        }
    }
}

/// A Dockerfile cut into instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    /// What the directives at the top say.
    pub(crate) directives: Directives,
    /// Instructions in order.
    pub(crate) nodes: Vec<Node>,
    /// Things that work but should not be written so.
    pub(crate) warnings: Vec<Warning>,
}

/// An error and the lines it is about.
pub(crate) type Located<E> = (E, Span);

/// Parses the text of a Dockerfile.
///
/// # Errors
/// [`ParseError`] with the lines it is about.
pub(crate) fn parse(text: &str) -> Result<Tree, Located<ParseError>> {
    let directives = Directives::read(text)?;
    let mut lines = logical::Lines::new(text, directives.escape);
    let mut nodes = Vec::new();
    let mut warnings = Vec::new();
    while let Some(line) = lines.next_logical()? {
        if line.blank_continuation {
            warnings.push(Warning::new(
                "NoEmptyContinuation",
                "empty continuation line",
                Some(line.span),
            ));
        }
        let mut node = Node::from_line(&line.text, line.span);
        if line.text.contains("<<") && node.can_hold_heredocs() {
            node.heredocs = heredoc::read_all(&line.text, &mut lines, line.span)?;
            node.span.last = lines.number();
        }
        nodes.push(node);
    }
    if nodes.is_empty() {
        return Err((ParseError::Empty, Span::line(lines.number().max(1))));
    }
    Ok(Tree { directives, nodes, warnings })
}
