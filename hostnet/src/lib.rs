//! The host's network as a guest may use it.
//!
//! What a guest sends meets the host's sockets here, whoever carries it there: a native machine
//! calls [`SystemSockets`] itself; an artifact asks its runner for each of these calls by files of
//! the runner's own folder ([`Uplink`] names them), and the runner asks the same sockets. An artifact
//! in a component asks the component's own program in the same way, and that asks WASI 0.2.
//!
//! Where things are: `sockets` is what is asked of a host, `system` a host that answers, `policy`
//! what a guest may reach, `mode`, `published` and `hosts` what its user writes, `resolvers` the host's
//! name servers, `names` what a host without them is asked, `uplink` and `address` what crosses the
//! border between an artifact and its runner.
//!
//! Invariants:
//! - No call waits, and no socket is inherited by another program.
//! - An artifact is no more trusted than what runs inside it: a runner asks [`Access::permits`]
//!   about every address, whatever the artifact's own gateway has decided.

mod address;
mod hosts;
mod mode;
mod names;
mod policy;
mod published;
mod resolvers;
mod sockets;
#[cfg(not(target_arch = "wasm32"))]
mod system;
mod uplink;

pub use address::{ADDRESS_LEN, decode_address, encode_address};
pub use hosts::{ExtraHost, HostAddress, HostError, host_lines};
pub use mode::{NetworkMode, NetworkModeError};
pub use names::{NameQuestion, NoAnswer};
pub use policy::{Access, Target};
pub use published::{Protocol, PublishError, Published};
#[cfg(not(target_arch = "wasm32"))]
pub use resolvers::resolvers_of_host;
pub use resolvers::{NameServer, NameServerError, resolvers};
pub use sockets::{SocketId, Sockets};
#[cfg(not(target_arch = "wasm32"))]
pub use system::{Kind, SystemSockets};
pub use uplink::Uplink;
