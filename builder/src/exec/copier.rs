//! Puts files into a stage: into the layer of the instruction, and into a copy of the tree that shows
//! what the next file of the same instruction meets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lithify_rootfs::{Follow, Kind, LayerBuilder, Metadata, Node, Tree};

use super::ExecError;
use super::mode::Mode;
use super::owner::Owner;
use crate::error::Error;
use crate::ignore::Matcher;
use crate::source_tree::Found;

/// What happens where a directory meets something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clash {
    /// COPY: an error, as in BuildKit.
    Refuse,
    /// Unpacked archives: the new one wins.
    Replace,
}

/// How files are put.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) owner: Option<Owner>,
    pub(super) mode: Option<Mode>,
    pub(super) exclude: Matcher,
    /// Time of directories that are made on the way.
    pub(super) epoch: u32,
    /// Hard links stay links. Not with several sources: a later one could replace the link's target.
    pub(super) keep_links: bool,
}

#[derive(Debug)]
pub(super) struct Copier {
    tree: Tree,
    layer: LayerBuilder,
    rules: Rules,
}

impl Copier {
    pub(super) fn new(tree: &Tree, rules: Rules) -> Self {
        Self { tree: tree.clone(), layer: LayerBuilder::new(Some(rules.epoch)), rules }
    }

    pub(super) fn finish(self) -> LayerBuilder {
        self.layer
    }

    /// Where a path of the image leads; what is missing stays as it is written.
    pub(super) fn resolve(&self, path: &Path) -> Result<PathBuf, Error> {
        Ok(self.tree.resolve(path, Follow::Yes)?)
    }

    pub(super) fn is_directory(&self, path: &Path) -> Result<bool, Error> {
        let node = self.tree.get(path, Follow::Yes)?;
        Ok(node.is_some_and(|node| node.kind.is_directory()))
    }

    /// Makes a directory and those above it that are missing.
    pub(super) fn make_dirs(&mut self, path: &Path) -> Result<(), Error> {
        let mut meta = Metadata { mtime: self.rules.epoch, ..Metadata::dir() };
        if let Some(owner) = self.rules.owner {
            (meta.uid, meta.gid) = (owner.uid, owner.gid);
        }
        for made in self.tree.make_dirs(path, &meta)? {
            check_name(&made)?;
            self.layer.put(&made, Node::directory(meta.clone()))?;
        }
        Ok(())
    }

    /// Puts one file, or a directory's entries, at `target`, whose parents are made.
    ///
    /// `from` is where the files are in their source, which `--exclude` patterns can name.
    pub(super) fn put(
        &mut self,
        found: Vec<Found>,
        from: &Path,
        target: &Path,
        clash: Clash,
    ) -> Result<(), Error> {
        if let Some(parent) = target.parent() {
            self.make_dirs(parent)?;
        }
        let mut first_names = BTreeMap::new();
        for found in found {
            let is_root = found.relative.as_os_str().is_empty();
            if is_excluded(&self.rules.exclude, &found.relative, from) {
                continue;
            }
            let path = if is_root { target.to_owned() } else { target.join(&found.relative) };
            // A directory that stands already keeps its owner and mode if only its entries are copied.
            if is_root && found.node.kind.is_directory() && self.is_directory(&path)? {
                continue;
            }
            if !is_root && self.is_below_excluded(&path)? {
                self.make_dirs(path.parent().unwrap_or(Path::new("/")))?;
            }
            let first = found.link_of.as_ref().and_then(|first| first_names.get(first));
            self.put_one(&found, &path, first, clash)?;
            first_names.insert(found.relative, path);
        }
        Ok(())
    }

    /// Only possible where a pattern keeps something in an excluded directory.
    fn is_below_excluded(&self, path: &Path) -> Result<bool, Error> {
        let Some(parent) = path.parent() else { return Ok(false) };
        Ok(self.tree.get(parent, Follow::No)?.is_none())
    }

    fn put_one(
        &mut self,
        found: &Found,
        path: &Path,
        first: Option<&PathBuf>,
        clash: Clash,
    ) -> Result<(), Error> {
        check_name(path)?;
        self.check_clash(&found.node, path, clash)?;
        match first.filter(|_| self.rules.keep_links) {
            Some(first) => {
                self.tree.hard_link(first, path)?;
                self.layer.hard_link(first, path)?;
            }
            None => {
                let node = self.adapted(&found.node);
                self.tree.insert(path, node.clone())?;
                self.layer.put(path, node)?;
            }
        }
        Ok(())
    }

    fn check_clash(&mut self, new: &Node, path: &Path, clash: Clash) -> Result<(), Error> {
        let Some(existing) = self.tree.get(path, Follow::No)? else { return Ok(()) };
        let both = (new.kind.is_directory(), existing.kind.is_directory());
        if matches!(both, (true, true) | (false, false)) {
            return Ok(());
        }
        if clash == Clash::Replace {
            self.tree.remove(path)?;
            return Ok(());
        }
        let (new, existing) = (noun(&new.kind), noun(&existing.kind));
        Err(ExecError::Conflict { path: path.to_owned(), new, existing }.into())
    }

    fn adapted(&self, node: &Node) -> Node {
        let mut node = node.clone();
        if let Some(owner) = self.rules.owner {
            (node.meta.uid, node.meta.gid) = (owner.uid, owner.gid);
        }
        if let Some(mode) = self.rules.mode.as_ref().filter(|_| !is_symlink(&node)) {
            node.meta.mode = mode.apply(node.meta.mode, node.kind.is_directory());
        }
        node
    }
}

/// Whether `--exclude` leaves out `relative`, which is in `from`.
pub(super) fn is_excluded(exclude: &Matcher, relative: &Path, from: &Path) -> bool {
    let inside = !relative.as_os_str().is_empty() && exclude.excludes(relative);
    let whole = from.join(relative);
    inside || (!whole.as_os_str().is_empty() && exclude.excludes(&whole))
}

fn is_symlink(node: &Node) -> bool {
    matches!(node.kind, Kind::Symlink(_))
}

fn noun(kind: &Kind) -> &'static str {
    match kind {
        Kind::Directory => "a directory",
        Kind::File(_) => "a file",
        Kind::Symlink(_) => "a symbolic link",
        Kind::Special(_) => "a special file",
    }
}

/// In a layer such a name would delete another file.
fn check_name(path: &Path) -> Result<(), ExecError> {
    let name = path.file_name().unwrap_or_default();
    if name.as_encoded_bytes().starts_with(b".wh.") {
        return Err(ExecError::ReservedName { path: path.to_owned() });
    }
    Ok(())
}
