//! Tars for targets that generate layers instead of bytes.

use std::fs::File;
use std::io::Write;

use lithify_image::Blob;
use rustix::fs::{MemfdFlags, memfd_create};
use tar::{EntryType, Header};

/// One member of a layer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its path, relative.
    pub path: String,
    /// What is there.
    pub what: What,
}

/// What a member is.
#[derive(Clone, Debug)]
pub enum What {
    /// A directory.
    Directory,
    /// A file with one byte.
    File(u8),
    /// A further name of the path.
    HardLink(String),
}

/// `bytes` as a blob in memory.
pub fn blob(bytes: &[u8]) -> Blob {
    let mut file =
        File::from(memfd_create("layer", MemfdFlags::CLOEXEC).expect("a file in memory"));
    file.write_all(bytes).expect("memory for a small file");
    Blob::whole(file, bytes.len() as u64, "layer".into())
}

/// The layer of `entries`.
pub fn tar(entries: &[Entry]) -> Blob {
    blob(&entries.iter().flat_map(member).collect::<Vec<u8>>())
}

fn member(entry: &Entry) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_mode(0o755);
    header.as_old_mut().name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
    let mut data = Vec::new();
    match &entry.what {
        What::Directory => header.set_entry_type(EntryType::Directory),
        What::File(byte) => {
            data = vec![*byte];
            data.resize(512, 0);
            header.set_entry_type(EntryType::Regular);
            header.set_size(1);
        }
        What::HardLink(target) => {
            header.set_entry_type(EntryType::Link);
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(data);
    bytes
}
