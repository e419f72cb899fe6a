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
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(ParseError::FileTooLarge.into());
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let offset = error.utf8_error().valid_up_to();
            at_byte(name, error.as_bytes(), offset, ParseError::NotUtf8 { offset })
        })?;
        if let Some(offset) = text.find('\0') {
            return Err(at_byte(name, text.as_bytes(), offset, ParseError::ZeroByte { offset }));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let source = Arc::new(SourceFile::new(name, text));
        let tree = parser::parse(text).map_err(|(error, span)| Error::at(&source, span, error))?;
        let mut steps = Vec::new();
        for node in &tree.nodes {
            let instruction = instruction(node, tree.directives.escape)
                .map_err(|error| Error::at(&source, node.span, error))?;
            steps.push(Step { instruction, span: node.span, text: node.line.clone() });
        }
        let mut warnings = tree.warnings;
        warnings.extend(foreign_syntax(&tree.directives));
        Ok(Self { source, directives: tree.directives, steps, warnings })
    }
}

fn at_byte(name: &str, bytes: &[u8], offset: usize, error: ParseError) -> Error {
    let lines_before = bytes[..offset].iter().filter(|byte| **byte == b'\n').count();
    let line = u32::try_from(lines_before + 1).expect("files are smaller than 4 GiB");
    let source = SourceFile::new(name, String::from_utf8_lossy(bytes));
    Error::at(&Arc::new(source), Span::line(line), error)
}

/// No front end is fetched; Docker's own is the one that this crate follows.
fn foreign_syntax(directives: &Directives) -> Option<Warning> {
    let (syntax, line) = directives.syntax.as_ref()?;
    let name = syntax.strip_prefix("docker.io/").unwrap_or(syntax);
    if name.starts_with("docker/dockerfile") {
        return None;
    }
    let message = format!("the front end `{syntax}` is not used; the file is read as Dockerfile 1");
    Some(Warning::new("ForeignSyntax", message, Some(Span::line(*line))))
}
