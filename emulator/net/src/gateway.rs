//! The far end of the guest's cable: takes its frames apart and joins the parts to the host.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lithify_control::PLAN;
use lithify_hostnet::{Access, Protocol, Published, SocketId, Sockets, Target};
use lithify_machine::host::Link;
use smoltcp::time::Instant;

use crate::buffers::Buffers;
use crate::forwarded::Forwarded;
use crate::packet::{self, Ends, Packet, Unreachable};
use crate::publish::Listeners;
use crate::queue::FrameQueue;
use crate::tcp::{Connections, Destination, Refusal};
use crate::udp::Mappings;

/// How a gateway behaves.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where the guest may connect to.
    pub access: Access,
    /// Sockets of the host's file system that it reaches whatever `access` says.
    pub forwarded: Forwarded,
    /// Name servers in the order in which they are asked.
    pub resolvers: Vec<SocketAddr>,
    /// Random, so that nobody can guess the sequence numbers of connections.
    pub seed: u64,
}

impl Settings {
    /// Where a connection of the guest goes on; nothing if it is refused.
    fn destination(&self, ends: Ends) -> Option<Destination<'_>> {
        if let Some(socket) = self.forwarded.target(ends) {
            return socket.map(Destination::Unix);
        }
        let host = match self.access.target(ends.remote) {
            Target::Host(target) => Some(target),
            Target::Dns => self.resolvers.first().copied(),
            Target::Refused => None,
        };
        host.map(Destination::Tcp)
    }
}

/// A guest's way to the host's network.
pub struct Gateway<S> {
    sockets: S,
    settings: Settings,
    frames: FrameQueue,
    connections: Connections,
    mappings: Mappings,
    listeners: Listeners,
    ready: Vec<SocketId>,
}

impl<S> std::fmt::Debug for Gateway<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<S: Sockets> Gateway<S> {
    /// A gateway that has nothing to do yet.
    #[must_use]
    pub fn new(sockets: S, settings: Settings) -> Self {
        let mut frames = FrameQueue::default();
        let connections = Connections::new(settings.seed, &mut frames);
        Self {
            sockets,
            settings,
            frames,
            connections,
            mappings: Mappings::default(),
            listeners: Listeners::default(),
            ready: Vec::new(),
        }
    }

    /// Takes the first connections' and frames' buffers from these.
    pub fn use_buffers(&mut self, mut buffers: Buffers) {
        self.frames.use_buffers(buffers.take_frames());
        self.connections.use_buffers(buffers);
    }

    /// Lets the host's network reach a port of the guest; returns where the host listens.
    ///
    /// # Errors
    /// If the host cannot listen there.
    pub fn publish(&mut self, port: &Published) -> io::Result<SocketAddr> {
        let socket = port.open(&mut self.sockets)?;
        self.adopt(socket, port.guest, port.protocol);
        self.sockets.local_addr(socket)
    }

    /// Lets what arrives at this socket, which listens or is bound, reach a port of the guest.
    pub fn adopt(&mut self, socket: SocketId, guest: u16, protocol: Protocol) {
        self.listeners.adopt(socket, guest, protocol);
    }

    /// The host's side.
    pub fn sockets_mut(&mut self) -> &mut S {
        &mut self.sockets
    }

    /// How long nothing is to be done unless the guest or a socket has something new; nothing if
    /// that is for ever.
    pub fn rest(&mut self) -> Option<Duration> {
        let now = self.sockets.now();
        // The guest has no room for what waits: nothing moves before it has.
        let stack = match self.frames.is_empty() {
            true => self.connections.deadline(instant(now)),
            false => None,
        };
        let stack = stack.map(|at| Duration::from_micros(at.total_micros().max(0) as u64));
        let deadline = [stack, self.mappings.deadline()].into_iter().flatten().min();
        deadline.map(|at| at.saturating_sub(now))
    }

    /// Whether the host has taken all that the guest's connections have sent, and their ends. When a
    /// container is done, its kernel still sends what programs have left to it.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.connections.is_drained()
    }

    fn now(&mut self) -> Instant {
        instant(self.sockets.now())
    }

    fn take(&mut self, packet: &Packet<'_>) {
        match *packet {
            Packet::WhoHas(ip) => {
                self.answer_for(ip.into(), |frame| packet::write_arp_reply(frame, ip));
            }
            Packet::Solicit { target, from } => self.answer_for(target.into(), |frame| {
                packet::write_neighbor_advert(frame, target, from)
            }),
            Packet::Echo { to, packet } => self.echo(to, packet),
            Packet::Tcp { ends, opens, packet } => self.segment(ends, opens, packet),
            Packet::Udp { ends, payload, packet } => self.datagram(ends, payload, packet),
        }
    }

    fn answer_for(&mut self, ip: IpAddr, write: impl FnOnce(&mut [u8]) -> usize) {
        if PLAN.is_ours(ip) {
            self.frames.push(|frame| (Some(write(frame)), ()));
        }
    }

    /// Only the gateway answers itself: sockets cannot tell whether others would.
    fn echo(&mut self, to: IpAddr, packet: &[u8]) {
        if PLAN.is_ours(to) {
            let now = self.now();
            self.connections.packet(packet, now, &mut self.frames);
        } else {
            unreachable(&mut self.frames, packet, Unreachable::Prohibited);
        }
    }

    fn segment(&mut self, ends: Ends, opens: bool, packet: &[u8]) {
        let now = self.now();
        if !opens || self.connections.knows(&ends) {
            return self.connections.segment(ends, packet, now, &mut self.frames);
        }
        // Whoever is refused gets the stack's reset.
        let Some(to) = self.settings.destination(ends) else {
            return self.connections.packet(packet, now, &mut self.frames);
        };
        match self.connections.open(&mut self.sockets, ends, to, packet) {
            Ok(()) => {}
            Err(Refusal::Unreachable(reason)) => unreachable(&mut self.frames, packet, reason),
            Err(Refusal::Reset) => self.connections.packet(packet, now, &mut self.frames),
        }
    }

    fn datagram(&mut self, ends: Ends, payload: &[u8], packet: &[u8]) {
        if self.listeners.answer(&mut self.sockets, ends, payload) {
            return;
        }
        let sockets = &mut self.sockets;
        let sent = match self.settings.access.target(ends.remote) {
            Target::Host(target) => self.mappings.send(sockets, ends, target, payload),
            Target::Dns => self.mappings.ask(sockets, ends, &self.settings.resolvers, payload),
            Target::Refused => Err(Unreachable::Prohibited),
        };
        // RFC 1122 forbids errors about what was sent to many.
        let to_many = match ends.remote.ip() {
            IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_multicast(),
        };
        if let Err(reason) = sent
            && !to_many
        {
            unreachable(&mut self.frames, packet, reason);
        }
    }

    fn service(&mut self) {
        let now = self.now();
        let (sockets, frames) = (&mut self.sockets, &mut self.frames);
        self.connections.service(sockets, now, frames, &mut unreachable);
        self.mappings.service(sockets, frames);
        self.listeners.service(sockets, &mut self.connections, frames);
    }

    #[cfg(test)]
    pub(crate) fn connections(&self) -> usize {
        self.connections.len()
    }

    #[cfg(test)]
    pub(crate) fn mappings(&self) -> usize {
        self.mappings.len()
    }
}

fn instant(time: Duration) -> Instant {
    Instant::from_micros(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

fn unreachable(frames: &mut FrameQueue, packet: &[u8], reason: Unreachable) {
    frames.push(|frame| (packet::write_unreachable(frame, packet, reason), ()));
}

impl<S: Sockets> Link for Gateway<S> {
    /// Each frame causes at most one at once.
    fn send(&mut self, frame: &[u8]) -> bool {
        if !self.frames.has_room() {
            return false;
        }
        if let Some(packet) = Packet::parse(frame) {
            self.take(&packet);
        }
        true
    }

    fn poll(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        self.sockets.take_ready(&mut ready);
        for socket in ready.drain(..) {
            let _ = self.connections.ready(socket)
                || self.mappings.ready(socket)
                || self.listeners.ready(socket);
        }
        self.ready = ready;
        self.service();
    }

    fn receive(&mut self, take: &mut dyn FnMut(&[u8]) -> bool) {
        loop {
            self.frames.drain(take);
            if !self.frames.is_empty() || !self.frames.take_refused() {
                return;
            }
            self.service();
        }
    }
}
