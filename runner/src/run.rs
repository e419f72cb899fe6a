//! One run of an artifact, from instantiation to exit code.

use crate::error::{RunnerError, root_cause};
use crate::wasi::{self, Exit, Host, OwnFolder, Streams};
use crate::{Artifact, Engine, Events, HostMount, Meter, Network, Terminal, terminal};
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
    /// The host's network, as far as the container gets it.
    pub network: Option<Network>,
    /// Where input comes from and output goes.
    pub streams: Streams,
    /// What the container hears of while it runs.
    pub events: Option<Events>,
    /// The container gets a terminal.
    pub terminal: Option<Terminal>,
    /// Measures the run.
    pub meter: Option<Meter>,
}

/// How a run ends.
#[derive(Debug)]
pub enum End {
    /// With the guest's exit code; 141 (128 + `SIGPIPE`) if a reader of its output went away.
    Exit(u32),
    /// With a machine in which the container stands still, because somebody asked for it.
    Frozen(Standstill),
}

/// A run that could go on.
pub struct Standstill {
    store: Store<Host>,
}

impl std::fmt::Debug for Standstill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standstill").field("memory_bytes", &self.memory().len()).finish()
    }
}

impl Standstill {
    /// The machine: linear memory of the module.
    #[must_use]
    pub fn memory(&self) -> &[u8] {
        self.store.data().memory.map_or(&[], |memory| memory.data(&self.store))
    }
}

/// Runs an artifact to its end and returns the exit code.
///
/// # Errors
/// If the module cannot be instantiated, or the emulator in it traps.
pub fn run(engine: &Engine, artifact: &Artifact, options: RunOptions) -> Result<u32, RunnerError> {
    Ok(match run_until_freeze(engine, artifact, options)? {
        End::Exit(code) => code,
        End::Frozen(_) => 0,
    })
}

/// Runs an artifact to its end, or until a freeze that was asked for.
///
/// # Errors
/// As [`run`].
pub fn run_until_freeze(
    engine: &Engine,
    artifact: &Artifact,
    options: RunOptions,
) -> Result<End, RunnerError> {
    let RunOptions { args, env, mut overrides, mounts, network, streams, events, terminal, meter } =
        options;
    overrides.statistics = meter.is_some();
    let measure = |note: fn(&Meter)| meter.iter().for_each(note);
    measure(Meter::mapped);
    let streams = streams.measured(meter.clone());
    overrides.terminal = terminal.map(|_| terminal::size());
    let uplink = network.as_ref().map(|network| network.uplink.encode());
    let folder = OwnFolder::new(overrides.encode(), uplink, events);
    let host = Host::new(args, env, streams, folder, mounts, network);
    let mut store = Store::new(engine.wasmtime(), host);
    let program = start(&mut store, artifact)?;
    measure(Meter::instantiated);
    let raw = terminal.map(Terminal::enter).transpose().map_err(RunnerError::Terminal)?;
    let outcome = program.call(&mut store, ());
    drop(raw);
    if let Some(meter) = &meter {
        meter.count(store.data().folder.statistics());
    }
    match outcome {
        Ok(()) => Ok(End::Frozen(Standstill { store })),
        Err(error) => match error.downcast_ref::<Exit>() {
            Some(Exit(code)) => Ok(End::Exit(*code)),
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
