//! Dockerfile and context to OCI layers and image config.

mod error;
mod expand;
mod instruction;
mod parser;
mod progress;
mod source;

pub use error::{Error, ErrorKind};
