//! Support for this crate's tests: tars from tables, trees as text.

use std::io::Write;
use std::path::Path;

use lithify_image::Blob;
use tar::{EntryType, Header};

use crate::{DeviceNumber, Error, Kind, Special, Tree};

/// A tar entry in a table. Names are taken as they are, also hostile ones.
pub(crate) enum E {
    Dir(&'static str),
    DirMode(&'static str, u32),
    File(&'static str, &'static str),
    Link(&'static str, &'static str),
    Sym(&'static str, &'static str),
    Char(&'static str, u32, u32),
    Fifo(&'static str),
}

pub(crate) fn blob(bytes: &[u8]) -> Blob {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Blob::whole(file, bytes.len() as u64, "layer".into())
}

pub(crate) fn tar(entries: &[E]) -> Blob {
    blob(&tar_bytes(entries))
}

pub(crate) fn tar_bytes(entries: &[E]) -> Vec<u8> {
    entries.iter().flat_map(entry).collect()
}

fn entry(entry: &E) -> Vec<u8> {
    let (kind, path, mode, link, data) = match entry {
        E::Dir(path) => (EntryType::Directory, path, 0o755, "", ""),
        E::DirMode(path, mode) => (EntryType::Directory, path, *mode, "", ""),
        E::File(path, data) => (EntryType::Regular, path, 0o644, "", *data),
        E::Link(path, target) => (EntryType::Link, path, 0o644, *target, ""),
        E::Sym(path, target) => (EntryType::Symlink, path, 0o777, *target, ""),
        E::Char(path, ..) => (EntryType::Char, path, 0o600, "", ""),
        E::Fifo(path) => (EntryType::Fifo, path, 0o600, "", ""),
    };
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(data.len() as u64);
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    if let E::Char(_, major, minor) = entry {
        header.set_device_major(*major).unwrap();
        header.set_device_minor(*minor).unwrap();
    }
    header.set_cksum();
    let mut bytes = [header.as_bytes(), data.as_bytes()].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(crate) fn merged(layers: &[&[E]]) -> Result<Tree, Error> {
    let mut tree = Tree::new();
    layers.iter().try_for_each(|layer| tree.apply_layer(&tar(layer)))?;
    Ok(tree)
}

/// The tree in one line: `dir/`, `file=content`, `link->target`, `link==first name`.
pub(crate) fn listing(tree: &Tree) -> String {
    let entries = tree.walk().filter(|entry| entry.path != Path::new("/"));
    let line = |entry: crate::Entry<'_>| {
        let path = entry.path.strip_prefix("/").unwrap().display().to_string();
        if let Some(first) = entry.link_of {
            return format!("{path}=={}", first.strip_prefix("/").unwrap().display());
        }
        match &entry.node.kind {
            Kind::Directory => format!("{path}/"),
            Kind::File(_) => {
                let bytes = tree.read_file(&entry.path, 1 << 20).unwrap().unwrap();
                format!("{path}={}", String::from_utf8_lossy(&bytes))
            }
            Kind::Symlink(target) => format!("{path}->{}", target.display()),
            Kind::Special(Special::CharDevice(DeviceNumber { major, minor })) => {
                format!("{path} c{major}:{minor}")
            }
            Kind::Special(special) => format!("{path} {special:?}"),
        }
    };
    entries.map(line).collect::<Vec<_>>().join(" ")
}
