//! Images and the choice of one among several.

use std::path::Path;

use crate::archive::open_archive;
use crate::layout::open_oci_layout;
use crate::limits::MAX_LAYERS;
use crate::{Digest, Error, ImageConfig, Layer, Platform, Store};

/// A configuration and the layers that it describes, lowest first.
#[derive(Clone, Debug)]
pub struct Image {
    /// How the image runs. It names as many `diff_ids` as there are layers.
    pub config: ImageConfig,
    /// Digest of the configuration's JSON: what docker calls the image id.
    pub config_digest: Digest,
    /// Digest of the manifest; docker archives have none.
    pub manifest_digest: Option<Digest>,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

/// Which of several images is meant by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageChoice {
    /// A tag, or a reference as the tool that wrote the image spelled it.
    Tag(String),
    /// The digest of a manifest or index.
    Digest(Digest),
}

impl std::fmt::Display for ImageChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// Which image to take from a place that holds several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// By name; `None` takes the only one.
    pub image: Option<ImageChoice>,
    /// By what it runs on.
    pub platform: Platform,
}

/// Opens the image at `path`: an OCI layout directory, an OCI archive or a docker archive, the
/// archives also compressed. Compressed archives are expanded into a temporary file of `store`.
/// Documents are verified now, layers when they are read.
pub fn open_image(path: &Path, selection: &Selection, store: &Store) -> Result<Image, Error> {
    if path.is_dir() {
        open_oci_layout(path, selection)
    } else {
        open_archive(path, selection, store)
    }
}

/// Checks what manifest and config must agree on; `what` names the image in errors.
pub(crate) fn check_layers(what: &str, layers: usize, diff_ids: usize) -> Result<(), Error> {
    if layers > MAX_LAYERS {
        let what = what.to_owned();
        return Err(Error::TooLarge { what, limit: MAX_LAYERS as u64, unit: "layers" });
    }
    if layers != diff_ids {
        return Err(Error::LayerCount { what: what.to_owned(), layers, diff_ids });
    }
    Ok(())
}

/// Checks that an image made for `offered` runs on what `selection` asks for.
pub(crate) fn check_platform(
    what: &str,
    selection: &Selection,
    offered: &Platform,
) -> Result<(), Error> {
    if selection.platform.accepts(offered) {
        return Ok(());
    }
    Err(Error::NoSuchPlatform {
        what: what.to_owned(),
        wanted: selection.platform.clone(),
        available: vec![offered.to_string()],
    })
}
