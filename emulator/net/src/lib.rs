//! The user-mode network of a guest: its frames in, the host's sockets out.
//!
//! A [`Gateway`] is the far end of the network device's cable. It needs no privileges, no helper
//! process and no interface of the host: connections of the guest end in it and continue as sockets
//! of the host, which it knows only as [`Sockets`]. So the same gateway serves a native machine
//! ([`StdSockets`]), a runner that hands sockets to a WASI program, and tests.
//!
//! - TCP is terminated by a stack and continued by the host's. The guest's connection is made when
//!   the host's is, refused when it is refused; ends of streams, resets and full buffers pass
//!   through in both directions.
//! - UDP is translated, each port of the guest to a socket of the host.
//! - Names are looked up by the host's name servers, which answer under an address of the link.
//! - Pings are answered by the gateway alone.
//!
//! Where things are: `gateway` is the border, `packet` takes frames apart and puts them together,
//! `tcp`, `udp` and `publish` are the traffic, `policy` says what the guest may reach, `plan` who
//! has which address.
//!
//! Invariants:
//! - Whatever the guest sends, memory and sockets stay below caps that are named constants, and
//!   nothing panics.
//! - Nothing is sent to the guest that it has no room for: frames wait in a queue of fixed length,
//!   and while that is full, sockets are not read.
//! - The guest reaches the host's loopback only through the gateway's address, and only if
//!   [`Access`] says so; sockets of its file system only as [`Forwarded`] names them.

mod dns;
mod gateway;
#[cfg(not(target_arch = "wasm32"))]
mod host;
mod packet;
mod plan;
mod policy;
mod publish;
mod queue;
mod shared;
mod sockets;
mod tcp;
mod udp;

#[cfg(test)]
mod tests;

pub use dns::resolvers;
pub use gateway::{Gateway, Settings};
#[cfg(not(target_arch = "wasm32"))]
pub use host::StdSockets;
pub use plan::{MTU, PLAN, Plan};
pub use policy::{Access, Forwarded, MAX_FORWARDED};
pub use publish::{Protocol, PublishError, Published};
pub use shared::SharedGateway;
pub use sockets::{SocketId, Sockets};
pub use tcp::MAX_CONNECTIONS;
pub use udp::{MAPPING_IDLE, MAX_MAPPINGS};
