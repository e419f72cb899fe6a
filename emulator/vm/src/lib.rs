//! The WASI program: the machine bound to a WASI host.
//!
//! It runs in two halves with a freeze between them. `wizer-initialize` boots the machine until
//! the guest's init is ready; everything it needs comes through the imports of module `lithify`,
//! and it makes no WASI call, since whatever WASI answered then would be frozen for good. `_start`
//! is the entry of the artifact: it reads what this start asks for, thaws the machine, starts the
//! container and carries bytes until it exits.
//!
//! Invariants:
//! - The frozen state holds no host handle: bindings are zero-sized or say which half they are in.
//! - Nothing here uses `std::env`, `std::fs` or a randomly seeded map; all WASI goes through `wasi`.

mod bindings;
mod boot;
mod crash;
mod events;
mod files;
mod imports;
mod network;
mod rehearsal;
mod request;
mod rom;
mod run;
mod scrub;
mod session;
mod train;
mod translation;
mod trial;
mod visits;
mod warm;
mod wasi;

use std::cell::RefCell;

use lithify_control::ImageProcess;
use lithify_machine::Machine;
use lithify_net::Buffers;

use session::Session;

/// What the freeze keeps between the two halves.
struct Frozen {
    machine: Machine,
    session: Session,
    handles: run::Handles,
    process: ImageProcess,
    /// The guest's RAM.
    memory_bytes: u64,
    stage: Stage,
    /// Of the connections of the network that a start may have.
    buffers: Buffers,
}

/// What the thawed guest waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The request to start a container.
    Empty,
    /// The word that its container may go on.
    Running {
        /// The container has a terminal.
        terminal: bool,
    },
}

thread_local! {
    static FROZEN: RefCell<Option<Frozen>> = const { RefCell::new(None) };
}

/// First half: boots the machine and leaves it waiting for a request.
///
/// A machine that does not come up has printed why; the trap tells the snapshot stage.
#[unsafe(export_name = "wizer-initialize")]
pub extern "C" fn initialize() {
    match boot::boot(boot::Counting::Off) {
        Ok(frozen) => FROZEN.set(Some(frozen)),
        Err(why) => {
            imports::boot_log(format!("{}{why}\n", why.prefix()).as_bytes());
            std::process::abort();
        }
    }
}

/// Second half: the WASI entry point of an artifact. It returns only with a machine that is frozen
/// again, whose memory our runner then keeps as another artifact.
#[unsafe(export_name = "_start")]
pub extern "C" fn start() {
    let Some(frozen) = FROZEN.take() else {
        wasi::report("this emulator was never booted: run an artifact made from it");
        wasi::exit(lithify_control::exit_code::LITHIFY)
    };
    match run::run(frozen) {
        run::End::Exit(code) => wasi::exit(code),
        run::End::Frozen(frozen) => {
            FROZEN.set(Some(*frozen));
            rehearsal::settle();
        }
    }
}
