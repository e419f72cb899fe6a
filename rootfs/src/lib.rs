//! OCI layers to a merged tree to squashfs.
//!
//! A [`Tree`] is what a container would see. It comes from layers ([`Tree::from_layers`]) and from
//! editing; file data stays in the layers, on the host or in memory ([`Content`]). The changes of
//! a build step go the other way, into a layer ([`LayerBuilder`]); a whole tree becomes the
//! guest's root disk, as a file ([`write_squashfs`]) or in place ([`SquashfsView`]).
//!
//! Invariants:
//! - Layers are hostile. Nothing is unpacked to the host, no path leads out of the tree, and the
//!   caps of [`limits`] hold for every node.
//! - Nothing is lost silently: what an image cannot represent comes back as a [`Warning`].
//! - Equal trees and equal changes give equal bytes.
//!
//! [`design`] lists the decisions where the specifications are silent.

mod apply;
mod content;
pub mod design;
mod error;
mod holes;
mod layer_builder;
pub mod limits;
mod node;
mod squashfs;
mod tar_writer;
#[cfg(test)]
mod testing;
mod tree;

pub use lithify_image::DeviceNumber;

pub use content::{Content, ContentReader};
pub use error::Error;
pub use layer_builder::LayerBuilder;
pub use node::{Addition, Kind, Metadata, Node, Special};
pub use squashfs::{
    RootfsWriter, SquashfsOptions, SquashfsView, Warning, write_squashfs, write_tree,
};
pub use tree::{Entry, Follow, Tree, Walk};
