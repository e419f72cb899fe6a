//! `poll_oneoff`: sleep until input, output or a point in time.

use super::clock::{clock, now, timespec};
use super::errno::Errno;
use super::memory::GuestMemory;
use super::sockets::is_socket;
use super::{Host, Outcome};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::ClockId;
use std::os::fd::BorrowedFd;

const SUBSCRIPTION_SIZE: u32 = 48;
const EVENT_SIZE: usize = 32;
/// An emulator waits for its input, its timer and its outputs; a longer list is an attack on the
/// host's memory.
const MAX_SUBSCRIPTIONS: u32 = 64;
/// `subclockflags`: the timeout is a point in time.
const ABSTIME: u16 = 1;
/// `eventrwflags`: the peer has closed.
const HANGUP: u16 = 1;

/// `eventtype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum EventType {
    Clock = 0,
    FdRead = 1,
    FdWrite = 2,
}

enum Wish {
    /// Nanoseconds of this clock.
    Time {
        clock: ClockId,
        deadline: u64,
    },
    Stream {
        fd: u32,
        write: bool,
    },
}

struct Subscription {
    userdata: u64,
    wish: Wish,
}

struct Event {
    userdata: u64,
    errno: Errno,
    kind: EventType,
    hangup: bool,
}

impl Host {
    pub(super) fn poll_oneoff(
        &mut self,
        memory: &mut GuestMemory<'_>,
        subscriptions: u32,
        events: u32,
        count: u32,
        ready: u32,
    ) -> Outcome {
        if count == 0 || count > MAX_SUBSCRIPTIONS {
            return Err(Errno::Inval.into());
        }
        let wishes = (0..count)
            .map(|index| read_subscription(memory, subscriptions, index))
            .collect::<Result<Vec<_>, _>>()?;
        let happened = self.wait(&wishes)?;
        let bytes: Vec<u8> = happened.iter().flat_map(encode).collect();
        memory.put(events, &bytes)?;
        Ok(memory.put_u32(ready, happened.len() as u32)?)
    }

    fn wait(&self, wishes: &[Subscription]) -> Result<Vec<Event>, Errno> {
        loop {
            let nearest = wishes.iter().filter_map(|wish| remaining(&wish.wish)).min();
            let known = self.known_at_once(wishes);
            let limit = if known.is_empty() { nearest } else { Some(0) };
            let mut happened = self.poll_streams(wishes, limit)?;
            happened.extend(known);
            happened.extend(wishes.iter().filter_map(expired));
            // Empty after a signal, or when a clock other than the kernel's runs behind.
            if !happened.is_empty() {
                return Ok(happened);
            }
        }
    }

    /// Events that need no waiting: detached input is at its end, a bad descriptor is an error.
    fn known_at_once(&self, wishes: &[Subscription]) -> Vec<Event> {
        let known = wishes.iter().filter_map(|subscription| {
            let Wish::Stream { fd, .. } = subscription.wish else { return None };
            match self.pollable(fd) {
                Ok(Some(_)) => None,
                Ok(None) => Some(subscription.event(Errno::Success, true)),
                Err(errno) => Some(subscription.event(errno, false)),
            }
        });
        known.collect()
    }

    /// The host's descriptor that is waited for. Detached input has none.
    fn pollable(&self, fd: u32) -> Result<Option<BorrowedFd<'_>>, Errno> {
        if is_socket(fd) {
            return self.sockets.pollable(fd).map(Some);
        }
        self.folder.pollable(fd).map(Some).or_else(|_| self.streams.get(fd))
    }

    fn poll_streams(
        &self,
        wishes: &[Subscription],
        limit: Option<u64>,
    ) -> Result<Vec<Event>, Errno> {
        let mut waiting = Vec::new();
        let mut waiters = Vec::new();
        for subscription in wishes {
            let Wish::Stream { fd, write } = subscription.wish else { continue };
            let Ok(Some(file)) = self.pollable(fd) else { continue };
            let flags = if write { PollFlags::OUT } else { PollFlags::IN };
            waiting.push(PollFd::from_borrowed_fd(file, flags));
            waiters.push(subscription);
        }
        match poll(&mut waiting, limit.map(timespec).as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        }
        let ready = waiting.iter().zip(waiters).filter(|(polled, _)| !polled.revents().is_empty());
        Ok(ready
            .map(|(polled, waiter)| {
                let closed = PollFlags::HUP | PollFlags::ERR;
                waiter.event(Errno::Success, polled.revents().intersects(closed))
            })
            .collect())
    }
}

impl Subscription {
    fn event(&self, errno: Errno, hangup: bool) -> Event {
        let kind = match self.wish {
            Wish::Time { .. } => EventType::Clock,
            Wish::Stream { write: false, .. } => EventType::FdRead,
            Wish::Stream { write: true, .. } => EventType::FdWrite,
        };
        Event { userdata: self.userdata, errno, kind, hangup }
    }
}

/// Layout: userdata at 0, tag at 8; clock: id at 16, timeout at 24, flags at 40; stream: fd at 16.
fn read_subscription(
    memory: &GuestMemory<'_>,
    list: u32,
    index: u32,
) -> Result<Subscription, Errno> {
    let offset = index.checked_mul(SUBSCRIPTION_SIZE).ok_or(Errno::Fault)?;
    let base = list.checked_add(offset).ok_or(Errno::Fault)?;
    base.checked_add(SUBSCRIPTION_SIZE).ok_or(Errno::Fault)?;
    let wish = match memory.u8(base + 8)? {
        tag if tag == EventType::Clock as u8 => {
            let clock = clock(memory.u32(base + 16)?)?;
            let timeout = memory.u64(base + 24)?;
            let absolute = memory.u16(base + 40)? & ABSTIME != 0;
            let start = if absolute { 0 } else { now(clock) };
            Wish::Time { clock, deadline: start.saturating_add(timeout) }
        }
        tag @ 1..=2 => {
            Wish::Stream { fd: memory.u32(base + 16)?, write: tag == EventType::FdWrite as u8 }
        }
        _ => return Err(Errno::Inval),
    };
    Ok(Subscription { userdata: memory.u64(base)?, wish })
}

fn remaining(wish: &Wish) -> Option<u64> {
    match wish {
        Wish::Time { clock, deadline } => Some(deadline.saturating_sub(now(*clock))),
        Wish::Stream { .. } => None,
    }
}

fn expired(subscription: &Subscription) -> Option<Event> {
    (remaining(&subscription.wish)? == 0).then(|| subscription.event(Errno::Success, false))
}

/// Layout: userdata at 0, errno at 8, type at 10, byte count at 16, flags at 24. The count is a
/// hint and stays 1: the guest reads to find out.
fn encode(event: &Event) -> [u8; EVENT_SIZE] {
    let mut bytes = [0; EVENT_SIZE];
    bytes[..8].copy_from_slice(&event.userdata.to_le_bytes());
    bytes[8..10].copy_from_slice(&(event.errno as u16).to_le_bytes());
    bytes[10] = event.kind as u8;
    if event.kind != EventType::Clock {
        bytes[16] = 1;
        let flags = if event.hangup { HANGUP } else { 0 };
        bytes[24..26].copy_from_slice(&flags.to_le_bytes());
    }
    bytes
}
