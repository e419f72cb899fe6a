//! OCI registries (distribution-spec 1.1): pulling into and pushing from the local store.
//!
//! A [`Registry`] is a connection to one registry; the rest of the program sees blocking calls
//! that tell a [`Progress`] what goes on and that a [`Cancel`] ends.
//!
//! Invariants:
//! - What a registry says is hostile: documents are read within the caps of [`limits`], transfers
//!   end with the size that their descriptor says, and nothing is kept whose digest was not computed.
//! - The store never has a part of a blob, nor a name whose blobs it lacks.
//! - Credentials go to the registry that they are for, and to a token service of its site: never to
//!   where it redirects, and never from `https` down to `http`.
//! - Memory does not grow with blobs: they go through buffers from and to files.

mod auth;
mod cancel;
mod challenge;
mod compiled;
mod credentials;
mod download;
mod endpoint;
mod error;
mod http;
mod image_form;
pub mod limits;
mod nearest;
mod options;
mod parallel;
mod platform;
mod progress;
mod pull;
mod push;
mod registry;
mod reply;
mod retry;
mod session;
mod sources;
mod tls;
mod upload;
mod url;

pub use cancel::Cancel;
pub use compiled::{compiled_annotation, listed_compiled};
pub use credentials::{Credential, Credentials};
pub use error::Error;
pub use image_form::put_image_form;
pub use nearest::nearest;
pub use options::{Options, Timeouts};
pub use progress::{Outcome, Progress, Silent};
pub use pull::Pulled;
pub use registry::{Document, Registry};
pub use retry::RetryPolicy;
