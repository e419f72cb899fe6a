//! A context, a store and readable listings of what a build made.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use lithify_builder::{Built, DockerfileInput, Error, Options, build};
use lithify_image::Store;
use lithify_rootfs::{Kind, Tree};

/// A build context and a store that vanish together.
pub(crate) struct Fixture {
    dir: tempfile::TempDir,
    pub(crate) options: Options,
    pub(crate) store: Store,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let context = dir.path().join("context");
        fs::create_dir(&context).unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        Self { options: Options::new(context), store, dir }
    }

    /// A context with these files; a name that ends with `/` is a directory.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let fixture = Self::new();
        for (path, text) in files {
            fixture.write(path, text);
        }
        fixture
    }

    pub(crate) fn context(&self) -> &Path {
        &self.options.context
    }

    /// A path outside the context.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let full = self.context().join(path);
        if path.ends_with('/') {
            fs::create_dir_all(full).unwrap();
            return;
        }
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, text).unwrap();
        self.chmod(path, 0o644);
    }

    pub(crate) fn chmod(&self, path: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(self.context().join(path), permissions).unwrap();
    }

    pub(crate) fn symlink(&self, target: &str, path: &str) {
        std::os::unix::fs::symlink(target, self.context().join(path)).unwrap();
    }

    pub(crate) fn try_build(&mut self, dockerfile: &str) -> Result<Built, Error> {
        self.options.dockerfile = DockerfileInput::Bytes(dockerfile.into());
        build(&self.options, &self.store, &())
    }

    pub(crate) fn build(&mut self, dockerfile: &str) -> Built {
        self.try_build(dockerfile).unwrap_or_else(|error| panic!("{}", error.render()))
    }

    /// The message of a build that must fail.
    pub(crate) fn error(&mut self, dockerfile: &str) -> String {
        self.try_build(dockerfile).map(|_| "nothing failed").unwrap_err().to_string()
    }

    /// The files of a build, one line each.
    pub(crate) fn list(&mut self, dockerfile: &str) -> Vec<String> {
        list(self.build(dockerfile).tree().unwrap())
    }
}

/// One line for each node but the root: mode, owner, path and what it is.
pub(crate) fn list(tree: &Tree) -> Vec<String> {
    let entries = tree.walk().skip(1);
    entries
        .map(|entry| {
            let meta = &entry.node.meta;
            let what = match &entry.node.kind {
                _ if entry.link_of.is_some() => format!(" == {}", entry.link_of.unwrap().display()),
                Kind::Directory => "/".to_owned(),
                Kind::File(content) => {
                    let mut text = String::new();
                    content.reader().read_to_string(&mut text).unwrap();
                    format!(" {text:?}")
                }
                Kind::Symlink(target) => format!(" -> {}", target.display()),
                Kind::Special(special) => format!(" {special:?}"),
            };
            format!("{:o} {}:{} {}{what}", meta.mode, meta.uid, meta.gid, entry.path.display())
        })
        .collect()
}
