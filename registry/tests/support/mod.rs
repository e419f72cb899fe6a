//! A registry of our own that misbehaves on demand, and what the tests share.

#![allow(dead_code, unused_imports, reason = "each test program uses its part")]

mod fake;
mod http;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lithify_image::{Descriptor, Digest, Manifest, OCI_CONFIG, Platform, Reference, Store};
use lithify_registry::{Credentials, Options, Outcome, Progress, Registry, RetryPolicy, Timeouts};

pub(crate) use fake::{Access, Fake, Fault};
pub(crate) use http::{Request, Response};

/// Hears everything.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) outcomes: Mutex<Vec<(Digest, Outcome)>>,
    pub(crate) retries: Mutex<Vec<(String, Duration)>>,
}

impl Heard {
    pub(crate) fn outcome_of(&self, blob: &Digest) -> Option<Outcome> {
        let outcomes = self.outcomes.lock().unwrap();
        outcomes.iter().find(|(digest, _)| digest == blob).map(|(_, outcome)| *outcome)
    }
}

impl Progress for Heard {
    fn end(&self, blob: &Digest, outcome: Outcome) {
        self.outcomes.lock().unwrap().push((*blob, outcome));
    }

    fn retrying(&self, why: &str, wait: Duration) {
        self.retries.lock().unwrap().push((why.to_owned(), wait));
    }
}

/// Quick retries and no credentials of whoever runs the tests.
pub(crate) fn options() -> Options {
    Options {
        plain_http: true,
        certs_dirs: Vec::new(),
        timeouts: Timeouts { connect: Duration::from_secs(5), stall: Duration::from_secs(30) },
        retry: RetryPolicy {
            attempts: 4,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(5),
        },
        credentials: Credentials::Anonymous,
        ..Options::default()
    }
}

/// A store in a folder that goes with it.
pub(crate) struct TestStore {
    folder: tempfile::TempDir,
    pub(crate) store: Store,
}

impl std::ops::Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl TestStore {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        Self { folder, store }
    }

    /// Fails unless every blob is what its name says and nothing else is left over.
    pub(crate) fn check(&self) -> usize {
        let blobs: Vec<_> = walk(&self.folder.path().join("blobs/sha256"));
        for path in &blobs {
            let name = path.file_name().unwrap().to_str().unwrap();
            let digest = Digest::of(&std::fs::read(path).unwrap());
            assert_eq!(digest.hex(), name, "a wrong blob");
        }
        assert_eq!(walk(self.store.temporary()), Vec::<std::path::PathBuf>::new());
        blobs.len()
    }

    /// An image of `layers` for linux/riscv64, ready to be pushed.
    pub(crate) fn image(&self, layers: &[&[u8]]) -> (Descriptor, Manifest) {
        self.image_for(&Platform::linux("riscv64"), layers)
    }

    pub(crate) fn image_for(
        &self,
        platform: &Platform,
        layers: &[&[u8]],
    ) -> (Descriptor, Manifest) {
        const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
        let diff_ids: Vec<String> = layers.iter().map(|l| Digest::of(l).to_string()).collect();
        let config = serde_json::json!({
            "architecture": platform.architecture, "os": platform.os, "variant": platform.variant,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = config.to_string().replace(",\"variant\":null", "");
        self.store.put(config.as_bytes(), None).unwrap();
        let descriptors = layers.iter().map(|layer| {
            self.store.put(*layer, None).unwrap();
            Descriptor::new(LAYER, layer)
        });
        let manifest =
            Manifest::new(Descriptor::new(OCI_CONFIG, config.as_bytes()), descriptors.collect());
        let json = manifest.to_json();
        self.store.put(&json[..], None).unwrap();
        (Descriptor::new(lithify_image::OCI_MANIFEST, &json), manifest)
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Bytes without a pattern that a shift or a repetition would not disturb.
pub(crate) fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(len);
    out
}

pub(crate) fn connect(fake: &Fake, options: &Options) -> (Registry, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let registry = Registry::connect(&fake.name(), options, heard.clone()).unwrap();
    (registry, heard)
}

pub(crate) fn reference(fake: &Fake, rest: &str) -> Reference {
    format!("{}/{rest}", fake.name()).parse().unwrap()
}

pub(crate) fn riscv() -> [Platform; 1] {
    [Platform::linux("riscv64")]
}
