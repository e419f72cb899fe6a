//! The gateway between a guest, which is another stack of the same kind, and sockets in memory or
//! of the host.

mod datagrams;
mod guest;
mod memory;
mod real;
mod streams;
