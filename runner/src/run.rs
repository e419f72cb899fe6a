//! One run of an artifact, from instantiation to exit code.

use crate::error::{RunnerError, root_cause};
use crate::wasi::{self, Exit, Host, OwnFolder, Streams};
use crate::{Artifact, Engine, Events, HostMount, Terminal, terminal};
use lithify_control::Overrides;
use wasmtime::{Linker, Store};

/// What the user of an artifact asks for.
#[derive(Debug)]
pub struct RunOptions {
    /// Arguments; `[0]` names the artifact, the rest replaces the image's `Cmd`.
    pub args: Vec<Vec<u8>>,
    /// `NAME=VALUE`, merged over the image's environment.
    pub env: Vec<Vec<u8>>,
    /// What WASI has no words for.
    pub overrides: Overrides,
    /// Directories of the host that the container gets.
    pub mounts: Vec<HostMount>,
    /// Where input comes from and output goes.
    pub streams: Streams,
    /// What the container hears of while it runs.
    pub events: Option<Events>,
    /// The container gets a terminal.
    pub terminal: Option<Terminal>,
}

/// Runs an artifact to its end and returns the guest's exit code; 141 (128 + `SIGPIPE`) if a
/// reader of its output went away.
///
/// # Errors
/// If the module cannot be instantiated, or the emulator in it traps.
pub fn run(engine: &Engine, artifact: &Artifact, options: RunOptions) -> Result<u32, RunnerError> {
    let RunOptions { args, env, mut overrides, mounts, streams, events, terminal } = options;
    overrides.terminal = terminal.map(|_| terminal::size());
    let host = Host::new(args, env, streams, OwnFolder::new(overrides.encode(), events), mounts);
    let mut store = Store::new(engine.wasmtime(), host);
    let program = start(&mut store, artifact)?;
    let raw = terminal.map(Terminal::enter).transpose().map_err(RunnerError::Terminal)?;
    let outcome = program.call(&mut store, ());
    drop(raw);
    match outcome {
        Ok(()) => Ok(0),
        Err(error) => match error.downcast_ref::<Exit>() {
            Some(Exit(code)) => Ok(*code),
            None => Err(RunnerError::Trap(root_cause(&error))),
        },
    }
}

fn start(
    store: &mut Store<Host>,
    artifact: &Artifact,
) -> Result<wasmtime::TypedFunc<(), ()>, RunnerError> {
    let mut instantiate = || {
        let mut linker = Linker::new(artifact.module.engine());
        wasi::link(&mut linker)?;
        wasi::link_missing(&mut linker, store, &artifact.module)?;
        let instance = linker.instantiate(&mut *store, &artifact.module)?;
        store.data_mut().memory = instance.get_memory(&mut *store, "memory");
        instance.get_typed_func(&mut *store, "_start")
    };
    instantiate().map_err(|error| RunnerError::Instantiate(root_cause(&error)))
}
