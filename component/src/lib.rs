//! The program around an artifact in a component: our runner, as far as WASI 0.2 lets it be one.
//!
//! A component holds this module, the artifact as it is, and a bridge of two instructions between
//! their memories (`lithify_snapshot` joins them). The artifact's imports from
//! `wasi_snapshot_preview1` are functions of `calls`: files, clocks and output are passed on to the
//! preview 1 adapter under this module; arguments, variables, standard input and waiting are WASI
//! 0.2's; and there is the folder that our runners have, with the sockets that stock runtimes of
//! preview 1 lack.
//!
//! Where things are: `bridge` is the artifact, `calls` what it calls; `descriptors` what its numbers
//! mean; `forward` what is passed on; `environment` and `options` what the user says; `folder` our own
//! folder; `sockets` and `poll` the network and waiting for it.
//!
//! Invariants:
//! - Nothing waits but `poll_oneoff` and what writes to standard output and error.
//! - The artifact is no more trusted than what runs inside it: each address that it names is checked
//!   against what the user allows.
//! - A resource of WASI is dropped before the one it comes from: fields stand in that order.

mod bridge;
mod calls;
mod descriptors;
mod environment;
mod errno;
mod folder;
mod forward;
mod host;
mod memory;
mod options;
mod poll;
mod sockets;

use wasip2::exports::cli::run::Guest;

struct Program;

wasip2::cli::command::export!(Program);

impl Guest for Program {
    fn run() -> Result<(), ()> {
        if let Err(error) = host::start() {
            eprintln!("lithify: {error}");
            wasip2::cli::exit::exit_with_code(error.code());
        }
        bridge::start();
        Ok(())
    }
}
