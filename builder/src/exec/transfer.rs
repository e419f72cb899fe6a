//! COPY, ADD and WORKDIR.

use std::path::{Component, Path, PathBuf};

use lithify_rootfs::{Content, Kind, Metadata, Node, Tree};

use super::archive;
use super::base::OpenedContext;
use super::copier::{Clash, Copier, Rules};
use super::mode::Mode;
use super::owner::Owner;
use super::{Applier, ExecError, StageState};
use crate::dockerfile::Step;
use crate::error::{Error, Hint};
use crate::expand::{Rules as WordRules, expand};
use crate::ignore::Matcher;
use crate::instruction::{Inline, Transfer, TransferKind};
use crate::plan::Origin;
use crate::progress::Warning;
use crate::source_tree::{Found, Match, SourceTree, has_wildcard};

/// A transfer with all variables expanded.
struct Expanded {
    sources: Vec<String>,
    inline: Vec<(String, String)>,
    destination: PathBuf,
    /// The destination is written as a directory.
    into_directory: bool,
}

/// One source path and where it is.
struct Item {
    /// The path as named, relative to the source's root: its last name is kept.
    named: PathBuf,
    /// The same without symbolic links.
    real: PathBuf,
    /// The part of `named` that `--parents` keeps.
    kept: PathBuf,
}

impl Applier<'_> {
    pub(super) fn transfer(
        &mut self,
        state: &mut StageState,
        transfer: &Transfer,
        step: &Step,
    ) -> Result<(), Error> {
        let expanded = self.expanded(state, transfer, step)?;
        let origin = match &transfer.from {
            Some(from) => Some(self.plan.origin(from)?),
            None => None,
        };
        let rules = self.rules(state, transfer, &expanded, step)?;
        let mut copier = Copier::new(&state.tree, rules);
        self.prepare(origin.as_ref())?;
        let source = self.source(origin.as_ref());
        let place = origin.as_ref().map_or("the build context".to_owned(), |o| self.place(o));
        let (items, unmatched) = find_all(source, &expanded.sources, transfer, &place)?;
        let into_directory =
            expanded.into_directory || copier.is_directory(&expanded.destination)?;
        if items.len() + expanded.inline.len() > 1 && !into_directory {
            return Err(ExecError::DestinationNotDirectory { path: expanded.destination }.into());
        }
        let placement = Placement { transfer, expanded: &expanded, into_directory };
        for item in &items {
            let found = source.walk(&item.real)?;
            let unpacked = self.unpacked(transfer, &found, &item.named)?;
            placement.put(&mut copier, item, found, unpacked.as_ref())?;
        }
        placement.put_inline(&mut copier)?;
        for text in unmatched {
            let message = format!("no file matches `{text}` in {place}");
            self.warn(Warning::new("NoMatch", message, Some(step.span)));
        }
        state.commit(&copier.finish(), self.store, &step.text, self.epoch)
    }

    fn expanded(
        &mut self,
        state: &StageState,
        transfer: &Transfer,
        step: &Step,
    ) -> Result<Expanded, Error> {
        let keyword = transfer.kind.keyword();
        let mut sources = Vec::new();
        for source in &transfer.sources {
            let source = self.not_empty_path(state, source, keyword, step)?;
            if transfer.kind == TransferKind::Add && is_remote(&source) {
                return Err(ExecError::Remote { source_text: source }.into());
            }
            sources.push(source);
        }
        let mut inline = Vec::new();
        for file in &transfer.inline {
            inline.push((file.name.clone(), inline_text(state, file)?));
        }
        let destination = self.not_empty_path(state, &transfer.destination, keyword, step)?;
        let into_directory = destination.ends_with('/')
            || destination.ends_with("/.")
            || matches!(&*destination, "." | "..")
            || transfer.parents;
        let destination = absolute(&state.config.config.working_dir, &destination);
        Ok(Expanded { sources, inline, destination, into_directory })
    }

    fn not_empty_path(
        &mut self,
        state: &StageState,
        word: &str,
        keyword: &'static str,
        step: &Step,
    ) -> Result<String, Error> {
        let path = self.expand(state, word, step)?;
        if path.is_empty() { Err(ExecError::EmptyPath { keyword }.into()) } else { Ok(path) }
    }

    fn rules(
        &mut self,
        state: &StageState,
        transfer: &Transfer,
        expanded: &Expanded,
        step: &Step,
    ) -> Result<Rules, Error> {
        let owner = match &transfer.chown {
            Some(text) => Some(Owner::resolve(&self.expand(state, text, step)?, &state.tree)?),
            None => None,
        };
        let mode = match &transfer.chmod {
            Some(text) => Some(Mode::parse(&self.expand(state, text, step)?)?),
            None => None,
        };
        let mut patterns = Vec::new();
        for pattern in &transfer.exclude {
            patterns.push(self.expand(state, pattern, step)?);
        }
        let single = expanded.sources.len() == 1 && !has_wildcard(&expanded.sources[0]);
        Ok(Rules {
            owner,
            mode,
            exclude: Matcher::from_patterns(&patterns)?,
            epoch: self.epoch,
            keep_links: single && expanded.inline.is_empty(),
        })
    }

    /// Builds or opens what `--from` names.
    fn prepare(&mut self, origin: Option<&Origin>) -> Result<(), Error> {
        match origin {
            Some(Origin::Stage(index)) => self.ensure(*index),
            Some(Origin::Context(name)) => self.named_context(name).map(|_| ()),
            Some(Origin::Image(image)) => {
                Err(ExecError::Registry { keyword: "--from=", image: image.clone() }.into())
            }
            Some(Origin::Scratch) | None => Ok(()),
        }
    }

    fn source(&self, origin: Option<&Origin>) -> SourceTree<'_> {
        match origin {
            Some(Origin::Stage(index)) => SourceTree::Tree(&self.states[index].tree),
            Some(Origin::Context(name)) => match &self.contexts[name] {
                OpenedContext::Directory(context) => SourceTree::Local(context),
                OpenedContext::Image(state) => SourceTree::Tree(&state.tree),
            },
            Some(Origin::Scratch | Origin::Image(_)) => SourceTree::Empty,
            None => SourceTree::Local(self.context),
        }
    }

    /// The tree of an archive that ADD unpacks.
    fn unpacked(
        &self,
        transfer: &Transfer,
        found: &[Found],
        name: &Path,
    ) -> Result<Option<Tree>, Error> {
        let wanted = transfer.kind == TransferKind::Add && transfer.unpack != Some(false);
        match found {
            [Found { node: Node { kind: Kind::File(content), .. }, .. }] if wanted => {
                archive::unpack(content, name, self.store)
            }
            _ => Ok(None),
        }
    }

    pub(super) fn workdir(
        &mut self,
        state: &mut StageState,
        path: &str,
        step: &Step,
    ) -> Result<(), Error> {
        let path = self.not_empty(state, path, "WORKDIR", step)?;
        if !path.starts_with('/') && state.config.config.working_dir.is_empty() {
            let message = format!("`{path}` is relative, and no WORKDIR before it is absolute");
            self.warn(Warning::new("WorkdirRelativePath", message, Some(step.span)));
        }
        let path = absolute(&state.config.config.working_dir, &path);
        // As in BuildKit the directory belongs to the user in effect.
        let user = state.config.config.user.clone();
        let owner = match user.is_empty() {
            true => None,
            false => Some(Owner::resolve(&user, &state.tree)?),
        };
        let rules = Rules {
            owner,
            mode: None,
            exclude: Matcher::default(),
            epoch: self.epoch,
            keep_links: false,
        };
        let mut copier = Copier::new(&state.tree, rules);
        copier.make_dirs(&path)?;
        let changes = copier.finish();
        state.config.config.working_dir = path.to_string_lossy().into_owned();
        state.commit(&changes, self.store, &step.text, self.epoch)
    }
}

/// Where the files of one item go.
struct Placement<'a> {
    transfer: &'a Transfer,
    expanded: &'a Expanded,
    into_directory: bool,
}

impl Placement<'_> {
    fn put(
        &self,
        copier: &mut Copier,
        item: &Item,
        found: Vec<Found>,
        unpacked: Option<&Tree>,
    ) -> Result<(), Error> {
        let destination = copier.resolve(&self.expanded.destination)?;
        if let Some(tree) = unpacked {
            let found = SourceTree::Tree(tree).walk(Path::new(""))?;
            return copier.put(found, Path::new(""), &destination, Clash::Replace);
        }
        let is_directory = found.first().is_some_and(|found| found.node.kind.is_directory());
        let target = if self.transfer.parents {
            copier.resolve(&destination.join(&item.kept))?
        } else if is_directory || !self.into_directory {
            destination
        } else {
            destination.join(item.named.file_name().unwrap_or_default())
        };
        copier.put(found, &item.real, &target, Clash::Refuse)
    }

    fn put_inline(&self, copier: &mut Copier) -> Result<(), Error> {
        for (name, text) in &self.expanded.inline {
            let destination = copier.resolve(&self.expanded.destination)?;
            let target = if self.into_directory { destination.join(name) } else { destination };
            let file = inline_file(text.clone());
            copier.put(vec![file], Path::new(""), &target, Clash::Refuse)?;
        }
        Ok(())
    }
}

/// What all sources name, and the patterns among them that match nothing.
fn find_all<'t>(
    source: SourceTree<'_>,
    texts: &'t [String],
    transfer: &Transfer,
    place: &str,
) -> Result<(Vec<Item>, Vec<&'t str>), Error> {
    let mut items = Vec::new();
    let mut unmatched = Vec::new();
    for text in texts {
        let found = find(source, text, transfer, place)?;
        if found.is_empty() {
            unmatched.push(text.as_str());
        }
        items.extend(found);
    }
    Ok((items, unmatched))
}

/// The paths that one source names.
fn find(
    source: SourceTree<'_>,
    text: &str,
    transfer: &Transfer,
    place: &str,
) -> Result<Vec<Item>, Error> {
    // `/./` marks where the kept part of the path begins.
    let (before, kept) = match text.split_once("/./") {
        Some((before, kept)) if transfer.parents => (before, kept),
        _ => ("", text),
    };
    let wildcard = has_wildcard(text) || (transfer.parents && text.contains("**"));
    let whole = format!("{before}/{kept}");
    let matches = source
        .glob(&whole, transfer.parents)?
        .map_err(|problem| ExecError::SourcePattern { pattern: text.to_owned(), problem })?;
    if matches.is_empty() && !wildcard {
        return Err(missing(source, text, place)?.into());
    }
    let skipped = clean(Path::new(before)).components().count();
    let mut items = Vec::new();
    for Match { named, real } in matches {
        let named = clean(&named);
        let kept = named.components().skip(skipped).collect();
        items.push(Item { named, real, kept });
    }
    Ok(items)
}

fn missing(source: SourceTree<'_>, text: &str, place: &str) -> Result<ExecError, Error> {
    let path = clean(Path::new(text));
    if let SourceTree::Local(context) = source
        && context.hides(&path)
    {
        return Ok(ExecError::SourceIgnored { path: text.to_owned() });
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let siblings = source.siblings(&path)?;
    let hint = Hint::nearest(&name, siblings.iter().map(String::as_str));
    Ok(ExecError::SourceMissing { path: text.to_owned(), place: place.to_owned(), hint })
}

/// Without `.`, and with `..` resolved as far as the root.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

fn absolute(working_dir: &str, path: &str) -> PathBuf {
    let joined = Path::new("/").join(working_dir).join(path);
    Path::new("/").join(clean(&joined))
}

fn is_remote(source: &str) -> bool {
    ["http://", "https://", "git://", "ssh://"].iter().any(|scheme| source.starts_with(scheme))
        || source.starts_with("git@")
}

fn inline_text(state: &StageState, file: &Inline) -> Result<String, Error> {
    if !file.expand {
        return Ok(file.text.clone());
    }
    Ok(expand(&file.text, WordRules::heredoc(), &|name| state.variable(name))?.text)
}

fn inline_file(text: String) -> Found {
    let content = Content::inline(text.into_bytes());
    let node = Node::file(Metadata::file(), content);
    Found { relative: PathBuf::new(), node, link_of: None }
}
