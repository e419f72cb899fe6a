//! The server, message by message, on a directory of the host.
//!
//! Message numbers and layouts are restated here from the 9P2000.L description (diod's
//! `protocol.md`), not taken from the server.

mod client;
mod files;
mod hostile;
mod session;
