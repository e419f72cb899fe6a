//! From the upper directory to a layer, entry by entry.

use super::Baseline;
use super::sparse::Sparse;
use super::tar::{Kind, Member, Writer};
use super::tree::{Entry, Tree, not_for_layers, show};
use crate::error::{Context, Error};
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

/// OCI image specification, `layer.md`, "Whiteouts".
const WHITEOUT_PREFIX: &[u8] = b".wh.";
const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";

const PERMISSIONS: u32 = 0o7777;

/// A depth-first walk, parents first, names sorted bytewise.
pub(super) struct Walk<'a, W: Write> {
    upper: &'a Tree,
    lower: &'a Tree,
    baseline: &'a Baseline,
    tar: Writer<W>,
    /// First path of each file with several names, by inode number.
    names: BTreeMap<u64, Vec<u8>>,
    /// Unchanged directories on the way to the current entry: written if something in them is.
    owed: Vec<(Vec<u8>, Entry)>,
}

/// An entry to visit.
struct Place {
    path: Vec<u8>,
    /// Its directory shows that of the image as well.
    is_merged: bool,
    /// A directory above hides that of the image, with all that init replaced in there.
    is_replaced: bool,
}

impl<'a, W: Write> Walk<'a, W> {
    pub(super) fn new(upper: &'a Tree, lower: &'a Tree, baseline: &'a Baseline, to: W) -> Self {
        let (names, owed) = (BTreeMap::new(), Vec::new());
        Self { upper, lower, baseline, tar: Writer::new(to), names, owed }
    }

    /// Writes the whole layer.
    pub(super) fn run(mut self) -> Result<(), Error> {
        let mut pending = vec![Place { path: Vec::new(), is_merged: true, is_replaced: false }];
        while let Some(place) = pending.pop() {
            check_name(&place.path)?;
            self.owed.retain(|(directory, _)| is_inside(&place.path, directory));
            let entry = self.upper.entry(&place.path)?;
            if entry.is_directory() {
                pending.extend(self.directory(place, entry)?.into_iter().rev());
            } else {
                self.file(&place, &entry)?;
            }
        }
        self.tar.finish().during(|| "write to the export port".to_owned())
    }

    /// Writes a directory if it changed; its entries, which come next.
    fn directory(&mut self, place: Place, entry: Entry) -> Result<Vec<Place>, Error> {
        let Place { path, is_merged, is_replaced } = &place;
        let image = if *is_merged { self.lower.directory(path)? } else { None };
        let replaces = entry.opaque && image.is_some();
        let is_merged = image.is_some() && !replaces;
        let is_replaced = *is_replaced || replaces;
        let is_as_before = match &image {
            _ if replaces => false,
            Some(image) if self.is_as_in_image(path, &entry, image)? => true,
            _ => self.is_as_init_left_it(&place, &entry)?,
        };
        let places = self.upper.children(path)?.into_iter();
        let places = places.map(|path| Place { path, is_merged, is_replaced }).collect();
        match is_as_before {
            true if path.is_empty() => {}
            true => self.owed.push((place.path, entry)),
            false => self.changed_directory(path, &entry, replaces)?,
        }
        Ok(places)
    }

    fn changed_directory(
        &mut self,
        path: &[u8],
        entry: &Entry,
        replaces: bool,
    ) -> Result<(), Error> {
        self.write_owed()?;
        self.write_directory(path, entry)?;
        if replaces {
            self.write(&Member { path: &join(path, OPAQUE_MARKER), ..Member::default() })?;
        }
        Ok(())
    }

    fn is_as_in_image(&self, path: &[u8], entry: &Entry, image: &Entry) -> Result<bool, Error> {
        Ok(self.upper.state(path, entry)? == self.lower.state(path, image)?)
    }

    fn is_as_init_left_it(&self, place: &Place, entry: &Entry) -> Result<bool, Error> {
        let Some(before) = self.baseline.get(&place.path).filter(|_| !place.is_replaced) else {
            return Ok(false);
        };
        Ok(self.upper.state(&place.path, entry)?.as_ref() == Some(before))
    }

    /// Writes anything but a directory, if it changed.
    fn file(&mut self, place: &Place, entry: &Entry) -> Result<(), Error> {
        let is_socket = entry.file_type() == FileType::Socket;
        if is_socket || self.is_as_init_left_it(place, entry)? {
            return Ok(());
        }
        self.write_owed()?;
        let path = &place.path;
        if entry.is_whiteout() {
            let (directory, name) = split(path);
            let hidden = join(directory, &[WHITEOUT_PREFIX, name].concat());
            return self.write(&Member { path: &hidden, ..Member::default() });
        }
        let first = match entry.meta.nlink() {
            1 => None,
            _ => self.names.get(&entry.meta.ino()).cloned(),
        };
        if let Some(target) = first {
            let link = Member { kind: Kind::HardLink, target: &target, ..member(path, entry) };
            return self.write(&Member { attributes: &[], ..link });
        }
        if entry.meta.nlink() > 1 {
            self.names.insert(entry.meta.ino(), path.clone());
        }
        self.write_first_name(path, entry)
    }

    fn write_first_name(&mut self, path: &[u8], entry: &Entry) -> Result<(), Error> {
        let target = self.upper.target(path, entry)?;
        let (device, size) = (entry.meta.rdev(), entry.meta.len());
        let device = (rustix::fs::major(device), rustix::fs::minor(device));
        let member = Member { target: &target, ..member(path, entry) };
        match entry.file_type() {
            FileType::Symlink => self.write(&Member { kind: Kind::Symlink, ..member }),
            FileType::Fifo => self.write(&Member { kind: Kind::Fifo, ..member }),
            FileType::CharacterDevice => {
                self.write(&Member { kind: Kind::CharacterDevice, device, ..member })
            }
            FileType::BlockDevice => {
                self.write(&Member { kind: Kind::BlockDevice, device, ..member })
            }
            _ => self.write_file(&Member { kind: Kind::File, size, ..member }),
        }
    }

    fn write_file(&mut self, member: &Member<'_>) -> Result<(), Error> {
        let action = || format!("write {} to the port", show(member.path));
        let file = self.upper.open_file(member.path)?;
        match Sparse::of(&file, member.size).during(action)? {
            Some(sparse) => self.tar.sparse_file(member, file, &sparse).during(action),
            None => {
                self.write(member)?;
                self.tar.data(file, member.size).during(action)
            }
        }
    }

    fn write_owed(&mut self) -> Result<(), Error> {
        std::mem::take(&mut self.owed)
            .iter()
            .try_for_each(|(path, entry)| self.write_directory(path, entry))
    }

    fn write_directory(&mut self, path: &[u8], entry: &Entry) -> Result<(), Error> {
        let path = if path.is_empty() { b"./".to_vec() } else { join(path, b"") };
        self.write(&Member { kind: Kind::Directory, ..member(&path, entry) })
    }

    fn write(&mut self, member: &Member<'_>) -> Result<(), Error> {
        self.tar.member(member).during(|| format!("write {} to the port", show(member.path)))
    }
}

/// What every type of file has.
fn member<'a>(path: &'a [u8], entry: &'a Entry) -> Member<'a> {
    Member {
        path,
        mode: entry.meta.mode() & PERMISSIONS,
        uid: entry.meta.uid(),
        gid: entry.meta.gid(),
        mtime: entry.meta.mtime(),
        attributes: &entry.attributes,
        ..Member::default()
    }
}

/// A layer's readers would take such a name for a whiteout.
fn check_name(path: &[u8]) -> Result<(), Error> {
    match split(path).1.starts_with(WHITEOUT_PREFIX) {
        true => Err(not_for_layers(path, "names that begin with \".wh.\" delete files")),
        false => Ok(()),
    }
}

/// Directory and name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        [] => name.to_vec(),
        _ => [directory, b"/", name].concat(),
    }
}

fn is_inside(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.first() == Some(&b'/'))
}
