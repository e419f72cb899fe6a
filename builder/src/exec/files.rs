//! A stage's files: its layers, and the merged tree once somebody needs it.
//!
//! With everything cached nobody does, and no layer is read.

use std::sync::{Arc, OnceLock};

use lithify_image::{Digest, Layer, Store};
use lithify_rootfs::Tree;

use crate::cache::Key;
use crate::error::Error;

/// Layers on top of other files.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    store: Store,
    below: Option<Arc<Files>>,
    /// Those above `below`, lowest first.
    layers: Vec<Layer>,
    /// Stands for all layers. See [`Files::chain`].
    chain: Digest,
    tree: OnceLock<Tree>,
}

impl Files {
    /// These layers, lowest first.
    pub(crate) fn new(store: &Store, layers: Vec<Layer>) -> Self {
        let nothing = Key::new("scratch").finish();
        let chain = layers.iter().fold(nothing, |chain, layer| chained(&chain, layer));
        Self { store: store.clone(), below: None, layers, chain, tree: OnceLock::new() }
    }

    /// What starts as `below`. The tree of `below`, if it is ever merged, is so once for all.
    pub(crate) fn on(below: &Arc<Self>) -> Self {
        Self {
            store: below.store.clone(),
            below: Some(Arc::clone(below)),
            layers: Vec::new(),
            chain: below.chain,
            tree: OnceLock::new(),
        }
    }

    /// Adds a layer.
    pub(crate) fn push(&mut self, layer: Layer) -> Result<(), Error> {
        // Nobody's tree has to be copied, and a cached layer is not read.
        if let Some(tree) = self.tree.get_mut() {
            tree.apply_layer(&self.store.stage_tar(&layer)?)?;
        }
        self.chain = chained(&self.chain, &layer);
        self.layers.push(layer);
        Ok(())
    }

    /// All layers, lowest first.
    pub(crate) fn layers(&self) -> Vec<Layer> {
        let below = self.below.as_ref().map(|below| below.layers()).unwrap_or_default();
        [below, self.layers.clone()].concat()
    }

    /// A hash of the layers' contents in order, as the specification's chain ID is: the same
    /// whenever the files are.
    pub(crate) fn chain(&self) -> &Digest {
        &self.chain
    }

    /// The layers merged.
    pub(crate) fn tree(&self) -> Result<&Tree, Error> {
        if let Some(tree) = self.tree.get() {
            return Ok(tree);
        }
        let mut tree = match &self.below {
            Some(below) if self.layers.is_empty() => return below.tree(),
            Some(below) => below.tree()?.clone(),
            None => Tree::new(),
        };
        for layer in &self.layers {
            tree.apply_layer(&self.store.stage_tar(layer)?)?;
        }
        Ok(self.tree.get_or_init(|| tree))
    }
}

fn chained(below: &Digest, layer: &Layer) -> Digest {
    Key::new("chain").digest(below).digest(&layer.diff_id).finish()
}
