//! COPY and ADD.

use super::InstructionError;
use super::flags::{Flags, Known, Takes};
use crate::parser::{Arguments, Heredoc, Node, heredoc_word};

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferKind {
    /// COPY.
    Copy,
    /// ADD: also unpacks archives and fetches.
    Add,
}

impl TransferKind {
    /// The keyword.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Copy => "COPY",
            Self::Add => "ADD",
        }
    }
}

/// A file whose content is a heredoc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inline {
    /// The file's name.
    pub name: String,
    /// Its content.
    pub text: String,
    /// Variables in it are expanded.
    pub expand: bool,
}

/// COPY or ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Which of the two.
    pub kind: TransferKind,
    /// Paths or patterns, in order.
    pub sources: Vec<String>,
    /// Heredocs among the sources.
    pub inline: Vec<Inline>,
    /// Where to.
    pub destination: String,
    /// Stage, image or named context instead of the build context.
    pub from: Option<String>,
    /// `user[:group]`.
    pub chown: Option<String>,
    /// Octal or symbolic permissions.
    pub chmod: Option<String>,
    /// The layer does not depend on what is below it.
    pub link: bool,
    /// The sources' directories are kept below the destination.
    pub parents: bool,
    /// Patterns of what to leave out.
    pub exclude: Vec<String>,
    /// Expected digest of a fetched file.
    pub checksum: Option<String>,
    /// `.git` of a fetched repository is kept.
    pub keep_git_dir: bool,
    /// Archives are unpacked; `None`: local ones only.
    pub unpack: Option<bool>,
}

const COMMON: [Known; 5] = [
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Switch),
    ("exclude", Takes::Values),
    ("parents", Takes::Switch),
];
const COPY_ONLY: [Known; 1] = [("from", Takes::Value)];
const ADD_ONLY: [Known; 3] =
    [("checksum", Takes::Value), ("keep-git-dir", Takes::Switch), ("unpack", Takes::Switch)];

pub(super) fn parse(node: &Node, kind: TransferKind) -> Result<Transfer, InstructionError> {
    let keyword = kind.keyword();
    let own: &[Known] = match kind {
        TransferKind::Copy => &COPY_ONLY,
        TransferKind::Add => &ADD_ONLY,
    };
    let flags = Flags::parse(node, &[&COMMON, own].concat())?;
    let mut words = Arguments::parse(&node.rest)?.into_list();
    let destination =
        words.pop().filter(|_| !words.is_empty()).ok_or(InstructionError::Arguments {
            keyword,
            expected: "at least one source and a destination",
        })?;
    if heredoc_word(&destination).is_some() {
        return Err(InstructionError::HeredocDestination { keyword });
    }
    if words.len() > 1 && !destination.ends_with('/') && !matches!(&*destination, "." | "..") {
        // A variable may end with the slash that is asked for.
        if !destination.contains('$') {
            return Err(InstructionError::DestinationNotDirectory { keyword, destination });
        }
    }
    let from = flags.text("from");
    if let Some(value) = from.clone().filter(|from| from.contains('$')) {
        return Err(InstructionError::VariableInFrom { value });
    }
    let (inline, sources) = split_inline(words, &node.heredocs);
    Ok(Transfer {
        kind,
        sources,
        inline,
        destination,
        from,
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.switch("link").unwrap_or(false),
        parents: flags.switch("parents").unwrap_or(false),
        exclude: flags.texts("exclude"),
        checksum: flags.text("checksum"),
        keep_git_dir: flags.switch("keep-git-dir").unwrap_or(false),
        unpack: flags.switch("unpack"),
    })
}

fn split_inline(words: Vec<String>, heredocs: &[Heredoc]) -> (Vec<Inline>, Vec<String>) {
    let mut inline = Vec::new();
    let mut sources = Vec::new();
    // Words announce them in the order of their texts; one name can come twice.
    let mut heredocs = heredocs.iter().peekable();
    for word in words {
        let announced = heredoc_word(&word).map(|heredoc| heredoc.name);
        match heredocs.next_if(|heredoc| Some(&heredoc.name) == announced.as_ref()) {
            Some(heredoc) => inline.push(Inline {
                name: heredoc.name.clone(),
                text: heredoc.text(),
                expand: heredoc.expand,
            }),
            None => sources.push(word),
        }
    }
    (inline, sources)
}
