//! OCI image layouts written by hand, with what no ordinary tool writes.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// POSIX pax(1): ustar's unit of everything.
const BLOCK: usize = 512;

/// One member of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entry<'a> {
    /// Path and contents.
    File(&'a str, &'a str),
    /// Path and target.
    Symlink(&'a str, &'a str),
    /// Path and target.
    HardLink(&'a str, &'a str),
}

/// A layout with one image.
#[derive(Debug)]
pub(crate) struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// Writes a layout with one layer of `entries` into `folder`.
    pub(crate) fn write(folder: PathBuf, architecture: &str, entries: &[Entry<'_>]) -> Self {
        let layout = Self { folder };
        std::fs::create_dir_all(layout.blobs()).expect("a folder for blobs");
        let layer = tar(entries);
        let diff_id = digest(&layer);
        let platform = json!({ "architecture": architecture, "os": "linux" });
        let mut config = platform.clone();
        config["rootfs"] = json!({ "type": "layers", "diff_ids": [diff_id] });
        let manifest = json!({
            "schemaVersion": 2,
            "config": layout.add("config.v1+json", config.to_string().as_bytes()),
            "layers": [layout.add("layer.v1.tar", &layer)],
        });
        let mut manifest = layout.add("manifest.v1+json", manifest.to_string().as_bytes());
        manifest["platform"] = platform;
        let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
        layout.put("index.json", index.to_string().as_bytes());
        layout.put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        layout
    }

    /// The value of `--build-context` that gives the image `name`.
    pub(crate) fn context(&self, name: &str) -> String {
        format!("{name}=oci-layout://{}", self.folder.display())
    }

    /// Where the blobs are.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs/sha256")
    }

    /// Adds a blob and returns its descriptor.
    fn add(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        let name = digest.trim_start_matches("sha256:");
        self.put(Path::new("blobs/sha256").join(name), bytes);
        json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": digest,
            "size": bytes.len(),
        })
    }

    fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        std::fs::write(self.folder.join(path), bytes).expect("a file of the layout");
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        match *entry {
            Entry::File(path, data) => {
                tar.extend(header(path, b'0', "", data.len()));
                tar.extend(data.as_bytes());
                tar.resize(tar.len().next_multiple_of(BLOCK), 0);
            }
            Entry::HardLink(path, target) => tar.extend(header(path, b'1', target, 0)),
            Entry::Symlink(path, target) => tar.extend(header(path, b'2', target, 0)),
        }
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    tar
}

fn header(path: &str, kind: u8, target: &str, size: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, b"0000755\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    // The checksum counts its own field as spaces.
    put(148, b"        ");
    put(156, &[kind]);
    put(157, target.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
