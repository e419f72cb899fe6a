//! Debian's docker-registry on this machine, and a user who has nothing but it.

mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lithify_image::{ArtifactInfo, Descriptor, Reference, Store};

pub(crate) use server::{Door, Server, has};

/// A user with a home of their own.
pub(crate) struct User {
    home: tempfile::TempDir,
}

impl User {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        self.home().join("cache/lithify/store")
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.store_path()).unwrap()
    }

    pub(crate) fn lithify(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lithify"));
        command
            .args(words)
            .current_dir(self.home())
            .env("HOME", self.home())
            .env("XDG_CACHE_HOME", self.home().join("cache"))
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("DOCKER_CONFIG")
            .env_remove("REGISTRY_AUTH_FILE")
            .stdin(Stdio::null());
        command
    }

    /// What it prints as its result.
    #[track_caller]
    pub(crate) fn succeeds(&self, words: &[&str]) -> String {
        let output = self.lithify(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it prints as its error, all `parts` of it.
    #[track_caller]
    pub(crate) fn fails(&self, words: &[&str], parts: &[&str]) {
        let output = self.lithify(words).output().unwrap();
        let message = text(&output);
        assert_eq!(output.status.code(), Some(125), "{words:?}: {message}");
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }

    /// Gives the store an artifact of this module.
    pub(crate) fn add(&self, name: &str, module: &[u8]) -> Descriptor {
        let store = self.store();
        let (digest, len) = store.put(module, None).unwrap();
        let info = ArtifactInfo { title: "app.wasm".to_owned(), ..ArtifactInfo::default() };
        let descriptor = store.put_artifact(digest, len, &info).unwrap();
        store.set_name(&name.parse::<Reference>().unwrap(), &descriptor).unwrap();
        descriptor
    }

    /// Fails unless every blob of the store is what its name says.
    #[track_caller]
    pub(crate) fn check_store(&self) {
        for entry in std::fs::read_dir(self.store_path().join("blobs/sha256")).unwrap() {
            let path = entry.unwrap().path();
            let digest = lithify_image::Digest::of(&std::fs::read(&path).unwrap());
            assert_eq!(path.file_name().unwrap().to_str(), Some(&*digest.hex()), "a wrong blob");
        }
    }
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A program that ends with `code`.
pub(crate) fn module(code: u32) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start") (call $exit (i32.const {code}))))"#
    ))
    .unwrap()
}
