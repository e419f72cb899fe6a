//! First half: power on, run until init is ready.

use lithify_control::wire::WireError;
use lithify_control::{
    BootConfig, ImageProcess, LISTEN_FOR_NOTIFY, Readiness, Warm, port, prefetch,
};
use lithify_machine::host::BootFile;
use lithify_machine::{BootError, Halt, Hosts, Machine, Setup, Status};
use lithify_net::Buffers;

use crate::bindings::{BootImport, Messages, Ports, Randomness, Streams};
use crate::imports::BootItem;
use crate::rom::Rom;
use crate::run::Handles;
use crate::session::{Progress, Session};
use crate::{Frozen, Stage, request, warm};

/// The kernel prints errors and worse: every line costs boot instructions, and what stops a boot is
/// at least an error.
const KERNEL_ARGS: &str = "console=hvc0 loglevel=4 panic=-1";

/// Boots that take longer are stuck; a normal one is 25 million.
const MAX_INSTRUCTIONS: u64 = 20_000_000_000;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Why there is no machine to freeze.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootFailure {
    #[error("boot configuration: {0}")]
    Config(#[from] WireError),
    #[error("boot configuration: kernel arguments are not UTF-8")]
    KernelArgs,
    #[error("{0}")]
    Machine(#[from] BootError),
    #[error("the guest ended before it was ready ({0:?})")]
    Halted(Halt),
    #[error("the guest waits for something that never comes")]
    Stuck,
    #[error("the guest was not ready after {MAX_INSTRUCTIONS} instructions")]
    TooSlow,
    #[error("init said {0:?} instead of being ready")]
    Unexpected(Progress),
    #[error("{0}")]
    Warm(#[from] warm::NotReady),
}

impl BootFailure {
    /// What the line begins with that says this: the snapshot stage tells a machine that does not come
    /// up from a program that does not.
    pub(crate) fn prefix(&self) -> &'static str {
        match self {
            Self::Warm(_) => "lithify: warm: ",
            _ => "lithify: ",
        }
    }
}

/// Whether executions of blocks are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    Off,
    /// From when init is ready, which is where an artifact begins. Nothing but init is started.
    On,
}

pub(crate) fn boot(counting: Counting) -> Result<Frozen, BootFailure> {
    let mut config = read_config()?;
    let extra = str::from_utf8(&config.kernel_args).map_err(|_| BootFailure::KernelArgs)?;
    let (notify, prefetch) = (notify_args(config.warm.as_ref()), prefetch_args(config.prepared()));
    let extra = format!("{extra} {notify} {prefetch}");
    let session = Session::new();
    let handles = Handles {
        randomness: Randomness::seeded(config.entropy_seed),
        messages: Messages::booting(),
        streams: Streams::default(),
        rom: Rom::default(),
    };
    let ports = Ports { session: session.clone(), streams: handles.streams.clone() };
    let mut machine = Machine::new(Setup {
        memory_bytes: config.memory_bytes,
        epoch_ns: config.epoch_seconds.saturating_mul(NS_PER_SECOND),
        kernel: &mut BootImport(BootItem::Kernel),
        initramfs: &mut BootImport(BootItem::Initramfs),
        kernel_args: format!("{KERNEL_ARGS} {}", extra.trim()).trim_end(),
        rng_seed: &config.entropy_seed,
        ports: &port::ALL,
        hosts: Hosts {
            console: Box::new(ports),
            entropy: Box::new(handles.randomness.clone()),
            disk: Box::new(handles.rom.clone()),
            kernel_log: Box::new(handles.messages.clone()),
            link: None,
        },
    })?;
    run_until_ready(&mut machine, &session)?;
    let_timers_expire(&mut machine)?;
    if counting == Counting::On {
        machine.count_blocks();
        config.warm = None;
    }
    let BootConfig { process, memory_bytes, warm, .. } = config;
    let mut frozen = Frozen {
        machine,
        session,
        handles,
        process,
        memory_bytes,
        stage: Stage::Empty,
        buffers: Buffers::ahead(),
    };
    if let Some(warm) = warm {
        warm::start(&mut frozen, &warm)?;
    }
    Ok(frozen)
}

/// Longest value that is handed over: the kernel's command line has 1024 bytes.
const MAX_WORD: usize = 256;

/// Names the image's program, if that can be said in words of the command line.
fn prefetch_args(process: &ImageProcess) -> String {
    let plain = |word: &&[u8]| {
        word.len() <= MAX_WORD && word.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"')
    };
    let program = request::default_command(process).unwrap_or_default();
    let Some(program) = program.first().map(Vec::as_slice).filter(plain) else {
        return String::new();
    };
    let path = process.env.iter().find_map(|variable| variable.strip_prefix(b"PATH="));
    let path = path.filter(plain).unwrap_or_default();
    let [program, path] = [program, path].map(String::from_utf8_lossy);
    format!("{}={program} {}={path}", prefetch::PROGRAM, prefetch::PATH)
}

fn notify_args(warm: Option<&Warm>) -> &'static str {
    match warm.and_then(|warm| warm.readiness.as_ref()) {
        Some(Readiness::Notify) => LISTEN_FOR_NOTIFY,
        _ => "",
    }
}

pub(crate) fn read_config() -> Result<BootConfig, WireError> {
    let mut file = BootImport(BootItem::Config);
    let mut bytes = vec![0; file.len() as usize];
    file.read(0, &mut bytes);
    BootConfig::decode(&bytes)
}

/// What a boot puts off, as reports of its IPv6 addresses to routers, is done before the freeze, not in each
/// start.
const PUT_OFF_NS: u64 = 10 * NS_PER_SECOND;

/// Lets time pass for a machine that has nothing else to do.
fn let_timers_expire(machine: &mut Machine) -> Result<(), BootFailure> {
    let end = machine.now_ns().saturating_add(PUT_OFF_NS);
    while machine.now_ns() < end && machine.instret() < MAX_INSTRUCTIONS {
        match machine.run_slice() {
            Status::Idle { wake_ns } => {
                let rest = end.saturating_sub(machine.now_ns());
                machine.skip_idle(wake_ns.unwrap_or(rest).min(rest));
            }
            Status::Halted(halt) => return Err(BootFailure::Halted(halt)),
            Status::Running => {}
        }
    }
    Ok(())
}

/// Runs until init has said that it is ready and the guest has nothing left to do: it is then
/// blocked in the read that the start request will end.
fn run_until_ready(machine: &mut Machine, session: &Session) -> Result<(), BootFailure> {
    while machine.instret() < MAX_INSTRUCTIONS {
        let status = machine.run_slice();
        let ready = match session.progress() {
            Progress::Working => false,
            Progress::Ready => true,
            other => return Err(BootFailure::Unexpected(other)),
        };
        match status {
            Status::Idle { .. } if ready => return Ok(()),
            Status::Idle { wake_ns: Some(ns) } => machine.skip_idle(ns),
            Status::Idle { wake_ns: None } => return Err(BootFailure::Stuck),
            Status::Halted(halt) => return Err(BootFailure::Halted(halt)),
            Status::Running => {}
        }
    }
    Err(BootFailure::TooSlow)
}
