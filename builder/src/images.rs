//! Images that no context stands in for: FROM, `--from` and `--build-context` name them, and who
//! builds says where they come from.

use std::error::Error;
use std::fmt::Debug;

use lithify_image::{Image, Platform, Reference, Store};

/// Knows images by their references, for example those of registries.
pub trait ImageSource: Debug + Send + Sync {
    /// The image for `platform` that `reference` names; its layers may be brought into `store`.
    ///
    /// # Errors
    /// With a message that says what of the reference was not to be had.
    fn image(
        &self,
        reference: &Reference,
        platform: &Platform,
        store: &Store,
    ) -> Result<Image, Box<dyn Error + Send + Sync>>;
}
