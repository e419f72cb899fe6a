//! Second half: thaw, start the container, carry bytes until it exits.

use lithify_control::wire::WireError;
use lithify_control::{Frame, Overrides, Statistics, exit_code};
use lithify_machine::{GENERATION_ID_LEN, Halt, Machine, Status, Translated};
use lithify_net::Buffers;

use crate::bindings::{Messages, Randomness, Streams, WasiClock, number};
use crate::events::Events;
use crate::network::Network;
use crate::request::RequestError;
use crate::rom::Rom;
use crate::session::Progress;
use crate::wasi;
use crate::{Frozen, Stage};
use crate::{crash, files, imports, request, trial};

/// Parts of the bindings that learn about the thaw.
#[derive(Debug)]
pub(crate) struct Handles {
    pub(crate) randomness: Randomness,
    pub(crate) messages: Messages,
    pub(crate) streams: Streams,
    pub(crate) rom: Rom,
}

/// Longest single wait: a guest without timers still looks up now and then.
const MAX_WAIT_NS: u64 = 3_600_000_000_000;

/// How long a container that is done may take to hand what it has sent to the host: peers that do not
/// read must not hold it up for ever.
const LINGER_NS: u64 = 1_000_000_000;

/// While output waits for a slow host, it is offered again this often.
const OUTPUT_RETRY_NS: u64 = 1_000_000;

/// Foreign runtimes may refuse codes from here on: wasmtime's command line prints an error and
/// ends with 1.
const FIRST_REFUSED_CODE: u32 = 126;

/// How a run ends.
pub(crate) enum End {
    /// With this exit code.
    Exit(u32),
    /// With a machine that is to be kept.
    Frozen(Box<Frozen>),
}

/// Runs the artifact.
pub(crate) fn run(frozen: Frozen) -> End {
    let overrides = request::overrides();
    let is_foreign = matches!(overrides, Ok(None));
    let end = run_with(frozen, overrides.map(Option::unwrap_or_default));
    if let End::Exit(code @ FIRST_REFUSED_CODE..) = end
        && is_foreign
    {
        wasi::report(&format!("exit code {code}"));
    }
    end
}

fn run_with(mut frozen: Frozen, overrides: Result<Overrides, WireError>) -> End {
    let statistics = overrides.as_ref().is_ok_and(|overrides| overrides.statistics);
    let before = counts(&frozen.machine);
    if let Ok(overrides @ Overrides { trial: Some(trial), .. }) = &overrides {
        let code = trial::run(&mut frozen, overrides, *trial);
        if statistics {
            report_statistics(before, &frozen);
        }
        return End::Exit(code);
    }
    let network = match thaw(&mut frozen, overrides) {
        Ok(network) => network,
        Err(error) => return End::Exit(fail(&error.to_string())),
    };
    let end = carry(&mut frozen, Events::open(), network.as_ref());
    if statistics {
        report_statistics(before, &frozen);
    }
    match end {
        Some(code) => {
            // The program ends: to give memory back is to write it, and so to copy the artifact's first.
            std::mem::forget(frozen);
            End::Exit(code)
        }
        None => {
            freeze(&mut frozen);
            End::Frozen(Box::new(frozen))
        }
    }
}

/// Counts at one moment.
fn counts(machine: &Machine) -> Statistics {
    let Translated { instructions, calls } = machine.translated();
    Statistics {
        instructions: machine.instret(),
        translated: instructions,
        calls,
        new_pages: machine.touched_pages() as u64,
        rom_bytes: imports::rom_bytes(),
        ..Statistics::default()
    }
}

/// Tells the runner what was counted and measured since the thaw.
fn report_statistics(before: Statistics, frozen: &Frozen) {
    let now = counts(&frozen.machine);
    let times = frozen.session.take_times();
    let since = Statistics {
        instructions: now.instructions - before.instructions,
        translated: now.translated - before.translated,
        calls: now.calls - before.calls,
        new_pages: now.new_pages.saturating_sub(before.new_pages),
        rom_bytes: now.rom_bytes - before.rom_bytes,
        thawed_ns: times.map_or(0, |times| times.thawed_ns),
        executed_ns: times.map_or(0, |times| times.executed_ns),
    };
    if let Some(file) = wasi::open_preopened(Overrides::DIRECTORY, Statistics::FILE) {
        let _ = wasi::write(file, &since.encode());
    }
}

/// Joins the machine to this host, and tells the guest what it is to do.
fn thaw(
    frozen: &mut Frozen,
    overrides: Result<Overrides, WireError>,
) -> Result<Option<Network>, RequestError> {
    let Frozen { machine, session, handles, process, stage, buffers, .. } = frozen;
    let overrides = overrides?;
    handles.messages.thaw(overrides.kernel_log);
    let files = files::find();
    let network = Network::find(buffers)?;
    let has_network = network.is_some();
    let frame = match *stage {
        Stage::Running { .. } if files.is_some() => return Err(RequestError::LateMount),
        Stage::Running { terminal } => {
            Frame::Renew(request::renewal(&overrides, has_network, terminal)?)
        }
        Stage::Empty => {
            let mut request = request::start(process, &overrides, has_network)?;
            request.tell_execution = overrides.statistics;
            *stage = Stage::Running { terminal: request.terminal.is_some() };
            if let Some(files) = files {
                request.mounts = files.mounts;
                machine.serve_files(Some(files.server));
            }
            Frame::Start(request)
        }
    };
    let mut generation = [0; GENERATION_ID_LEN];
    wasi::random(&mut generation).map_err(RequestError::NoRandomness)?;
    handles.randomness.thaw();
    handles.streams.thaw();
    handles.rom.forget();
    machine.connect(network.as_ref().map(Network::link));
    machine.thaw(Box::new(WasiClock), generation);
    session.send(&frame);
    if overrides.statistics {
        session.measure(wasi::monotonic_ns);
    }
    Ok(network)
}

/// Leaves nothing of this host in a machine that stands still.
fn freeze(frozen: &mut Frozen) {
    frozen.machine.suspend();
    frozen.handles.streams.freeze();
    frozen.handles.messages.freeze();
    frozen.handles.rom.forget();
    frozen.buffers = Buffers::ahead();
}

fn fail(why: &str) -> u32 {
    wasi::report(why);
    exit_code::LITHIFY
}

/// Runs the machine until its container is done and all output is delivered: its exit code; none if
/// the machine is to be kept, with the container standing still in it.
fn carry(frozen: &mut Frozen, mut events: Events, network: Option<&Network>) -> Option<u32> {
    let Frozen { machine, session, handles, memory_bytes, .. } = frozen;
    let mut ended = None;
    loop {
        if let Err(error) = events.forward(session) {
            return Some(fail(&format!("the runner's events: {error}")));
        }
        let status = machine.run_slice();
        match session.progress() {
            Progress::Working | Progress::Ready => {}
            // What the host has not taken, the next one will get.
            Progress::Settled => return None,
            _ if machine.has_pending_output() => {}
            Progress::Exited(_) if lingers(network, &mut ended) => {}
            Progress::Exited(code) => {
                explain(code, &handles.messages, *memory_bytes);
                return Some(code);
            }
            Progress::Failed { code, message } => {
                wasi::report(&String::from_utf8_lossy(&message));
                return Some(code);
            }
            Progress::Broken(error) => return Some(fail(&format!("control port: {error}"))),
        }
        match status {
            Status::Running => {}
            Status::Idle { wake_ns } => {
                let longest = if ended.is_some() { LINGER_NS } else { MAX_WAIT_NS };
                wait(machine, &events, network, wake_ns.unwrap_or(longest).min(longest));
            }
            Status::Halted(halt) => {
                return Some(halted(halt, &handles.messages, *memory_bytes));
            }
        }
    }
}

/// Whether the container, done since `ended`, has sent what the host has not taken yet.
fn lingers(network: Option<&Network>, ended: &mut Option<u64>) -> bool {
    if network.is_none_or(Network::is_drained) {
        return false;
    }
    let now = wasi::monotonic_ns();
    now - *ended.get_or_insert(now) < LINGER_NS
}

/// Sleeps in the host until the guest's or the network's next timer, an event, a socket that is ready
/// or input that the guest can take, at most for so many nanoseconds.
fn wait(machine: &Machine, events: &Events, network: Option<&Network>, longest_ns: u64) {
    let input = machine.wanted_input().any(|port| port == number::STDIN);
    let retry = machine.has_pending_output().then_some(OUTPUT_RETRY_NS);
    let rest = network.and_then(Network::rest).map(|rest| rest.as_nanos() as u64);
    let nearest = [retry, rest].into_iter().flatten().fold(longest_ns, u64::min);
    wasi::wait(input, [events.file(), network.map(Network::ready)], nearest);
}

/// Says why a program may have failed that could not.
fn explain(code: u32, messages: &Messages, memory_bytes: u64) {
    if code != 0
        && let Some(why) = crash::out_of_memory(&messages.tail(), memory_bytes)
    {
        wasi::report(&why);
    }
}

fn halted(halt: Halt, messages: &Messages, memory_bytes: u64) -> u32 {
    let log = messages.tail();
    let (lines, reason) = crash::report(halt, &log, memory_bytes);
    wasi::print_error(lines.as_bytes());
    fail(&reason)
}
