//! Writing OCI image layouts.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::layout::{INDEX, MARKER, blob_path};
use crate::manifest::{
    Descriptor, Index, LayoutMarker, Manifest, OCI_CONFIG, OCI_MANIFEST, REF_NAME, to_json,
};
use crate::store::write_atomically;
use crate::{Digest, Error, ImageConfig, Layer};

/// An OCI layout directory in the making. It is a valid layout after every call.
#[derive(Debug)]
pub struct LayoutWriter {
    dir: PathBuf,
    index: Index,
}

impl LayoutWriter {
    /// Starts an empty layout in `dir`, which is created if it does not exist. A layout that is
    /// already there is replaced, its blobs are kept.
    pub fn create(dir: &Path) -> Result<Self, Error> {
        let blobs = dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(Error::io("create", &blobs))?;
        let writer = Self { dir: dir.to_owned(), index: Index::default() };
        let marker = LayoutMarker { image_layout_version: "1.0.0".to_owned() };
        writer.write(MARKER, &to_json(&marker))?;
        writer.write_index()?;
        Ok(writer)
    }

    /// Adds an image, copying its layers as they are stored, and lists it under `tag`. Returns the
    /// manifest's digest.
    pub fn add_image(
        &mut self,
        config: &ImageConfig,
        layers: &[Layer],
        tag: Option<&str>,
    ) -> Result<Digest, Error> {
        let layers = layers.iter().map(|layer| self.add_layer(layer)).collect::<Result<_, _>>()?;
        let manifest = Manifest::new(self.add_json(OCI_CONFIG, &config.to_json())?, layers);
        let mut descriptor = self.add_json(OCI_MANIFEST, &to_json(&manifest))?;
        let digest = descriptor.digest;
        descriptor.platform = Some(config.platform());
        descriptor.annotations = tag
            .map(|tag| (REF_NAME.to_owned(), tag.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>();
        self.index.manifests.push(descriptor);
        self.write_index()?;
        Ok(digest)
    }

    fn add_layer(&self, layer: &Layer) -> Result<Descriptor, Error> {
        let path = self.dir.join(blob_path(&layer.digest));
        write_atomically(&path, |file| {
            layer.blob.verify(&layer.digest)?;
            crate::blob::copy(&mut layer.blob.reader(), layer.blob.name(), |chunk| {
                file.write_all(chunk).map_err(Error::io("write", &path))
            })
        })?;
        Ok(Descriptor {
            media_type: layer.media_type.clone(),
            digest: layer.digest,
            size: layer.blob.len(),
            platform: None,
            annotations: BTreeMap::new(),
        })
    }

    fn add_json(&self, media_type: &str, json: &[u8]) -> Result<Descriptor, Error> {
        let descriptor = Descriptor::new(media_type, json);
        self.write(&blob_path(&descriptor.digest), json)?;
        Ok(descriptor)
    }

    fn write_index(&self) -> Result<(), Error> {
        self.write(INDEX, &to_json(&self.index))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.dir.join(name);
        write_atomically(&path, |file| file.write_all(bytes).map_err(Error::io("write", &path)))
    }
}
