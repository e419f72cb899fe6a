//! A start before the freeze, so that what every start uses lies ready in the artifact: see
//! [`lithify_machine::Footprint`].
//!
//! The build rehearses in an instance that it then throws away. A copy of the booted machine goes
//! the way of a start without overrides: init thaws and starts the image's program. What it prints
//! is dropped, its input is at its end, and its clock and randomness are made up, so that equal
//! builds stay equal. Only the list of what the copy has used gets into the instance that is frozen.

use std::cell::Cell;
use std::rc::Rc;

use lithify_control::{Frame, StartRequest, THAW_ENTROPY_LEN};
use lithify_machine::host::{Clock, Console, Entropy, Input, KernelLog};
use lithify_machine::{Footprint, GENERATION_ID_LEN, Hosts, Machine, Status};

use crate::bindings::{Randomness, number};
use crate::session::{Progress, Session};
use crate::translation::{self, hand_over};
use crate::{Frozen, boot, imports, request, scrub};

/// What a start does first matters; a program that computes on would only fill the list.
const MAX_INSTRUCTIONS: u64 = 100_000_000;

/// The made-up clock goes on by this at every look.
const TICK_NS: u64 = 1000;

/// Boots and rehearses; returns address and length of the encoded footprint, the address in the
/// upper half. 0 if the guest did not come up, which was then said.
#[unsafe(export_name = "lithify_rehearse")]
pub(crate) extern "C" fn rehearse() -> u64 {
    match boot::boot(boot::Counting::Off) {
        Ok(frozen) => hand_over(footprint(&frozen).encode()),
        Err(why) => {
            imports::boot_log(format!("{}{why}\n", why.prefix()).as_bytes());
            0
        }
    }
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

/// What a start of the booted machine uses.
fn footprint(frozen: &Frozen) -> Footprint {
    let still = frozen.machine.freeze();
    let session = Session::new();
    let clock = MadeUpClock::default();
    let hosts = Hosts {
        console: Box::new(Audience { session: session.clone() }),
        entropy: Box::new(made_up_randomness()),
        disk: Box::new(frozen.handles.rom.clone()),
        kernel_log: Box::new(Deaf),
        link: None,
    };
    let mut copy = still.thaw(hosts, Box::new(clock.clone()), [0x5a; GENERATION_ID_LEN]);
    session.send(&Frame::Start(start(frozen)));
    run(&mut copy, &session, &clock);
    copy.footprint(&still)
}

fn made_up_randomness() -> Randomness {
    Randomness::seeded([0x5a; 32])
}

/// An image without a program of its own gets one that is not there: init's part is the same.
fn start(frozen: &Frozen) -> StartRequest {
    let argv = request::default_command(&frozen.process).unwrap_or_else(|_| vec![b"/".to_vec()]);
    let mut entropy = [0; THAW_ENTROPY_LEN];
    made_up_randomness().fill(&mut entropy);
    let process = &frozen.process;
    StartRequest {
        env: process.env.clone(),
        cwd: process.cwd.clone(),
        user: process.user.clone(),
        hostname: b"rehearsal".to_vec(),
        ..StartRequest::new(argv, frozen.machine.realtime_ns(), entropy)
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
