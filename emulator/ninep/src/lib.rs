//! A 9P2000.L server: directories and files of the host as one file system of the guest.
//!
//! [`Server::serve`] takes one message and makes its answer; it knows neither transport nor host.
//! What it serves are [`Export`]s, each a [`FileTree`] of whoever runs the machine: the WASI program
//! binds it to a preopened directory, a native machine to `native::NativeTree`. One session
//! serves them all: its root is a directory of the server's own in which export n is named `n`, for
//! Linux allows a virtio-9p device one session only. The guest mounts that root and binds its
//! entries to where they belong.
//!
//! What the guest's kernel knows it tells us by names, so the server keeps a tree of them: a file
//! that is open stays usable when it is renamed, and, by its handle, when it is removed.
//!
//! Hosts behind WASI know no owners and permissions. Every file appears as its mount's owner's,
//! open to all for reading and executing; what a guest changes of that is remembered while its
//! machine runs and never reaches the host (see `Ownership`). Locks are granted unseen: they
//! hold between the processes of one guest, whose kernel keeps them. Extended attributes, devices,
//! pipes and sockets do not exist.
//!
//! Guests are hostile. Lengths are checked against the bytes present, the number of fids, the size
//! of messages and all that is remembered are bounded by named constants, and a broken message is
//! answered with an error.

mod errno;
mod fid;
mod message;
#[cfg(feature = "native")]
pub mod native;
mod node;
mod ownership;
mod server;
mod tree;
mod wire;

pub use errno::Errno;
pub use fid::MAX_FIDS;
pub use ownership::MAX_REMEMBERED;
pub use server::{Export, MAX_MESSAGE_LEN, Server};
pub use tree::{Entry, FileTree, Handle, Kind, OpenFlags, SetTime, Stat};
