//! PID 1 of the guest: mounts the image, freezes, thaws, runs one container, reports its end.
//!
//! The machine is frozen while this program waits for its start request, so the work is split by
//! that line: whatever does not depend on the request happens before it, once, at build time;
//! behind it stay some twenty system calls. The container's process exists already when the
//! machine freezes: it sits in its own namespaces, on its own mounts, and reads the request itself,
//! borrowing this process's memory until it executes the image's program (see [`spawn`]).
//!
//! A build asks for more: it freezes one machine for all its containers, so that the disk comes with
//! the request and the container is made after the thaw (see [`flow`]); what the container changed
//! leaves the machine before the exit code (see [`export`]).
//!
//! A machine can also freeze while the container runs: then it stands still, and goes on after the
//! thaw as one of many (see [`pauses`], [`standstill`] and [`hooks`]).
//!
//! Before the freeze every failure goes to the kernel log and powers the machine off; after it,
//! to the host as a `Failed` frame.

#![cfg_attr(not(test), no_main)]

mod accounts;
mod agent;
mod capability;
mod connections;
mod container;
mod control;
mod dev;
mod dispositions;
mod error;
mod export;
mod flow;
mod freeze;
mod helper;
mod hooks;
mod host_mounts;
mod identity;
mod image;
mod ioctl;
mod log;
mod memory;
mod mount;
mod mounts;
mod network;
mod pauses;
mod ports;
mod prefetch;
mod processes;
mod program;
mod readiness;
mod relay;
mod renew;
mod spawn;
mod standstill;
mod streams;
mod terminal;
mod volumes;

use error::Error;
use std::ffi::c_int;

/// The entry from the C runtime, in place of Rust's own: that aborts where the kernel found no
/// console to open as descriptors 0 to 2, and ignores SIGPIPE, which the container would inherit.
// SAFETY: nothing else in this program is called `main`.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main() -> c_int {
    if let Err(error) = boot() {
        log::error(&error);
    }
    ports::power_off();
}

fn boot() -> Result<(), Error> {
    streams::occupy_standard_descriptors()?;
    mount::enter_own_root()?;
    memory::prevent_thrashing()?;
    let (control, host_ends) = ports::open()?;
    network::raise_loopback()?;
    let thaw = renew::Devices::open()?;
    let (our_ends, streams) = streams::pipes()?;
    let relay = relay::Relay::new(our_ends, host_ends);
    let notify = readiness::NotifySocket::open()?;
    let guest = flow::Guest { control, thaw, streams, relay, notify };
    match flow::root_comes_at_start() {
        true => guest.freeze_then_make_container(),
        false => guest.make_container_then_freeze(),
    }
}
