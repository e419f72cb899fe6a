//! Waiting: `poll_oneoff` over one call of `wasi:io/poll`.

use wasip2::clocks::monotonic_clock;
use wasip2::io::poll::{Pollable, poll};

use crate::bridge;
use crate::descriptors::Descriptor;
use crate::errno::{Errno, Result};
use crate::host::Host;
use crate::memory::array;
use crate::sockets::{Sockets, Watched};

/// Bytes of a `subscription` and of an `event`.
const SUBSCRIPTION_LEN: usize = 48;
const EVENT_LEN: u32 = 32;

/// Event types, the tag of a subscription.
const CLOCK: u8 = 0;
const FD_READ: u8 = 1;

/// `subclockflags`: the time is a point, not a length.
const ABSTIME: u16 = 1;

/// More than the artifact ever asks for at once.
const MAX_SUBSCRIPTIONS: u32 = 64;

/// What is waited for.
enum Wish {
    Time(Pollable),
    Input,
    Sockets,
}

struct Subscription {
    userdata: [u8; 8],
    kind: u8,
    wish: Wish,
}

impl Subscription {
    fn read(at: u32) -> Result<Self> {
        let bytes: [u8; SUBSCRIPTION_LEN] = array(at);
        let word = |from: usize| {
            let bytes = bytes[from..].first_chunk().expect("fields lie within the subscription");
            u64::from_le_bytes(*bytes)
        };
        let kind = bytes[8];
        let wish = match kind {
            CLOCK if word(40) as u16 & ABSTIME != 0 => return Err(Errno::NOTSUP),
            CLOCK => Wish::Time(monotonic_clock::subscribe_duration(word(24))),
            FD_READ => match Descriptor::of(word(16) as u32) {
                Descriptor::Stdin => Wish::Input,
                Descriptor::Ready => Wish::Sockets,
                _ => return Err(Errno::NOTSUP),
            },
            _ => return Err(Errno::NOTSUP),
        };
        Ok(Self { userdata: word(0).to_le_bytes(), kind, wish })
    }

    /// The event that it has happened.
    fn event(&self) -> [u8; EVENT_LEN as usize] {
        let mut event = [0; EVENT_LEN as usize];
        event[..8].copy_from_slice(&self.userdata);
        event[10] = self.kind;
        event
    }
}

/// What an entry of the list is about.
enum Entry {
    Subscription(usize),
    Socket(Watched),
}

/// Waits for one of so many subscriptions; returns how many events it has written.
pub(crate) fn wait(host: &mut Host, subscriptions: u32, events: u32, count: u32) -> Result<u32> {
    if count == 0 || count > MAX_SUBSCRIPTIONS {
        return Err(Errno::INVAL);
    }
    let at = |number: u32| subscriptions.wrapping_add(number * SUBSCRIPTION_LEN as u32);
    let wishes: Result<Vec<_>> = (0..count).map(|n| Subscription::read(at(n))).collect();
    let wishes = wishes?;
    let mut happened = vec![false; wishes.len()];
    let of_sockets = wishes.iter().position(|wish| matches!(wish.wish, Wish::Sockets));
    let is_known = host.sockets.as_ref().is_some_and(Sockets::has_ready);
    match of_sockets {
        Some(number) if is_known => happened[number] = true,
        _ => wait_for(host, &wishes, of_sockets, &mut happened),
    }
    let mut written = 0;
    for (wish, _) in wishes.iter().zip(happened).filter(|(_, happened)| *happened) {
        bridge::write(events.wrapping_add(written * EVENT_LEN), &wish.event());
        written += 1;
    }
    Ok(written)
}

fn wait_for(
    host: &mut Host,
    wishes: &[Subscription],
    of_sockets: Option<usize>,
    happened: &mut [bool],
) {
    let (mut pollables, mut entries) = (Vec::new(), Vec::new());
    for (number, wish) in wishes.iter().enumerate() {
        match &wish.wish {
            Wish::Time(pollable) => pollables.push(pollable),
            Wish::Input => pollables.push(&host.stdin.pollable),
            Wish::Sockets => continue,
        }
        entries.push(Entry::Subscription(number));
    }
    if let (Some(sockets), Some(_)) = (&host.sockets, of_sockets) {
        for (watched, pollable) in sockets.watched() {
            pollables.push(pollable);
            entries.push(Entry::Socket(watched));
        }
    }
    // Nothing to wait for is an error of the call below.
    if pollables.is_empty() {
        return;
    }
    let ready = poll(&pollables);
    let mut sockets = host.sockets.as_mut();
    for number in ready {
        match &entries[number as usize] {
            Entry::Subscription(number) => happened[*number] = true,
            Entry::Socket(watched) => {
                if let Some(sockets) = &mut sockets {
                    sockets.note(*watched);
                }
            }
        }
    }
    if let (Some(sockets), Some(number)) = (sockets, of_sockets) {
        happened[number] = sockets.has_ready();
    }
}
