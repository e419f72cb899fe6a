//! A start before the freeze, so that what every start uses lies ready in the artifact: see
//! [`lithify_machine::Footprint`].
//!
//! The build rehearses in a copy of the instance, which it then throws away. The booted machine goes
//! the way of a start without overrides: init thaws and starts the image's program, or lets the one go
//! on that runs already; at a port where that listens, somebody asks for a page. What it prints is
//! dropped, its input is at its end, and its clock and randomness are made up, so that equal builds stay
//! equal. Only the list of what it has used gets into the instance that is frozen.

use std::cell::Cell;
use std::rc::Rc;

use lithify_control::{
    BootConfig, Frame, ImageProcess, Readiness, Renewal, StartRequest, THAW_ENTROPY_LEN, Warm,
    WindowSize,
};
use lithify_machine::host::{Clock, Console, Entropy, Input, KernelLog};
use lithify_machine::{Footprint, GENERATION_ID_LEN, Hosts, Machine, PageInUse, Status};

use crate::bindings::{Randomness, number};
use crate::session::{Progress, Session};
use crate::translation::{self, hand_over};
use crate::visits::Visits;
use crate::{FROZEN, Frozen, Stage, boot, request, scrub};

/// What a start does first matters; a program that computes on would only fill the list.
const MAX_INSTRUCTIONS: u64 = 100_000_000;

/// The made-up clock goes on by this at every look: a start takes some milliseconds in which the kernel's
/// timer ticks.
const TICK_NS: u64 = 50_000;

/// Rehearses a start of the booted machine, which is gone then; returns address and length of the encoded
/// footprint, the address in the upper half. If something is translated, the [buffer](translation::table)
/// holds the table, `table` bytes long, and the records of the translated pieces.
#[unsafe(export_name = "lithify_rehearse")]
pub(crate) extern "C" fn rehearse(table: u32) -> u64 {
    let buffer = translation::take_buffer();
    let translated = buffer.split_at_checked(table as usize).unwrap_or_default();
    let footprint = FROZEN.take().map_or_else(Footprint::default, |it| footprint(it, translated));
    hand_over(footprint.encode())
}

/// Makes the booted machine small, with what the footprint in the [buffer](translation::table)
/// names at hand.
#[unsafe(export_name = "lithify_settle")]
pub(crate) extern "C" fn settle() {
    let used = Footprint::decode(&translation::take_buffer()).unwrap_or_default();
    // What is decoded below must not lie in between the remains of what is given back here.
    translation::with_machine(Machine::release_code);
    scrub::zero_free_memory();
    translation::with_machine(|machine| machine.compact(&used));
    drop(used);
    scrub::retire_free_memory();
}

/// Where the pages of the settled machine's RAM are: address and length of records of two words, the
/// address in the upper half. The words are a page's number and its address.
#[unsafe(export_name = "lithify_census")]
pub(crate) extern "C" fn census() -> u64 {
    let pages = translation::with_machine(|machine| machine.census()).unwrap_or_default();
    let words = |page: PageInUse| [page.page, page.address];
    hand_over(pages.into_iter().flat_map(words).flat_map(u32::to_le_bytes).collect())
}

/// What a start of the booted machine uses, with a table of translated code and the pieces.
fn footprint(frozen: Frozen, (table, pieces): (&[u8], &[u8])) -> Footprint {
    let Frozen { machine, handles, process, stage, .. } = frozen;
    let process = boot::read_config().map_or(process, |config| config.prepared().clone());
    let (still, realtime_ns) = (machine.freeze(), machine.realtime_ns());
    // A large one has no place beside its copy.
    drop(machine);
    let session = Session::new();
    let clock = MadeUpClock::default();
    let visits = match stage {
        Stage::Empty => None,
        Stage::Running { .. } => visits(),
    };
    let hosts = Hosts {
        console: Box::new(Audience { session: session.clone() }),
        entropy: Box::new(made_up_randomness()),
        disk: Box::new(handles.rom),
        kernel_log: Box::new(Deaf),
        link: visits.as_ref().map(Visits::link),
    };
    let mut copy = still.thaw(hosts, Box::new(clock.clone()), [0x5a; GENERATION_ID_LEN]);
    if !table.is_empty() {
        // A table that is damaged is refused later.
        let _ = copy.rehearse(table, pieces);
    }
    session.send(&match stage {
        Stage::Empty => Frame::Start(start(&process, realtime_ns)),
        Stage::Running { terminal } => {
            Frame::Renew(renewal(realtime_ns, visits.is_some(), terminal))
        }
    });
    match stage {
        Stage::Empty => run(&mut copy, &session, &clock),
        Stage::Running { .. } => go_on(&mut copy, &session, &clock, visits.as_ref()),
    }
    copy.footprint(&still)
}

/// Visits of the port at which the program listens.
fn visits() -> Option<Visits> {
    let BootConfig { warm, .. } = boot::read_config().ok()?;
    match warm? {
        Warm { readiness: Some(Readiness::Port(port)), visits, .. } => {
            let paths = if visits.is_empty() { vec![b"/".to_vec()] } else { visits };
            Some(Visits::new(port, &paths))
        }
        _ => None,
    }
}

fn made_up_randomness() -> Randomness {
    Randomness::seeded([0x5a; 32])
}

fn made_up_entropy() -> [u8; THAW_ENTROPY_LEN] {
    let mut entropy = [0; THAW_ENTROPY_LEN];
    made_up_randomness().fill(&mut entropy);
    entropy
}

const HOSTNAME: &[u8] = b"rehearsal";

/// An image without a program of its own gets one that is not there: init's part is the same.
fn start(process: &ImageProcess, realtime_ns: u64) -> StartRequest {
    let argv = request::default_command(process).unwrap_or_else(|_| vec![b"/".to_vec()]);
    StartRequest {
        env: process.env.clone(),
        cwd: process.cwd.clone(),
        user: process.user.clone(),
        hostname: HOSTNAME.to_vec(),
        ..StartRequest::new(argv, realtime_ns, made_up_entropy())
    }
}

fn renewal(realtime_ns: u64, network: bool, terminal: bool) -> Renewal {
    Renewal {
        hostname: HOSTNAME.to_vec(),
        realtime_ns,
        entropy: made_up_entropy(),
        env: Vec::new(),
        mounts: Vec::new(),
        network,
        hosts: Vec::new(),
        terminal: terminal.then_some(WindowSize { rows: 24, columns: 80 }),
        freeze_at: None,
    }
}

/// Until the program ends, waits for something from outside, or has executed enough.
fn run(copy: &mut Machine, session: &Session, clock: &MadeUpClock) {
    let end = copy.instret().saturating_add(MAX_INSTRUCTIONS);
    while copy.instret() < end && session.progress() == Progress::Working {
        match copy.run_slice() {
            Status::Running => {}
            Status::Idle { wake_ns: Some(ns) } => clock.skip(ns),
            Status::Idle { wake_ns: None } | Status::Halted(_) => return,
        }
    }
}

/// Until the program that runs waits, for whatever it is, and has answered its visitors.
fn go_on(copy: &mut Machine, session: &Session, clock: &MadeUpClock, visits: Option<&Visits>) {
    let end = copy.instret().saturating_add(MAX_INSTRUCTIONS);
    while copy.instret() < end && session.progress() == Progress::Working {
        visits.iter().for_each(|visits| visits.set_time(clock.0.get()));
        let wake_ns = match copy.run_slice() {
            Status::Running => continue,
            Status::Idle { wake_ns } => wake_ns,
            Status::Halted(_) => return,
        };
        let Some(visits) = visits.filter(|visits| !visits.are_over()) else { return };
        let next = [wake_ns, visits.rest()].into_iter().flatten().min();
        let Some(next) = next else { return };
        clock.skip(next);
    }
}

#[derive(Debug, Clone, Default)]
struct MadeUpClock(Rc<Cell<u64>>);

impl MadeUpClock {
    fn skip(&self, ns: u64) {
        self.0.set(self.0.get().saturating_add(ns));
    }
}

impl Clock for MadeUpClock {
    fn monotonic_ns(&mut self) -> u64 {
        self.skip(TICK_NS);
        self.0.get()
    }

    fn realtime_ns(&mut self) -> u64 {
        self.monotonic_ns()
    }
}

/// The console's far end: it talks with init and takes all output.
#[derive(Debug)]
struct Audience {
    session: Session,
}

impl Console for Audience {
    fn write(&mut self, port: u32, bytes: &[u8]) -> usize {
        if port == number::CONTROL {
            self.session.receive(bytes);
        }
        bytes.len()
    }

    fn read(&mut self, port: u32, into: &mut [u8]) -> Input {
        match port {
            number::CONTROL => match self.session.take(into) {
                0 => Input::Empty,
                len => Input::Bytes(len),
            },
            number::STDIN => Input::Closed,
            _ => Input::Empty,
        }
    }
}

#[derive(Debug)]
struct Deaf;

impl KernelLog for Deaf {
    fn write(&mut self, _bytes: &[u8]) {}
}
