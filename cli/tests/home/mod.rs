//! A home for the command, with boot files that need no machine.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lithify_image::{Digest, Store};

/// A folder with a cache in it.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With boot files and a context `context` that has this Dockerfile.
    pub(crate) fn with(dockerfile: &str) -> Self {
        let home = Self::new();
        home.boot_files();
        home.write("context/Dockerfile", dockerfile);
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("cache/lithify/store")
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.path().join(path)).unwrap()
    }

    /// `lithify` with these words, in this home.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lithify"));
        command
            .args(words)
            .current_dir(self.path())
            .env("XDG_CACHE_HOME", self.path().join("cache"))
            .env("LITHIFY_BOOT_FILES", self.path().join("boot"))
            // The emulator of these boot files has nothing to count.
            .env("LITHIFY_TRANSLATE", "off")
            .env_remove("SOURCE_DATE_EPOCH");
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Standard output of a run that must succeed.
    pub(crate) fn succeeds(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Progress of a build that must succeed.
    pub(crate) fn builds(&self, words: &[&str]) -> String {
        let words = [&["build", "--progress=plain"], words].concat();
        let output = self.run(&words);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stderr)
    }

    /// A run that is given `input`.
    pub(crate) fn feed(&self, words: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who does not read all of it has failed, which the output tells.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// An emulator that fills a megabyte of its memory and does nothing else.
    pub(crate) fn boot_files(&self) {
        for name in ["kernel-riscv64", "initramfs-riscv64.cpio"] {
            self.write(&format!("boot/{name}"), "x");
        }
        let emulator = r#"(module (memory (export "memory") 32) (table 1 funcref)
            (func (export "wizer-initialize")
              (memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576)))
            (func (export "_start")))"#;
        self.write("boot/emulator-riscv64.wasm", wat::parse_str(emulator).unwrap());
    }

    /// Fails unless the store keeps its promises: each blob has the content that its name says,
    /// each record can be read and has all its blobs, each name leads to a manifest. Nobody may be
    /// using the store. Gives the number of blobs and records.
    pub(crate) fn check_store(&self) -> (usize, usize) {
        let root = self.store();
        let mut counts = (0, 0);
        for path in entries(&root.join("blobs/sha256")) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(Digest::of(&fs::read(&path).unwrap()).hex(), name);
            counts.0 += 1;
        }
        for path in entries(&root.join("records")).iter().flat_map(|kind| entries(kind)) {
            let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            for digest in json["blobs"].as_array().unwrap() {
                let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
                assert!(root.join("blobs/sha256").join(hex).is_file(), "{}", path.display());
            }
            counts.1 += 1;
        }
        let store = Store::open(&root).unwrap();
        for named in store.names().unwrap() {
            let artifact = store.artifact(&named.descriptor).unwrap().unwrap();
            store.get_reading_all(&artifact.module.digest).unwrap();
        }
        assert!(entries(&root.join("tmp")).is_empty(), "what the dead leave is removed");
        counts
    }
}

/// What is in a folder; nothing if it does not exist.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
