//! `RUN --mount`: from what the Dockerfile says to what the executor mounts.
//!
//! First a mount is planned: its variables are expanded and its files are named, which is all that
//! the cache key needs. Only if the step has to be executed is it opened.

mod ssh;

use std::path::{Path, PathBuf};

use lithify_image::Blob;
use lithify_rootfs::{Metadata, Node, Tree};

use super::cache_mount::{CacheMount, Locks};
use super::job::{JobMount, JobMountKind, JobNetwork};
use crate::cache::Key;
use crate::error::{Error, Hint};
use crate::exec::transfer::{Item, Source, absolute, clean, missing};
use crate::exec::{Applier, Current, ExecError, StageState};
use crate::instruction::{Mount, MountKind, Run, Sharing, parse_mount};
use crate::source_tree::{Found, SourceTree};

/// Where secrets are that say no place.
const SECRETS: &str = "/run/secrets";

/// Permission bits of secrets that say none.
const SECRET_MODE: u32 = 0o400;

/// The name of a mounted file in the tree made for it.
const FILE: &str = "file";

/// Why a mount cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MountProblem {
    /// A required secret that the build was not given.
    #[error("the secret `{0}` is required and was not given; pass --secret id={0},src=FILE")]
    SecretMissing(String),
    /// A secret that cannot be read.
    #[error("the secret `{id}`: {problem}")]
    Secret {
        /// Its name.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// A required ssh agent that the build was not given.
    #[error("the ssh agent `{id}` is required and was not given; pass --ssh {id}=SOCKET{hint}")]
    AgentMissing {
        /// Its name.
        id: String,
        /// One that was given.
        hint: Hint,
    },
    /// An ssh agent that cannot be reached.
    #[error("the ssh agent `{id}`: {problem}")]
    Agent {
        /// Its name.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// An ssh agent for a step without a network.
    #[error("an ssh agent is reached over the step's network, which --network=none takes away")]
    AgentWithoutNetwork,
    /// More ssh agents than a machine forwards.
    #[error("a step has more than {limit} ssh mounts")]
    TooManyAgents {
        /// The cap.
        limit: usize,
    },
    /// A source where there is nothing to take it from.
    #[error("`source` of a cache needs a `from`")]
    SourceWithoutFrom,
    /// A target that is the root.
    #[error("the target is `/` after expanding its variables")]
    TargetIsRoot,
}

/// A step's mounts, their variables expanded.
pub(super) struct Planned<'a>(Vec<PlannedMount<'a>>);

struct PlannedMount<'a> {
    mount: Mount,
    target: String,
    files: Option<Chosen<'a>>,
}

/// Files that a mount shows.
struct Chosen<'a> {
    source: Source<'a>,
    place: String,
    /// As written.
    path: String,
}

/// A step's mounts, ready for the executor.
#[derive(Default)]
pub(super) struct Opened {
    pub(super) mounts: Vec<JobMount>,
    /// Variables that hold secrets or name an agent's socket, `NAME=VALUE`.
    pub(super) env: Vec<String>,
    caches: Vec<CacheMount>,
    _locks: Locks,
}

impl Applier<'_> {
    pub(super) fn planned_mounts(
        &self,
        state: &StageState,
        run: &Run,
        current: Current<'_>,
    ) -> Result<Planned<'_>, Error> {
        let planned = run.mounts.iter().map(|mount| self.planned_mount(state, mount, current));
        let mut planned: Vec<PlannedMount<'_>> = planned.collect::<Result<_, _>>()?;
        ssh::place(&mut planned)?;
        Ok(Planned(planned))
    }

    fn planned_mount(
        &self,
        state: &StageState,
        mount: &Mount,
        current: Current<'_>,
    ) -> Result<PlannedMount<'_>, Error> {
        let mount = match mount.text.contains('$') {
            true => parse_mount(&self.expand(state, &mount.text, current.step)?)?,
            false => mount.clone(),
        };
        let wrong = |problem| ExecError::Mount { mount: mount.text.clone(), problem };
        let written = mount.target.clone().unwrap_or_else(|| default_target(&mount));
        let target = absolute(&state.config.config.working_dir, &written);
        if target == Path::new("/") && !written.is_empty() {
            return Err(wrong(MountProblem::TargetIsRoot).into());
        }
        let has_files = mount.kind == MountKind::Bind || mount.from.is_some();
        if mount.kind == MountKind::Cache && mount.source.is_some() && mount.from.is_none() {
            return Err(wrong(MountProblem::SourceWithoutFrom).into());
        }
        let files = has_files.then(|| self.chosen(&mount, current)).transpose()?;
        let target = target.to_string_lossy().into_owned();
        Ok(PlannedMount { mount, target, files })
    }

    fn chosen(&self, mount: &Mount, current: Current<'_>) -> Result<Chosen<'_>, Error> {
        let origin = mount.from.as_deref().map(|from| self.plan.origin(from)).transpose()?;
        let source = self.source(current.stage, origin.as_ref())?;
        let place = self.place(origin.as_ref());
        Ok(Chosen { source, place, path: mount.source.clone().unwrap_or_else(|| "/".to_owned()) })
    }

    /// Adds what decides a step's result: neither secrets nor what a cache holds do.
    pub(super) fn add_mounts(&self, key: Key, planned: &Planned<'_>) -> Result<Key, Error> {
        planned.0.iter().try_fold(key.number(planned.0.len() as u64), |key, planned| {
            let mount = &planned.mount;
            let key = key
                .text(kind_name(mount.kind))
                .text(&planned.target)
                .optional(mount.id.as_ref())
                .optional(mount.env.as_ref())
                .switch(mount.read_only == Some(false))
                .number(mount.size.unwrap_or(u64::MAX))
                .number(mount.mode.map_or(u64::MAX, u64::from))
                .number(mount.uid.unwrap_or_default().into())
                .number(mount.gid.unwrap_or_default().into());
            match &planned.files {
                Some(files) if mount.kind == MountKind::Bind => self.add_files(key, files),
                _ => Ok(key),
            }
        })
    }

    fn add_files(&self, key: Key, chosen: &Chosen<'_>) -> Result<Key, Error> {
        if let Some(chain) = chosen.source.chain() {
            return Ok(key.digest(chain).text(&chosen.path));
        }
        let files = chosen.source.files()?;
        let (real, found) = chosen.found(files)?;
        let item = Item { named: PathBuf::new(), kept: PathBuf::new(), real, found };
        Ok(key.digest(&self.content_digest(files, &[item], &[])?))
    }

    /// Takes what the executor needs. Waits for caches that others have locked.
    pub(super) fn opened_mounts(
        &self,
        planned: &Planned<'_>,
        network: JobNetwork,
    ) -> Result<Opened, Error> {
        let locked = planned.caches().filter(|(_, mount)| mount.sharing == Some(Sharing::Locked));
        let locked = locked.map(|(id, _)| id).collect();
        let mut opened =
            Opened { _locks: Locks::take(self.store, &locked, &self.cancel)?, ..Opened::default() };
        for planned in &planned.0 {
            self.open(planned, network, &mut opened)?;
        }
        Ok(opened)
    }

    fn open(
        &self,
        planned: &PlannedMount<'_>,
        network: JobNetwork,
        to: &mut Opened,
    ) -> Result<(), Error> {
        let mount = &planned.mount;
        let kind = match (mount.kind, &planned.files) {
            (MountKind::Bind, Some(files)) => {
                let (tree, file) = files.tree()?;
                let is_writable = mount.read_only == Some(false);
                Some(JobMountKind::Bind { tree, file, is_writable })
            }
            (MountKind::Cache, files) => {
                let initial = || files.as_ref().map_or_else(|| empty(mount), Chosen::directory);
                let cache = CacheMount::open(self.store, &cache_id(planned), mount, initial)?;
                let tree = cache.tree()?;
                to.caches.push(cache);
                Some(JobMountKind::Cache { tree })
            }
            (MountKind::Tmpfs, _) => Some(JobMountKind::Tmpfs { size: mount.size }),
            (MountKind::Secret, _) => self.secret(planned, &mut to.env)?,
            (MountKind::Ssh, _) => self.agent(mount, network)?,
            (MountKind::Bind, _) => None,
        };
        let target = planned.target.clone();
        to.mounts.extend(kind.map(|kind| JobMount { target, kind }));
        Ok(())
    }

    /// A secret as a file, unless it is only a variable.
    fn secret(
        &self,
        planned: &PlannedMount<'_>,
        env: &mut Vec<String>,
    ) -> Result<Option<JobMountKind>, Error> {
        let mount = &planned.mount;
        let wrong = |problem| ExecError::Mount { mount: mount.text.clone(), problem };
        let id = secret_id(mount);
        let Some(secret) = self.options.secrets.get(&id) else {
            return match mount.required {
                true => Err(wrong(MountProblem::SecretMissing(id)).into()),
                false => Ok(None),
            };
        };
        let unreadable = |problem| wrong(MountProblem::Secret { id: id.clone(), problem });
        let content = secret.read().map_err(unreadable)?;
        if let Some(name) = &mount.env {
            let not_text = |_| unreadable("it is no text, as a variable's value has to be".into());
            let value = String::from_utf8(content.clone()).map_err(not_text)?;
            env.push(format!("{name}={value}"));
            if mount.target.is_none() {
                return Ok(None);
            }
        }
        let owner = (mount.uid.unwrap_or_default(), mount.gid.unwrap_or_default());
        Ok(Some(JobMountKind::File { content, mode: mount.mode.unwrap_or(SECRET_MODE), owner }))
    }
}

impl Planned<'_> {
    /// Where the step's first agent is, if it asks for one.
    pub(super) fn agent_target(&self) -> Option<&str> {
        let agent = self.0.iter().find(|planned| planned.mount.kind == MountKind::Ssh);
        agent.map(|planned| planned.target.as_str())
    }

    fn caches(&self) -> impl Iterator<Item = (String, &Mount)> {
        let caches = self.0.iter().filter(|planned| planned.mount.kind == MountKind::Cache);
        caches.map(|planned| (cache_id(planned), &planned.mount))
    }
}

impl Opened {
    /// Keeps what a step changed in its caches, in the order of its mounts.
    pub(super) fn keep_caches(self, changes: &[Blob]) -> Result<(), Error> {
        self.caches.iter().zip(changes).try_for_each(|(cache, changes)| cache.keep(changes))
    }
}

impl Chosen<'_> {
    /// Where the path leads, and what is there and below.
    fn found(&self, files: SourceTree<'_>) -> Result<(PathBuf, Vec<Found>), Error> {
        match files.resolve(&clean(Path::new(&self.path)))? {
            Some(real) => Ok((real.clone(), files.walk(&real)?)),
            None => Err(missing(files, &self.path, &self.place)?.into()),
        }
    }

    /// The files as a tree of their own; with the name of the one file, if it is one.
    fn tree(&self) -> Result<(Tree, Option<String>), Error> {
        let files = self.source.files()?;
        let (real, found) = self.found(files)?;
        if let (SourceTree::Tree(tree), true) = (files, real.as_os_str().is_empty()) {
            return Ok((tree.clone(), None));
        }
        let is_directory = found.first().is_none_or(|found| found.node.kind.is_directory());
        let root = Path::new("/");
        let mut tree = Tree::new();
        for found in found {
            let path = root.join(if is_directory { found.relative } else { FILE.into() });
            match found.link_of.filter(|_| is_directory) {
                Some(first) => tree.hard_link(&root.join(first), &path)?,
                None => tree.insert(&path, found.node)?,
            }
        }
        Ok((tree, (!is_directory).then(|| FILE.to_owned())))
    }

    /// The files, which must be a directory's.
    fn directory(&self) -> Result<Tree, Error> {
        match self.tree()? {
            (tree, None) => Ok(tree),
            (_, Some(_)) => {
                Err(lithify_rootfs::Error::NotADirectory(self.path.clone().into()).into())
            }
        }
    }
}

/// What a cache holds at first.
fn empty(mount: &Mount) -> Result<Tree, Error> {
    let mode = mount.mode.unwrap_or(0o755) as u16 & 0o7777;
    let (uid, gid) = (mount.uid.unwrap_or_default(), mount.gid.unwrap_or_default());
    let mut tree = Tree::new();
    let meta = Metadata { mode, uid, gid, ..Metadata::dir() };
    tree.insert(Path::new("/"), Node::directory(meta))?;
    Ok(tree)
}

/// A script that is a file for the time of its step.
pub(super) fn script(target: &str, text: &str) -> JobMount {
    let content = text.as_bytes().to_vec();
    let kind = JobMountKind::File { content, mode: 0o755, owner: (0, 0) };
    JobMount { target: target.to_owned(), kind }
}

fn cache_id(planned: &PlannedMount<'_>) -> String {
    planned.mount.id.clone().unwrap_or_else(|| planned.target.clone())
}

/// BuildKit's rules: `source` is another word for `id`, and the target's last name stands in.
fn secret_id(mount: &Mount) -> String {
    let given = mount.id.as_ref().or(mount.source.as_ref());
    let last = || last_name(mount.target.as_deref().unwrap_or_default());
    given.cloned().unwrap_or_else(last)
}

fn default_target(mount: &Mount) -> String {
    format!("{SECRETS}/{}", last_name(&secret_id(mount)))
}

fn last_name(path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn kind_name(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Bind => "bind",
        MountKind::Cache => "cache",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Secret => "secret",
        MountKind::Ssh => "ssh",
    }
}
