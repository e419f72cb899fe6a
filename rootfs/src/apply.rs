//! Applying a layer to a tree (OCI image-spec `layer.md`).
//!
//! Two passes over the layer's headers: first all whiteouts, against the lower layers only, then
//! all entries in order. So a whiteout never hides what its own layer adds, wherever it stands.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use lithify_image::{Blob, Layer, Store, TarEntries, TarEntry, TarKind};

use crate::limits::{MAX_NAME_BYTES, MAX_PATH_BYTES};
use crate::node::check_len;
use crate::{Addition, Error, Follow, Tree};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Names that AUFS kept for itself and that old layers still contain.
const AUFS: &[u8] = b".wh..wh.";

/// What a name means in a layer.
enum Marker {
    /// An entry like any other.
    None,
    /// The path that a whiteout hides.
    Whiteout(PathBuf),
    /// The directory whose lower entries are hidden.
    Opaque(PathBuf),
    /// Left over from AUFS: ignored, as every engine does.
    Aufs,
}

impl Tree {
    /// Merges `layers`, lowest first. Compressed ones are expanded into `store`.
    pub fn from_layers(layers: &[Layer], store: &Store) -> Result<Self, Error> {
        let mut tree = Self::new();
        for layer in layers {
            tree.apply_layer(&store.stage_tar(layer)?)?;
        }
        Ok(tree)
    }

    /// Applies the layer with the uncompressed tar `layer`, which must be verified. Files keep
    /// referring to it. After an error the tree is half changed and must not be used.
    pub fn apply_layer(&mut self, layer: &Blob) -> Result<(), Error> {
        self.apply_whiteouts(layer)?;
        for entry in entries(layer) {
            let entry = entry?;
            let applied = clean(path_of(&entry)).and_then(|path| match marker(&path)? {
                Marker::None => self.put(layer, Path::new(""), &path, &entry),
                _ => Ok(()),
            });
            applied.map_err(in_entry(layer, &entry))?;
        }
        Ok(())
    }

    /// Adds the entries of the uncompressed tar `archive` below the directory `dir`, without
    /// giving `.wh.` names a meaning: what `ADD` does with a local archive.
    pub fn extract(&mut self, archive: &Blob, dir: &Path) -> Result<(), Error> {
        for entry in entries(archive) {
            let entry = entry?;
            let extracted =
                clean(path_of(&entry)).and_then(|path| self.put(archive, dir, &path, &entry));
            extracted.map_err(in_entry(archive, &entry))?;
        }
        Ok(())
    }

    /// Puts `entry` at `path` below `dir`, which also is where hard link targets are.
    fn put(
        &mut self,
        archive: &Blob,
        dir: &Path,
        path: &Path,
        entry: &TarEntry,
    ) -> Result<(), Error> {
        let path = dir.join(path);
        match Addition::from_tar(archive, entry) {
            Addition::Node(node) => self.insert(&path, node),
            Addition::HardLink(target) => self.hard_link(&dir.join(clean(&target)?), &path),
        }
    }

    fn apply_whiteouts(&mut self, layer: &Blob) -> Result<(), Error> {
        let mut own_dirs = HashSet::new();
        let mut markers = Vec::new();
        for entry in entries(layer) {
            let entry = entry?;
            let path = clean(path_of(&entry)).map_err(in_entry(layer, &entry))?;
            match marker(&path).map_err(in_entry(layer, &entry))? {
                Marker::None if entry.kind == TarKind::Directory => {
                    own_dirs.insert(path);
                }
                Marker::None | Marker::Aufs => {}
                marker => markers.push((marker, entry)),
            }
        }
        for (marker, entry) in markers {
            self.apply_marker(&marker, &own_dirs).map_err(in_entry(layer, &entry))?;
        }
        Ok(())
    }

    fn apply_marker(&mut self, marker: &Marker, own_dirs: &HashSet<PathBuf>) -> Result<(), Error> {
        match marker {
            Marker::Whiteout(path) => {
                let dir = path.parent().unwrap_or(Path::new(""));
                if self.is_merged(dir, own_dirs)? {
                    self.remove(path)?;
                }
            }
            Marker::Opaque(dir) if self.is_merged(dir, own_dirs)? => self.clear(dir)?,
            Marker::Opaque(_) | Marker::None | Marker::Aufs => {}
        }
        Ok(())
    }

    /// Whether the layer's directory `dir` lies over a directory of the layers below. It does not
    /// where the layer replaces a symbolic link with a directory: a whiteout in there must not
    /// reach through the old link.
    fn is_merged(&self, dir: &Path, own_dirs: &HashSet<PathBuf>) -> Result<bool, Error> {
        for part in dir.ancestors().filter(|part| own_dirs.contains(*part)) {
            let below = self.get(part, Follow::No)?;
            if below.is_some_and(|node| !node.kind.is_directory()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn entries(layer: &Blob) -> TarEntries {
    TarEntries::new(layer.clone(), layer.name().to_owned())
}

fn path_of(entry: &TarEntry) -> &Path {
    Path::new(OsStr::from_bytes(&entry.path))
}

fn in_entry(layer: &Blob, entry: &TarEntry) -> impl FnOnce(Error) -> Error {
    let layer = layer.name().to_owned();
    let entry = path_of(entry).to_owned();
    move |source| Error::Entry { layer, entry, source: Box::new(source) }
}

/// A layer's path as a relative one of plain names. A leading `/` or `./` means the root; `..` is
/// refused, as no writer of layers has a use for it.
fn clean(path: &Path) -> Result<PathBuf, Error> {
    check_len("a path", path.as_os_str().len(), MAX_PATH_BYTES)?;
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                check_len("a name", name.as_bytes().len(), MAX_NAME_BYTES)?;
                clean.push(name);
            }
            Component::ParentDir => return Err(Error::DotDot(path.to_owned())),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(clean)
}

fn marker(path: &Path) -> Result<Marker, Error> {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let dir = path.parent().unwrap_or(Path::new(""));
    // A name below `.wh..wh.plnk` and the like belongs to AUFS, too.
    let below_aufs = dir.components().any(|part| part.as_os_str().as_bytes().starts_with(AUFS));
    Ok(match name.strip_prefix(WHITEOUT) {
        _ if below_aufs => Marker::Aufs,
        None => Marker::None,
        Some(_) if name == OPAQUE => Marker::Opaque(dir.to_owned()),
        Some(_) if name.starts_with(AUFS) => Marker::Aufs,
        Some(b"" | b"." | b"..") => return Err(Error::BadWhiteout(path.to_owned())),
        Some(hidden) => Marker::Whiteout(dir.join(OsStr::from_bytes(hidden))),
    })
}

#[cfg(test)]
mod tests;
