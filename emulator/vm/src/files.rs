//! Directories that the host has opened for this program, served to the guest.
//!
//! A directory's name at the host is where it appears in the container: `--dir HOST::GUEST` of
//! wasmtime, `-v HOST:GUEST` of our runner. The latter opens single files as well: directories whose
//! path `.` is a file. What the host gives no right to change is mounted
//! read-only.

mod errno;
mod tree;

use lithify_control::{Mount, MountKind, Overrides};
use lithify_machine::host::FileServer;
use lithify_ninep::{Export, Server};

use crate::wasi;
use tree::WasiTree;

/// What of the host's is mounted in the container, and who serves it.
pub(crate) struct Files {
    /// For the start request.
    pub(crate) mounts: Vec<Mount>,
    /// For the machine.
    pub(crate) server: Box<dyn FileServer>,
}

/// All directories that the host has opened but our own; `None` if there is none.
pub(crate) fn find() -> Option<Files> {
    let mut mounts = Vec::new();
    let mut exports = Vec::new();
    for (directory, name) in wasi::preopens() {
        if name == Overrides::DIRECTORY.as_bytes() {
            continue;
        }
        let read_only = !wasi::can_change(directory);
        let export = exports.len() as u32;
        mounts.push(Mount { target: name, kind: MountKind::Host { export, read_only } });
        exports.push(Export { tree: Box::new(WasiTree::new(directory)), read_only });
    }
    let server = Box::new(Served(Server::new(exports)));
    (!mounts.is_empty()).then_some(Files { mounts, server })
}

struct Served(Server);

impl FileServer for Served {
    fn serve(&mut self, request: &[u8], answer: &mut Vec<u8>) {
        self.0.serve(request, answer);
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}
