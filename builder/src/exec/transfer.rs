//! COPY, ADD and WORKDIR.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use lithify_image::Digest;
use lithify_rootfs::{Content, Kind, LayerBuilder, Metadata, Node, Tree};

use super::archive;
use super::base::OpenedContext;
use super::copier::{Clash, Copier, Rules};
use super::mode::Mode;
use super::owner::Owner;
use super::remote::RemoteFile;
use super::{Applier, Current, ExecError, Outcome, StageState};
use crate::cache::{Hit, Key};
use crate::context::LocalContext;
use crate::dockerfile::Step;
use crate::error::{Error, Hint};
use crate::expand::{Rules as WordRules, expand};
use crate::ignore::Matcher;
use crate::instruction::{Inline, Transfer, TransferKind};
use crate::plan::Origin;
use crate::source_tree::{Found, Match, SourceTree, has_wildcard};

/// A transfer with all variables expanded.
struct Expanded {
    sources: Vec<String>,
    /// Addresses of files to fetch.
    remote: Vec<String>,
    /// What the one address leads to.
    checksum: Option<Digest>,
    inline: Vec<(String, String)>,
    destination: PathBuf,
    /// The destination is written as a directory.
    into_directory: bool,
    owner: Option<String>,
    mode: Option<String>,
    exclude: Vec<String>,
}

/// One source path and what is there.
pub(super) struct Item {
    /// The path as named, relative to the source's root: its last name is kept.
    pub(super) named: PathBuf,
    /// The same without symbolic links.
    pub(super) real: PathBuf,
    /// The part of `named` that `--parents` keeps.
    pub(super) kept: PathBuf,
    /// What is there and below.
    pub(super) found: Vec<Found>,
}

/// What all sources name.
struct FoundAll {
    items: Vec<Item>,
    /// Patterns that match nothing.
    unmatched: Vec<String>,
}

/// Where files come from.
pub(super) enum Source<'a> {
    Local(&'a LocalContext),
    Stage(Arc<StageState>),
    Context(Arc<OpenedContext>),
    Empty,
}

impl Source<'_> {
    pub(super) fn files(&self) -> Result<SourceTree<'_>, Error> {
        Ok(match self {
            Self::Local(context) => SourceTree::Local(context),
            Self::Stage(state) => SourceTree::Tree(state.files.tree()?),
            Self::Context(context) => match &**context {
                OpenedContext::Directory(context) => SourceTree::Local(context),
                OpenedContext::Image(state) => SourceTree::Tree(state.files.tree()?),
            },
            Self::Empty => SourceTree::Empty,
        })
    }

    /// What stands for all files of a stage or image, without a look at them.
    pub(super) fn chain(&self) -> Option<&Digest> {
        match self {
            Self::Stage(state) => Some(state.files.chain()),
            Self::Context(context) => match &**context {
                OpenedContext::Image(state) => Some(state.files.chain()),
                OpenedContext::Directory(_) => None,
            },
            Self::Local(_) | Self::Empty => None,
        }
    }
}

impl Applier<'_> {
    pub(super) fn transfer(
        &self,
        state: &mut StageState,
        transfer: &Transfer,
        current: Current<'_>,
    ) -> Result<Outcome, Error> {
        let expanded = self.expanded(state, transfer, current.step)?;
        let origin = transfer.from.as_deref().map(|from| self.plan.origin(from)).transpose()?;
        let source = self.source(current.stage, origin.as_ref())?;
        let place = self.place(origin.as_ref());
        let key = self.transfer_key(state, transfer, &expanded);
        let whole = source.chain().map(|chain| key.clone().text("whole").digest(chain).finish());
        if let Some(whole) = &whole
            && let Some(hit) = self.cache.find(current.stage, whole)?
        {
            return self.take_transfer(state, hit, &place, current);
        }

        let files = source.files()?;
        let found = find_all(files, &expanded, transfer, &place)?;
        let content = self.content_digest(files, &found.items, &expanded.exclude)?;
        let fetch = |url: &String| self.remote_file(url, expanded.checksum);
        let remote: Vec<RemoteFile> =
            expanded.remote.iter().map(fetch).collect::<Result<_, _>>()?;
        let key = key.text("content").digest(&content);
        let key = remote.iter().fold(key, |key, file| key.text(&file.name).digest(&file.digest));
        let key = key.finish();
        let keys: Vec<Digest> = [key].into_iter().chain(whole).collect();
        let _entered = self.cache.enter(key);
        if let Some(hit) = self.cache.find(current.stage, &key)? {
            for key in &keys {
                self.cache.add(current.stage, key, &hit.record)?;
            }
            return self.take_transfer(state, hit, &place, current);
        }
        let changes = self.copied(state, transfer, &expanded, &found, &remote)?;
        self.warn_unmatched(&found.unmatched, &place, current);
        self.commit(state, &changes, current, &keys, found.unmatched)
    }

    fn take_transfer(
        &self,
        state: &mut StageState,
        hit: Hit,
        place: &str,
        current: Current<'_>,
    ) -> Result<Outcome, Error> {
        self.warn_unmatched(&hit.record.unmatched, place, current);
        self.take(state, hit, current)
    }

    fn warn_unmatched(&self, unmatched: &[String], place: &str, current: Current<'_>) {
        for text in unmatched {
            let message = format!("no file matches `{text}` in {place}");
            self.warn("NoMatch", message, current.step.span);
        }
    }

    /// All that decides the result but the files themselves.
    fn transfer_key(&self, state: &StageState, transfer: &Transfer, expanded: &Expanded) -> Key {
        let inline = expanded.inline.iter().flat_map(|(name, text)| [name, text]);
        self.key(transfer.kind.keyword(), state)
            .list(&expanded.sources)
            .list(inline)
            .bytes(expanded.destination.as_os_str().as_encoded_bytes())
            .switch(expanded.into_directory)
            .optional(expanded.owner.as_ref())
            .optional(expanded.mode.as_ref())
            .list(&expanded.exclude)
            .switch(transfer.parents)
            .switch(transfer.unpack != Some(false))
            .switch(transfer.unpack == Some(true))
    }

    /// The changes that the files make.
    fn copied(
        &self,
        state: &StageState,
        transfer: &Transfer,
        expanded: &Expanded,
        found: &FoundAll,
        remote: &[RemoteFile],
    ) -> Result<LayerBuilder, Error> {
        let tree = state.files.tree()?;
        let mut copier = Copier::new(tree, self.rules(tree, expanded)?);
        let into_directory =
            expanded.into_directory || copier.is_directory(&expanded.destination)?;
        let count = found.items.len() + remote.len() + expanded.inline.len();
        if count > 1 && !into_directory {
            let path = expanded.destination.clone();
            return Err(ExecError::DestinationNotDirectory { path }.into());
        }
        let placement = Placement { transfer, expanded, into_directory };
        for item in &found.items {
            let unpacked = self.unpacked(transfer, &item.found, &item.named)?;
            placement.put(&mut copier, item, unpacked.as_ref())?;
        }
        for file in remote {
            let unpacked = match transfer.unpack {
                Some(true) => archive::unpack(file.content(), Path::new(&file.name), self.store)?,
                _ => None,
            };
            placement.put_remote(&mut copier, file, unpacked.as_ref())?;
        }
        placement.put_inline(&mut copier)?;
        Ok(copier.finish())
    }

    fn expanded(
        &self,
        state: &StageState,
        transfer: &Transfer,
        step: &Step,
    ) -> Result<Expanded, Error> {
        let keyword = transfer.kind.keyword();
        let path =
            |word: &str| self.expand_some(state, word, step, ExecError::EmptyPath { keyword });
        let word = |word: &String| self.expand(state, word, step);
        let (mut sources, mut remote) = (Vec::new(), Vec::new());
        for source in &transfer.sources {
            let source = path(source)?;
            match transfer.kind {
                TransferKind::Add if is_web(&source) => remote.push(source),
                TransferKind::Add if is_remote(&source) => {
                    return Err(ExecError::Remote { source_text: source }.into());
                }
                _ => sources.push(source),
            }
        }
        let mut inline = Vec::new();
        for file in &transfer.inline {
            inline.push((file.name.clone(), inline_text(state, file)?));
        }
        let destination = path(&transfer.destination)?;
        let into_directory = destination.ends_with('/')
            || destination.ends_with("/.")
            || matches!(&*destination, "." | "..")
            || transfer.parents;
        let checksum = transfer.checksum.as_ref().map(word).transpose()?;
        Ok(Expanded {
            checksum: checksum.map(|value| checksum_of(value, &sources, &remote)).transpose()?,
            sources,
            remote,
            inline,
            destination: absolute(&state.config.config.working_dir, &destination),
            into_directory,
            owner: transfer.chown.as_ref().map(word).transpose()?,
            mode: transfer.chmod.as_ref().map(word).transpose()?,
            exclude: transfer.exclude.iter().map(word).collect::<Result<_, _>>()?,
        })
    }

    fn rules(&self, tree: &Tree, expanded: &Expanded) -> Result<Rules, Error> {
        let single = matches!(&expanded.sources[..], [source] if !has_wildcard(source))
            && expanded.remote.is_empty();
        let owner = expanded.owner.as_deref().map(|text| Owner::resolve(text, tree));
        Ok(Rules {
            owner: owner.transpose()?,
            mode: expanded.mode.as_deref().map(Mode::parse).transpose()?,
            exclude: Matcher::from_patterns(&expanded.exclude)?,
            epoch: self.epoch,
            keep_links: single && expanded.inline.is_empty(),
        })
    }

    /// Builds or opens what `--from` names in the stage `stage`.
    pub(super) fn source(
        &self,
        stage: usize,
        origin: Option<&Origin>,
    ) -> Result<Source<'_>, Error> {
        Ok(match origin {
            None => Source::Local(self.context),
            Some(Origin::Scratch) => Source::Empty,
            Some(Origin::Stage(index)) => Source::Stage(self.stage_for(stage, *index)?),
            Some(Origin::Context(name)) => Source::Context(self.named_context(name)?),
            Some(Origin::Image(image)) => Source::Context(self.image("--from=", image)?),
        })
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
        &self,
        state: &mut StageState,
        path: &str,
        current: Current<'_>,
    ) -> Result<Outcome, Error> {
        let empty = ExecError::Empty { keyword: "WORKDIR" };
        let path = self.expand_some(state, path, current.step, empty)?;
        if !path.starts_with('/') && state.config.config.working_dir.is_empty() {
            let message = format!("`{path}` is relative, and no WORKDIR before it is absolute");
            self.warn("WorkdirRelativePath", message, current.step.span);
        }
        let path = absolute(&state.config.config.working_dir, &path);
        let user = state.config.config.user.clone();
        state.config.config.working_dir = path.to_string_lossy().into_owned();
        let key = self.key("WORKDIR", state).text(&state.config.config.working_dir).text(&user);
        let key = key.finish();
        let _entered = self.cache.enter(key);
        if let Some(hit) = self.cache.find(current.stage, &key)? {
            return self.take(state, hit, current);
        }
        let changes = self.made_directory(state, &path, &user)?;
        self.commit(state, &changes, current, &[key], Vec::new())
    }

    /// As in BuildKit the directory belongs to the user in effect.
    fn made_directory(
        &self,
        state: &StageState,
        path: &Path,
        user: &str,
    ) -> Result<LayerBuilder, Error> {
        let tree = state.files.tree()?;
        let owner = match user.is_empty() {
            true => None,
            false => Some(Owner::resolve(user, tree)?),
        };
        let (mode, exclude) = (None, Matcher::default());
        let rules = Rules { owner, mode, exclude, epoch: self.epoch, keep_links: false };
        let mut copier = Copier::new(tree, rules);
        copier.make_dirs(path)?;
        Ok(copier.finish())
    }
}

/// Where the files of one item go.
struct Placement<'a> {
    transfer: &'a Transfer,
    expanded: &'a Expanded,
    into_directory: bool,
}

impl Placement<'_> {
    fn put(&self, copier: &mut Copier, item: &Item, unpacked: Option<&Tree>) -> Result<(), Error> {
        let found = &item.found;
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
        copier.put(found.clone(), &item.real, &target, Clash::Refuse)
    }

    fn put_remote(
        &self,
        copier: &mut Copier,
        file: &RemoteFile,
        unpacked: Option<&Tree>,
    ) -> Result<(), Error> {
        let destination = copier.resolve(&self.expanded.destination)?;
        if let Some(tree) = unpacked {
            let found = SourceTree::Tree(tree).walk(Path::new(""))?;
            return copier.put(found, Path::new(""), &destination, Clash::Replace);
        }
        let target = if self.into_directory { destination.join(&file.name) } else { destination };
        copier.put(vec![file.found()], Path::new(""), &target, Clash::Refuse)
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

fn find_all(
    source: SourceTree<'_>,
    expanded: &Expanded,
    transfer: &Transfer,
    place: &str,
) -> Result<FoundAll, Error> {
    let mut all = FoundAll { items: Vec::new(), unmatched: Vec::new() };
    for text in &expanded.sources {
        let found = find(source, text, transfer, place)?;
        if found.is_empty() {
            all.unmatched.push(text.clone());
        }
        all.items.extend(found);
    }
    Ok(all)
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
        let found = source.walk(&real)?;
        items.push(Item { named, real, kept, found });
    }
    Ok(items)
}

pub(super) fn missing(source: SourceTree<'_>, text: &str, place: &str) -> Result<ExecError, Error> {
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
pub(super) fn clean(path: &Path) -> PathBuf {
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

pub(super) fn absolute(working_dir: &str, path: &str) -> PathBuf {
    let joined = Path::new("/").join(working_dir).join(path);
    Path::new("/").join(clean(&joined))
}

fn is_web(source: &str) -> bool {
    let is_repository = source.split(['#', '?']).next().is_some_and(|url| url.ends_with(".git"));
    !is_repository && (source.starts_with("http://") || source.starts_with("https://"))
}

/// A checksum is of one file.
fn checksum_of(value: String, local: &[String], remote: &[String]) -> Result<Digest, ExecError> {
    let digest = value.parse().ok().filter(|_| local.is_empty() && remote.len() == 1);
    digest.ok_or(ExecError::BadChecksum { value })
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
