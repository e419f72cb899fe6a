//! Writing image archives: a tar of an OCI layout, or what `docker load` reads, which is the same
//! with a `manifest.json`. Equal images give equal bytes.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use crate::layout::{INDEX, MARKER, blob_path};
use crate::manifest::{
    CONTAINERD_NAME, Index, LayoutMarker, OCI_CONFIG, OCI_MANIFEST, REF_NAME, to_json,
};
use crate::{Blob, Descriptor, Digest, Error, ImageConfig, Layer, Manifest, Reference};

/// Who shall read an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// Tools that know OCI layouts.
    Oci,
    /// `docker load`, also of versions that know no OCI layouts.
    Docker,
}

/// An image to write.
#[derive(Clone, Debug)]
pub struct ImageArchive<'a> {
    /// How the image runs.
    pub config: &'a ImageConfig,
    /// The layers that it names, lowest first.
    pub layers: &'a [Layer],
    /// The names that it gets where it is loaded.
    pub names: &'a [Reference],
    /// Annotations of the manifest.
    pub annotations: &'a BTreeMap<String, String>,
}

/// One image in `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// What a member of the archive holds.
enum Member {
    Json(Vec<u8>),
    Layer(Digest, Blob),
}

impl ImageArchive<'_> {
    /// The image's manifest and what names it.
    pub fn manifest(&self) -> (Vec<u8>, Descriptor) {
        let config = Descriptor::new(OCI_CONFIG, &self.config.to_json());
        let layers = self.layers.iter();
        let layers =
            layers.map(|layer| Descriptor::of(&layer.media_type, layer.digest, layer.blob.len()));
        let mut manifest = Manifest::new(config, layers.collect());
        manifest.annotations = self.annotations.clone();
        let json = manifest.to_json();
        let mut descriptor = Descriptor::new(OCI_MANIFEST, &json);
        descriptor.platform = Some(self.config.platform());
        (json, descriptor)
    }

    /// Writes the archive; layers are verified on the way. Gives what names the manifest.
    pub fn write(&self, format: ArchiveFormat, out: impl Write) -> Result<Descriptor, Error> {
        let (manifest, descriptor) = self.manifest();
        let mut members = self.blobs(manifest, &descriptor);
        let marker = LayoutMarker { image_layout_version: "1.0.0".to_owned() };
        members.insert(MARKER.to_owned(), Member::Json(to_json(&marker)));
        members.insert(INDEX.to_owned(), Member::Json(to_json(&self.index(&descriptor))));
        if format == ArchiveFormat::Docker {
            let image = self.docker_image();
            members.insert("manifest.json".to_owned(), Member::Json(to_json(&[image])));
        }
        write_members(&members, out)?;
        Ok(descriptor)
    }

    fn blobs(&self, manifest: Vec<u8>, descriptor: &Descriptor) -> BTreeMap<String, Member> {
        let config = self.config.to_json();
        let documents = [(descriptor.digest, manifest), (Digest::of(&config), config)];
        let documents =
            documents.map(|(digest, json)| (blob_path(&digest), Member::Json(json))).into_iter();
        let layers = self.layers.iter().map(|layer| {
            (blob_path(&layer.digest), Member::Layer(layer.digest, layer.blob.clone()))
        });
        documents.chain(layers).collect()
    }

    /// One entry for each name; containerd takes the whole name, others the tag.
    fn index(&self, descriptor: &Descriptor) -> Index {
        let named = self.names.iter().map(|name| {
            let tag = name.tag().map(|tag| (REF_NAME.to_owned(), tag.to_owned()));
            let whole = (CONTAINERD_NAME.to_owned(), name.to_string());
            let annotations = tag.into_iter().chain([whole]).collect();
            Descriptor { annotations, ..descriptor.clone() }
        });
        let mut manifests: Vec<Descriptor> = named.collect();
        if manifests.is_empty() {
            manifests.push(descriptor.clone());
        }
        Index { manifests, ..Index::default() }
    }

    fn docker_image(&self) -> DockerImage {
        DockerImage {
            config: blob_path(&Digest::of(&self.config.to_json())),
            repo_tags: self.names.iter().map(Reference::familiar).collect(),
            layers: self.layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
        }
    }
}

fn write_members(members: &BTreeMap<String, Member>, out: impl Write) -> Result<(), Error> {
    let failed = |source| Error::Write { what: "the image archive".to_owned(), source };
    let mut tar = tar::Builder::new(out);
    for dir in ["blobs/", "blobs/sha256/"] {
        let mut header = header(0, 0o755);
        header.set_entry_type(tar::EntryType::Directory);
        tar.append_data(&mut header, dir, std::io::empty()).map_err(failed)?;
    }
    for (name, member) in members {
        match member {
            Member::Json(json) => {
                let len = json.len() as u64;
                tar.append_data(&mut header(len, 0o644), name, &json[..]).map_err(failed)?;
            }
            Member::Layer(digest, blob) => {
                blob.verify(digest)?;
                let mut header = header(blob.len(), 0o644);
                tar.append_data(&mut header, name, blob.reader()).map_err(failed)?;
            }
        }
    }
    tar.into_inner().and_then(|mut out| out.flush()).map_err(failed)
}

fn header(len: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(len);
    header.set_mode(mode);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageChoice, Platform, Selection, Store, open_archive};

    #[test]
    fn written_archives_open_again_under_each_name() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let diff_id = store.put(&[0; 1024][..], None).unwrap().0;
        let layers = [store.layer(&diff_id).unwrap(), store.layer(&diff_id).unwrap()];
        let mut config = ImageConfig::new(&Platform::linux("riscv64"));
        config.rootfs.diff_ids = vec![diff_id; 2];
        let names = ["app:1".parse().unwrap(), "example.org/b".parse().unwrap()];
        let annotations = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        let image = ImageArchive {
            config: &config,
            layers: &layers,
            names: &names,
            annotations: &annotations,
        };
        for format in [ArchiveFormat::Oci, ArchiveFormat::Docker] {
            let (mut first, mut second) = (Vec::new(), Vec::new());
            let descriptor = image.write(format, &mut first).unwrap();
            image.write(format, &mut second).unwrap();
            assert_eq!(first, second);
            let path = dir.path().join("image.tar");
            std::fs::write(&path, first).unwrap();
            for name in ["app:1", "example.org/b:latest"] {
                let choice = Some(ImageChoice::Tag(name.to_owned()));
                let selection = Selection { image: choice, platform: Platform::linux("riscv64") };
                let opened = open_archive(&path, &selection, &store).unwrap();
                assert_eq!(opened.manifest_digest, Some(descriptor.digest), "{name}");
                assert_eq!(opened.layers.len(), 2);
            }
        }
    }

    #[test]
    fn a_damaged_layer_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("layer");
        std::fs::write(&path, b"damaged").unwrap();
        let layer = Layer::uncompressed(Digest::of(b"layer"), Blob::open(&path).unwrap());
        let config = ImageConfig::new(&Platform::linux("riscv64"));
        let (names, annotations) = ([], BTreeMap::new());
        let layers = [layer];
        let image = ImageArchive {
            config: &config,
            layers: &layers,
            names: &names,
            annotations: &annotations,
        };
        assert!(image.write(ArchiveFormat::Oci, std::io::sink()).is_err());
    }
}
