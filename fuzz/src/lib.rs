//! What the fuzz targets share.
//!
//! Each target is a program that libFuzzer drives with bytes; `run.sh` builds them with coverage
//! counters and runs them. A target must not crash, hang or take a gigabyte, and those with a model
//! or a foreign reader must agree with it.

mod choice;
mod layer;
mod listing;

pub use choice::Choices;
pub use layer::{Entry, What, blob, tar};
pub use listing::listing;

use std::path::Path;

/// The names that generated paths are made of: few, so that paths meet.
pub const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A path of one to three of [`NAMES`].
pub fn path(choices: &mut Choices<'_>) -> String {
    let depth = 1 + choices.below(3);
    let names: Vec<&str> = (0..depth).map(|_| NAMES[choices.below(NAMES.len())]).collect();
    names.join("/")
}

/// `path` from the root of a tree.
pub fn absolute(path: &str) -> std::path::PathBuf {
    Path::new("/").join(path)
}
