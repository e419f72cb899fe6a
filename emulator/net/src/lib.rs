//! The user-mode network of a guest: its frames in, the host's sockets out.
//!
//! A [`Gateway`] is the far end of the network device's cable. It needs no privileges, no helper
//! process and no interface of the host: connections of the guest end in it and continue as sockets
//! of the host, which it knows only as
//! [`Sockets`](lithify_hostnet::Sockets). So the same gateway serves a native machine,
//! a WASI program that gets its sockets from a runner, and tests.
//!
//! - TCP is terminated by a stack and continued by the host's. The guest's connection is made when
//!   the host's is, refused when it is refused; ends of streams, resets and full buffers pass
//!   through in both directions.
//! - UDP is translated, each port of the guest to a socket of the host.
//! - Names are looked up by the host's name servers, which answer under an address of the link.
//! - Pings are answered by the gateway alone.
//!
//! Where things are: `gateway` is the border, `packet` takes frames apart and puts them together,
//! `tcp`, `udp` and `publish` are the traffic. What the guest may reach, and the host's own sockets,
//! are in `lithify_hostnet`.
//!
//! Invariants:
//! - Whatever the guest sends, memory and sockets stay below caps that are named constants, and
//!   nothing panics.
//! - Nothing is sent to the guest that it has no room for: frames wait in a queue of fixed length,
//!   and while that is full, sockets are not read.
//! - The guest reaches the host's loopback only through the gateway's address, and only if
//!   [`Access`](lithify_hostnet::Access) says so; sockets of its file system only as [`Forwarded`] names them.

mod buffers;
mod forwarded;
mod gateway;
mod packet;
mod publish;
mod queue;
mod shared;
mod tcp;
mod udp;

#[cfg(test)]
mod tests;

pub use buffers::Buffers;
pub use forwarded::{Forwarded, MAX_FORWARDED};
pub use gateway::{Gateway, Settings};
pub use shared::SharedGateway;
pub use tcp::MAX_CONNECTIONS;
pub use udp::{MAPPING_IDLE, MAX_MAPPINGS};
