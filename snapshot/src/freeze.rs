//! Boots the emulator to its `Ready` and takes the instance's state as a module.

use crate::append::{Place, append};
use crate::census::MachineSizes;
use crate::host::{self, BootHost};
use crate::imports::{BuildImport, LITHIFY, WASI};
use crate::sections::TranslationReport;
use crate::translation::{Emulator, Linked, Selection};
use crate::{dead_code, segments};
use lithify_control::{BootConfig, Profile};
use lithify_runner::{CompiledCache, Engine, RunnerError};
use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use wasmtime::{Instance, Module, Store, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

/// Memory is copied in pieces of this size, those of zeros not at all.
const PIECE: usize = 64 << 10;
/// The export that boots the machine.
const INITIALIZE: &str = "wizer-initialize";
/// The export that a WASI reactor wants called first, if it has one.
const REACTOR: &str = "_initialize";

/// Everything that decides a boot.
#[derive(Debug)]
pub struct Machine {
    /// The emulator, a wasm32-wasip1 reactor.
    pub emulator: Vec<u8>,
    /// The kernel `Image`.
    pub kernel: Vec<u8>,
    /// The initramfs, cpio.
    pub initramfs: Vec<u8>,
    /// Parameters.
    pub config: BootConfig,
    /// The root file system image, read at positions.
    pub rootfs: File,
    /// The line of the program's output that says that it is ready. Only with
    /// [`BootConfig::warm`], where init does not wait for something else.
    pub awaited_line: Option<LineTest>,
    /// Code that is translated, if any.
    pub translate: Option<Selection>,
}

impl Machine {
    /// The same machine once more.
    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            emulator: self.emulator.clone(),
            kernel: self.kernel.clone(),
            initramfs: self.initramfs.clone(),
            config: self.config.clone(),
            rootfs: self.rootfs.try_clone()?,
            awaited_line: None,
            translate: None,
        })
    }
}

/// Looks for one line of output.
pub struct LineTest(Box<IsMet>);

type IsMet = dyn FnMut(&[u8]) -> bool + Send;

impl LineTest {
    /// The line for which `is_met` is true; it is asked of each, without its end.
    #[must_use]
    pub fn new(is_met: impl FnMut(&[u8]) -> bool + Send + 'static) -> Self {
        Self(Box::new(is_met))
    }

    pub(crate) fn is_met(&mut self, line: &[u8]) -> bool {
        self.0(line.trim_ascii_end())
    }
}

impl std::fmt::Debug for LineTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LineTest")
    }
}

/// A module that continues where the boot ended, its rootfs still an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    pub(crate) module: Vec<u8>,
    translation: Option<TranslationReport>,
    sizes: MachineSizes,
}

impl Frozen {
    /// The module.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.module
    }

    /// What was translated, if anything.
    #[must_use]
    pub fn translation(&self) -> Option<TranslationReport> {
        self.translation
    }

    /// Where the machine's bytes are.
    #[must_use]
    pub fn sizes(&self) -> MachineSizes {
        self.sizes
    }
}

/// Why there is nothing to freeze.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// The emulator file is not what this version works with.
    #[error("the emulator does not fit this version: {0}")]
    Emulator(String),
    /// The emulator could not be compiled, or its compiled form not kept.
    #[error("cannot compile the emulator: {0}")]
    Compile(#[from] RunnerError),
    /// The rootfs image could not be measured.
    #[error("cannot read the rootfs image: {0}")]
    Rootfs(#[source] io::Error),
    /// The emulator asked the host for what it must ask again after every thaw.
    #[error("the emulator called `{call}` before the freeze\n{log}")]
    TouchedHost {
        /// The WASI call.
        call: String,
        /// What was printed last.
        log: String,
    },
    /// The guest did not get as far as asking for the freeze.
    #[error(
        "the machine did not come up with {} MiB of memory: {reason}{}",
        memory_bytes >> 20,
        last_words(log)
    )]
    DidNotComeUp {
        /// The guest's RAM in bytes.
        memory_bytes: u64,
        /// How the emulator ended.
        reason: String,
        /// The kernel's last lines.
        log: String,
    },
    /// The program that was to be frozen with the machine did not get ready.
    #[error("{reason}{}", output(log))]
    NotReady {
        /// What became of it.
        reason: String,
        /// The last lines of its output.
        log: String,
    },
}

/// What starts the line in which the emulator itself explains why it gives up.
const OWN_LINE: &str = "lithify: ";
/// What follows there if the program is to blame.
const OF_PROGRAM: &str = "warm: ";

impl FreezeError {
    /// The emulator's own explanation, its last line, says more than the `trap` that follows it.
    fn did_not_come_up(memory_bytes: u64, trap: String, log: &str) -> Self {
        let (before, last) = log.trim_end().rsplit_once('\n').unwrap_or(("", log.trim_end()));
        if let Some(reason) = last.strip_prefix(OWN_LINE).and_then(|s| s.strip_prefix(OF_PROGRAM)) {
            return Self::NotReady { reason: reason.to_owned(), log: before.to_owned() };
        }
        let (reason, log) = match last.strip_prefix(OWN_LINE) {
            Some(explanation) => (explanation.to_owned(), before.to_owned()),
            None => (trap, log.to_owned()),
        };
        Self::DidNotComeUp { memory_bytes, reason, log }
    }
}

/// What a program said last, if it said anything.
fn output(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("; its last output:\n{log}") }
}

/// A kernel that said nothing had no occasion to run out of memory.
fn last_words(log: &str) -> String {
    if log.is_empty() {
        return String::new();
    }
    format!("\n{log}\nif the kernel ran out of memory, build with a larger --memory")
}

/// Boots `machine` and freezes it. `log` gets the kernel's messages by line. The compiled
/// emulator is kept in `cache`: it is the same for all builds.
///
/// # Errors
/// If the emulator is not usable or the guest ends before it is ready.
pub fn freeze(
    engine: &Engine,
    cache: &CompiledCache,
    machine: Machine,
    log: impl FnMut(&[u8]) + Send + 'static,
) -> Result<Frozen, FreezeError> {
    let wasm = machine.emulator.clone();
    let memory_bytes = machine.config.memory_bytes;
    let selection = machine.translate.clone();
    let mut wizer = Wizer::new();
    wizer.init_func(INITIALIZE);
    let (context, instrumented) = wizer.instrument(&wasm).map_err(emulator)?;
    let rehearsed = machine.try_clone().map_err(FreezeError::Rootfs)?;
    let kernel = machine.kernel.clone();
    let (mut store, instance) = load(engine, cache, &instrumented, machine, log)?;
    let outcome = boot(&mut store, &instance)?;
    if let Some(call) = store.data().touched() {
        let (call, log) = (call.to_owned(), store.data().log_tail());
        return Err(FreezeError::TouchedHost { call, log });
    }
    outcome.map_err(|error| {
        let trap = error.root_cause().to_string();
        FreezeError::did_not_come_up(memory_bytes, trap, &store.data().log_tail())
    })?;
    let mut rehearsed = load(engine, cache, &instrumented, rehearsed, |_: &[u8]| {})?;
    let is_copied = copy_memory(&store, &mut rehearsed.0).is_some();
    let place = Place::find(&wasm).map_err(unfit)?;
    let linked = selection
        .as_ref()
        .map(|selection| {
            let mut emulator = Emulator { store: &mut store, instance };
            emulator.translate(selection, place).map_err(unfit)
        })
        .transpose()?;
    let footprint = if is_copied { rehearse(rehearsed, linked.as_ref()) } else { Vec::new() };
    let translation = linked.map(|linked| linked.translation);
    let mut booted = Emulator { store: &mut store, instance };
    let kinds = booted.kinds(&kernel).map_err(unfit)?;
    booted.settle(&footprint).map_err(unfit)?;
    let census = booted.census(&kinds).map_err(unfit)?;
    let mut state = Booted { store: &mut store, instance };
    let frozen = complete(wizer.snapshot(&context, &mut state)).map_err(emulator)?;
    let report = translation.as_ref().map(TranslationReport::of);
    let functions = translation.map_or(Vec::new(), |translation| translation.functions);
    let module = append(&frozen, place, &functions).map_err(unfit)?;
    let module = dead_code::remove(&module).map_err(unfit)?;
    let module = segments::cut(&module).map_err(unfit)?;
    let sizes = census.measure(&module).map_err(unfit)?;
    Ok(Frozen { module, translation: report, sizes })
}

/// What a start of the booted machine will use: it is rehearsed in a copy. Nothing is known if that
/// fails, for which a small memory is a reason.
fn rehearse(
    (mut store, instance): (Store<BootHost>, Instance),
    linked: Option<&Linked>,
) -> Vec<u8> {
    Emulator { store: &mut store, instance }.rehearse(linked).unwrap_or_default()
}

/// Makes one instance's memory that of another. The globals are alike: the emulator has returned, so
/// its one mutable global, the stack pointer, is what it was at the start.
fn copy_memory(from: &Store<BootHost>, to: &mut Store<BootHost>) -> Option<()> {
    let (original, memory) = (from.data().memory()?, to.data().memory()?);
    let missing = original.size(from).checked_sub(memory.size(&*to))?;
    memory.grow(&mut *to, missing).ok()?;
    let pieces = original.data(from).chunks(PIECE).zip(memory.data_mut(to).chunks_mut(PIECE));
    for (from, to) in pieces.filter(|(from, to)| from != to) {
        to.copy_from_slice(from);
    }
    Some(())
}

/// Boots `machine`, runs its program until it ends, waits for something from outside or has executed
/// `max_instructions`, and returns how often which code was executed. Time is virtual, and there is
/// no input and no network.
///
/// # Errors
/// If the emulator is not usable or the guest ends before it is ready.
pub fn train(
    engine: &Engine,
    cache: &CompiledCache,
    machine: Machine,
    max_instructions: u64,
    log: impl FnMut(&[u8]) + Send + 'static,
) -> Result<Profile, FreezeError> {
    let memory_bytes = machine.config.memory_bytes;
    let mut wizer = Wizer::new();
    wizer.init_func(INITIALIZE);
    // As it is for the freeze: one compiled form serves both.
    let (_, instrumented) = wizer.instrument(&machine.emulator.clone()).map_err(emulator)?;
    let (mut store, instance) = load(engine, cache, &instrumented, machine, log)?;
    let profile = match start_reactor(&mut store, &instance)? {
        Ok(()) => Emulator { store: &mut store, instance }.profile(max_instructions),
        Err(error) => return Err(emulator(error)),
    };
    match profile {
        Ok(Some(profile)) => Ok(profile),
        Ok(None) => {
            let log = store.data().log_tail();
            Err(FreezeError::did_not_come_up(memory_bytes, String::new(), &log))
        }
        Err(error) => Err(unfit(error)),
    }
}

fn load(
    engine: &Engine,
    cache: &CompiledCache,
    instrumented: &[u8],
    machine: Machine,
    log: impl FnMut(&[u8]) + Send + 'static,
) -> Result<(Store<BootHost>, Instance), FreezeError> {
    let module = cache.module(engine, instrumented)?;
    check_imports(&module)?;
    let host = BootHost::new(machine, Box::new(log)).map_err(FreezeError::Rootfs)?;
    let mut store = Store::new(engine.wasmtime(), host);
    let instance = instantiate(&mut store, &module).map_err(emulator)?;
    Ok((store, instance))
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes its error by value")]
fn emulator(error: wasmtime::Error) -> FreezeError {
    FreezeError::Emulator(error.root_cause().to_string())
}

fn unfit(error: impl std::fmt::Display) -> FreezeError {
    FreezeError::Emulator(error.to_string())
}

fn check_imports(module: &Module) -> Result<(), FreezeError> {
    let unknown = module.imports().find(|import| match import.module() {
        LITHIFY => BuildImport::of_name(import.name()).is_none(),
        other => other != WASI,
    });
    match unknown {
        None => Ok(()),
        Some(import) => Err(FreezeError::Emulator(format!(
            "it imports `{}` from `{}`",
            import.name(),
            import.module()
        ))),
    }
}

fn instantiate(store: &mut Store<BootHost>, module: &Module) -> wasmtime::Result<Instance> {
    let linker = host::link(store, module)?;
    let instance = linker.instantiate(&mut *store, module)?;
    let memory = instance.get_memory(&mut *store, "memory");
    store.data_mut().set_memory(memory);
    Ok(instance)
}

/// The outer error is a wrong emulator, the inner one a machine that ended.
fn boot(
    store: &mut Store<BootHost>,
    instance: &Instance,
) -> Result<wasmtime::Result<()>, FreezeError> {
    match start_reactor(store, instance)? {
        Ok(()) => call(store, instance, INITIALIZE),
        error => Ok(error),
    }
}

/// A reactor without constructors has no `_initialize`.
fn start_reactor(
    store: &mut Store<BootHost>,
    instance: &Instance,
) -> Result<wasmtime::Result<()>, FreezeError> {
    match instance.get_func(&mut *store, REACTOR) {
        Some(_) => call(store, instance, REACTOR),
        None => Ok(Ok(())),
    }
}

fn call(
    store: &mut Store<BootHost>,
    instance: &Instance,
    name: &str,
) -> Result<wasmtime::Result<()>, FreezeError> {
    let function = instance.get_typed_func::<(), ()>(&mut *store, name).map_err(emulator)?;
    Ok(function.call(&mut *store, ()))
}

/// State of the instance after the boot, as wizer asks for it.
struct Booted<'a> {
    store: &'a mut Store<BootHost>,
    instance: Instance,
}

impl InstanceState for Booted<'_> {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let global = self.instance.get_global(&mut *self.store, name);
        match global.expect("wizer exports every mutable global").get(&mut *self.store) {
            Val::I32(value) => SnapshotVal::I32(value),
            Val::I64(value) => SnapshotVal::I64(value),
            Val::F32(bits) => SnapshotVal::F32(bits),
            Val::F64(bits) => SnapshotVal::F64(bits),
            Val::V128(value) => SnapshotVal::V128(value.as_u128()),
            other => {
                unreachable!("wizer refuses mutable globals of type {:?}", other.ty(&*self.store))
            }
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let memory = self.instance.get_memory(&mut *self.store, name);
        contents(memory.expect("wizer exports every memory").data(&*self.store));
    }
}

/// Wizer is written for asynchronous engines; [`Booted`] never waits, so one poll is enough.
fn complete<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("no future of `Booted` waits"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emulator_s_own_words_replace_the_trap() {
        let message =
            |log| FreezeError::did_not_come_up(64 << 20, "wasm trap".into(), log).to_string();
        let start = "the machine did not come up with 64 MiB of memory: ";
        let hint = "if the kernel ran out of memory, build with a larger --memory";
        assert_eq!(message(""), format!("{start}wasm trap"));
        assert_eq!(message("lithify: too small"), format!("{start}too small"));
        assert_eq!(message("panic"), format!("{start}wasm trap\npanic\n{hint}"));
        assert_eq!(message("lithify: warm: it ended"), "it ended");
        assert_eq!(message("oops\nlithify: warm: it ended"), "it ended; its last output:\noops");
        assert_eq!(message("panic\nlithify: halted"), format!("{start}halted\npanic\n{hint}"));
    }
}
