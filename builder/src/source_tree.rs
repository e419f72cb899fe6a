//! What COPY and ADD read from: a directory of the host, or the tree of a stage or image.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lithify_rootfs::{Follow, Node, Tree};

use crate::context::LocalContext;
use crate::error::Error;
use crate::ignore::component_regex;

/// A file found below some start.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Path from the start; empty for the start itself.
    pub(crate) relative: PathBuf,
    pub(crate) node: Node,
    /// Path, from the start, of the first name of the same file.
    pub(crate) link_of: Option<PathBuf>,
}

/// A source of files. Paths are relative to its root and lead nowhere else.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SourceTree<'a> {
    /// A directory of the host.
    Local(&'a LocalContext),
    /// A stage or an image.
    Tree(&'a Tree),
    /// `scratch`.
    Empty,
}

impl SourceTree<'_> {
    /// Where `path` leads with all symbolic links followed; `None` if nowhere.
    pub(crate) fn resolve(self, path: &Path) -> Result<Option<PathBuf>, Error> {
        match self {
            Self::Local(context) => Ok(context.resolve(path)?),
            Self::Tree(tree) => match tree.get(path, Follow::Yes)? {
                Some(_) => Ok(Some(relative(&tree.resolve(path, Follow::Yes)?))),
                None => Ok(None),
            },
            Self::Empty => Ok(path.as_os_str().is_empty().then(PathBuf::new)),
        }
    }

    /// Names beside `path`, for hints.
    pub(crate) fn siblings(self, path: &Path) -> Result<Vec<String>, Error> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let Some(parent) = self.resolve(parent)? else { return Ok(Vec::new()) };
        if !self.is_directory(&parent)? {
            return Ok(Vec::new());
        }
        let names = self.children(&parent)?;
        Ok(names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn children(self, dir: &Path) -> Result<Vec<OsString>, Error> {
        match self {
            Self::Local(context) => Ok(context.children(dir)?),
            Self::Tree(tree) => {
                let children = tree.children(&Path::new("/").join(dir))?;
                Ok(children.into_iter().map(|(name, _)| name.to_owned()).collect())
            }
            Self::Empty => Ok(Vec::new()),
        }
    }

    /// What is at `start`, which must be resolved, and below; parents first, sorted.
    pub(crate) fn walk(self, start: &Path) -> Result<Vec<Found>, Error> {
        match self {
            Self::Local(context) => Ok(context.walk(start)?),
            Self::Tree(tree) => {
                let start = Path::new("/").join(start);
                let below = |path: &Path| path.strip_prefix(&start).map(Path::to_owned).ok();
                let entries = tree.walk_from(&start)?;
                let found = entries.filter_map(|entry| {
                    Some(Found {
                        relative: below(&entry.path)?,
                        node: entry.node.clone(),
                        link_of: entry.link_of.as_deref().and_then(below),
                    })
                });
                Ok(found.collect())
            }
            Self::Empty => Ok(Vec::new()),
        }
    }

    fn is_directory(self, path: &Path) -> Result<bool, Error> {
        match self {
            Self::Local(context) => Ok(context.is_directory(path)?),
            Self::Tree(tree) => {
                let node = tree.get(&Path::new("/").join(path), Follow::No)?;
                Ok(node.is_some_and(|node| node.kind.is_directory()))
            }
            Self::Empty => Ok(path.as_os_str().is_empty()),
        }
    }

    /// What a pattern matches, sorted; wildcards match names, `**` any depth if `deep`. The inner
    /// error says what is wrong with the pattern.
    ///
    /// Wildcards do not lead through symbolic links: links to `.` would match without end.
    pub(crate) fn glob(
        self,
        pattern: &str,
        deep: bool,
    ) -> Result<Result<Vec<Match>, &'static str>, Error> {
        let mut matches = vec![Match::default()];
        for part in pattern.split('/').filter(|part| !matches!(*part, "" | ".")) {
            matches = if part == "**" && deep {
                self.all_below(matches)?
            } else if has_wildcard(part) {
                match component_regex(part) {
                    Ok(regex) => self.matching(matches, &regex)?,
                    Err(problem) => return Ok(Err(problem)),
                }
            } else {
                self.literal(matches, &unescaped(part))?
            };
        }
        self.literal(matches, "").map(Ok)
    }

    /// Goes one name further, through a symbolic link if that is one.
    fn literal(self, from: Vec<Match>, name: &str) -> Result<Vec<Match>, Error> {
        let mut matches = Vec::new();
        for found in from {
            let found = found.join(Path::new(name));
            if let Some(real) = self.resolve(&found.real)? {
                matches.push(Match { real, ..found });
            }
        }
        Ok(matches)
    }

    fn matching(self, dirs: Vec<Match>, regex: &regex::Regex) -> Result<Vec<Match>, Error> {
        let mut matches = Vec::new();
        for dir in dirs {
            if self.is_directory(&dir.real)? {
                let names = self.children(&dir.real)?.into_iter();
                let names = names.filter(|name| regex.is_match(&name.to_string_lossy()));
                matches.extend(names.map(|name| dir.join(Path::new(&name))));
            }
        }
        Ok(matches)
    }

    /// The directories and all directories below them.
    fn all_below(self, dirs: Vec<Match>) -> Result<Vec<Match>, Error> {
        let mut all = BTreeSet::new();
        for dir in dirs {
            if self.is_directory(&dir.real)? {
                let found = self.walk(&dir.real)?.into_iter();
                let below = found.filter(|found| found.node.kind.is_directory());
                all.extend(below.map(|found| dir.join(&found.relative)));
            }
        }
        Ok(all.into_iter().collect())
    }
}

/// A path that a pattern matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Match {
    /// As named by the pattern.
    pub(crate) named: PathBuf,
    /// Without symbolic links.
    pub(crate) real: PathBuf,
}

impl Match {
    fn join(&self, name: &Path) -> Self {
        if name.as_os_str().is_empty() {
            return self.clone();
        }
        Self { named: self.named.join(name), real: self.real.join(name) }
    }
}

/// Whether a pattern holds wildcards or escapes of them.
pub(crate) fn has_wildcard(pattern: &str) -> bool {
    let mut escaped = false;
    pattern.chars().any(|c| {
        let wild = !escaped && matches!(c, '*' | '?' | '[');
        escaped = c == '\\' && !escaped;
        wild
    })
}

/// A pattern without wildcards as a name.
pub(crate) fn unescaped(pattern: &str) -> String {
    let mut chars = pattern.chars();
    let mut name = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => name.extend(chars.next()),
            c => name.push(c),
        }
    }
    name
}

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}
