//! The front end as one value: a Dockerfile whose every instruction is typed.

use std::sync::Arc;

use crate::error::Error;
use crate::instruction::{Instruction, instruction};
use crate::parser::{self, Directives, MAX_FILE_BYTES, ParseError};
use crate::progress::Warning;
use crate::source::{SourceFile, Span};

/// One instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The instruction.
    pub instruction: Instruction,
    /// Its lines.
    pub span: Span,
    /// The instruction as written, on one line, without heredocs.
    pub text: String,
}

/// A parsed Dockerfile; variables are not expanded and stages not yet put together.
#[derive(Debug, Clone)]
pub struct Dockerfile {
    /// Its name and text.
    pub source: Arc<SourceFile>,
    /// What the directives at the top say.
    pub directives: Directives,
    /// Instructions in order.
    pub steps: Vec<Step>,
    /// Things that work but should not be written so.
    pub warnings: Vec<Warning>,
}

impl Dockerfile {
    /// Parses `bytes`; `name` appears in messages.
    ///
    /// # Errors
    /// What is wrong first: with the text, an instruction's name, its flags or its arguments.
    pub fn parse(name: &str, bytes: Vec<u8>) -> Result<Self, Error> {
        let bytes_len = bytes.len() as u64;
        if bytes_len > MAX_FILE_BYTES {
            return Err(ParseError::FileTooLarge { bytes: bytes_len }.into());
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| ParseError::NotUtf8 { offset: error.utf8_error().valid_up_to() })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let source = Arc::new(SourceFile::new(name, text));
        let tree = parser::parse(text).map_err(|(error, span)| Error::at(&source, span, error))?;
        let mut steps = Vec::new();
        for node in &tree.nodes {
            let instruction = instruction(node, tree.directives.escape)
                .map_err(|error| Error::at(&source, node.span, error))?;
            steps.push(Step { instruction, span: node.span, text: node.line.clone() });
        }
        Ok(Self { source, directives: tree.directives, steps, warnings: tree.warnings })
    }
}
