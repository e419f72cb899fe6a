//! TCP: each connection of the guest ends here and continues as one of the host's.
//!
//! A connection that the guest asks for is made on the host first; until then its `SYN` waits, so
//! that the guest is refused by whoever refuses the host. After that bytes move between the host's
//! socket and the stack's buffers only as far as both have room: a slow reader on one side closes
//! the window of the other. Ends of streams and resets pass through, each direction by itself.

mod flow;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use lithify_control::PLAN;
use lithify_hostnet::{SocketId, Sockets};
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpEndpoint, IpListenEndpoint};

use self::flow::{Flow, Stage};
use crate::buffers::{BUFFER_LEN, Buffers};
use crate::packet::{Ends, Unreachable};
use crate::queue::{FrameQueue, Wire};

/// Connections at a time, those being made included: stops a guest from taking all of the host's
/// file descriptors and memory. Its next `SYN` is not heard until one ends.
pub const MAX_CONNECTIONS: usize = 512;

/// [`BUFFER_LEN`] of one beyond the first [`FEW`]: the largest segment. A module's memory never shrinks,
/// so what many connections take at once would be kept by one that has few ever after.
const SMALL_BUFFER_LEN: usize = 64 << 10;
const FEW: usize = 64;

/// How long the guest may take to answer a connection that comes to a published port.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// First port that the gateway connects from, and their number.
const FIRST_PORT: u16 = 49_152;
const PORTS: u16 = u16::MAX - FIRST_PORT;

/// How the guest learns that a connection cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// By a reset, as from a port on which nobody listens.
    Reset,
    /// By an ICMP error.
    Unreachable(Unreachable),
}

impl Refusal {
    fn of(error: &io::Error) -> Self {
        match Unreachable::of(error) {
            None | Some(Unreachable::Port) => Self::Reset,
            Some(reason) => Self::Unreachable(reason),
        }
    }
}

/// Where a connection of the guest goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination<'a> {
    /// An address of the host's network.
    Tcp(SocketAddr),
    /// A socket of the host's file system.
    Unix(&'a Path),
}

/// All connections.
pub(crate) struct Connections {
    interface: Interface,
    stack: SocketSet<'static>,
    flows: BTreeMap<Ends, Flow>,
    hosts: BTreeMap<SocketId, Ends>,
    /// Connections for which something has changed.
    active: BTreeSet<Ends>,
    next_port: u16,
    buffers: Buffers,
}

impl Connections {
    /// A stack whose sequence numbers come from `seed`.
    pub(crate) fn new(seed: u64, frames: &mut FrameQueue) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut wire = Wire { packet: None, frames };
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        // It answers for every address that the guest asks for; routes do not matter on a link
        // without neighbours.
        interface.set_any_ip(true);
        Self {
            interface,
            stack: SocketSet::new(Vec::new()),
            flows: BTreeMap::new(),
            hosts: BTreeMap::new(),
            active: BTreeSet::new(),
            next_port: 0,
            buffers: Buffers::default(),
        }
    }

    /// Takes the first connections' buffers from these.
    pub(crate) fn use_buffers(&mut self, buffers: Buffers) {
        self.buffers = buffers;
    }

    /// Whether another connection may be made.
    pub(crate) fn has_room(&self) -> bool {
        self.flows.len() < MAX_CONNECTIONS
    }

    /// Whether the guest has ended all its streams, and the host has taken them.
    pub(crate) fn is_drained(&self) -> bool {
        self.flows.values().all(Flow::is_drained)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.hosts.len(), self.flows.len());
        assert!(self.stack.iter().count() <= self.flows.len());
        self.flows.len()
    }

    pub(crate) fn knows(&self, ends: &Ends) -> bool {
        self.flows.contains_key(ends)
    }

    /// Begins the connection on the host that the guest's `syn` asks for. Without room it is not
    /// heard: the guest will repeat it.
    pub(crate) fn open(
        &mut self,
        sockets: &mut dyn Sockets,
        ends: Ends,
        to: Destination<'_>,
        syn: &[u8],
    ) -> Result<(), Refusal> {
        if self.has_room() {
            let host = match to {
                Destination::Tcp(address) => sockets.connect(address),
                Destination::Unix(path) => sockets.connect_unix(path),
            };
            let host = host.map_err(|error| Refusal::of(&error))?;
            self.add(Flow { ends, host, stage: Stage::Connecting { syn: syn.to_vec() } });
        }
        Ok(())
    }

    fn add(&mut self, flow: Flow) {
        self.active.insert(flow.ends);
        self.hosts.insert(flow.host, flow.ends);
        self.flows.insert(flow.ends, flow);
    }

    /// Connects a connection that the host accepted to `port` of the guest.
    pub(crate) fn enter(&mut self, sockets: &mut dyn Sockets, host: SocketId, port: u16) {
        let guest = SocketAddr::new(PLAN.guest_v4.into(), port);
        let Some(ends) = self.free_ends(guest) else { return sockets.abort(host) };
        let mut socket = self.new_socket();
        let (remote, local) = (endpoint(ends.guest), endpoint(ends.remote));
        if socket.connect(self.interface.context(), remote, local).is_err() {
            return sockets.abort(host);
        }
        socket.set_timeout(Some(ANSWER_TIMEOUT));
        let handle = self.stack.add(socket);
        self.add(Flow { ends, host, stage: Stage::open(handle) });
    }

    /// A port of the gateway from which nobody is connected to `guest`.
    fn free_ends(&mut self, guest: SocketAddr) -> Option<Ends> {
        (0..PORTS).find_map(|_| {
            self.next_port = (self.next_port + 1) % PORTS;
            let port = FIRST_PORT + self.next_port;
            let ends = Ends { guest, remote: SocketAddr::new(PLAN.gateway_v4.into(), port) };
            (!self.flows.contains_key(&ends)).then_some(ends)
        })
    }

    /// A packet of the guest for the stack, which answers what belongs to no connection with a
    /// reset, and pings.
    pub(crate) fn packet(&mut self, packet: &[u8], now: Instant, frames: &mut FrameQueue) {
        let mut wire = Wire { packet: Some(packet), frames };
        self.interface.poll_ingress_single(now, &mut wire, &mut self.stack);
    }

    /// A segment of the guest.
    pub(crate) fn segment(
        &mut self,
        ends: Ends,
        packet: &[u8],
        now: Instant,
        frames: &mut FrameQueue,
    ) {
        let is_waiting = self
            .flows
            .get(&ends)
            .is_some_and(|flow| matches!(flow.stage, Stage::Connecting { .. }));
        // A repeated SYN of a connection that is being made; anything else has lost its way.
        if is_waiting {
            return;
        }
        self.packet(packet, now, frames);
        if self.flows.contains_key(&ends) {
            self.active.insert(ends);
        }
    }

    /// The host's socket may have something new. Returns whether it is one of a connection.
    pub(crate) fn ready(&mut self, socket: SocketId) -> bool {
        let ends = self.hosts.get(&socket);
        self.active.extend(ends);
        ends.is_some()
    }

    /// Moves what can be moved.
    pub(crate) fn service(
        &mut self,
        sockets: &mut dyn Sockets,
        now: Instant,
        frames: &mut FrameQueue,
        failed: &mut dyn FnMut(&mut FrameQueue, &[u8], Unreachable),
    ) {
        for ends in std::mem::take(&mut self.active) {
            self.advance(ends, sockets, now, frames, failed);
        }
        self.transmit(now, frames);
        self.reap(sockets);
    }

    fn advance(
        &mut self,
        ends: Ends,
        sockets: &mut dyn Sockets,
        now: Instant,
        frames: &mut FrameQueue,
        failed: &mut dyn FnMut(&mut FrameQueue, &[u8], Unreachable),
    ) {
        let Some(flow) = self.flows.get_mut(&ends) else { return };
        match &mut flow.stage {
            Stage::Open(open) => open.pump(self.stack.get_mut(open.handle), flow.host, sockets),
            Stage::Connecting { syn } => {
                // The answer to the SYN needs a place.
                if !frames.has_room() {
                    self.active.insert(ends);
                    return;
                }
                let connected = sockets.connected(flow.host);
                if connected.as_ref().is_err_and(is_would_block) {
                    return;
                }
                let syn = std::mem::take(syn);
                match connected {
                    Ok(()) => self.accept(ends, &syn, sockets, now, frames),
                    Err(error) => {
                        self.remove(ends, sockets, true);
                        match Refusal::of(&error) {
                            Refusal::Unreachable(reason) => failed(frames, &syn, reason),
                            Refusal::Reset => self.packet(&syn, now, frames),
                        }
                    }
                }
            }
        }
    }

    /// Lets the stack answer the guest's `syn`.
    fn accept(
        &mut self,
        ends: Ends,
        syn: &[u8],
        sockets: &mut dyn Sockets,
        now: Instant,
        frames: &mut FrameQueue,
    ) {
        let mut socket = self.new_socket();
        let at = IpListenEndpoint { addr: Some(ends.remote.ip().into()), port: ends.remote.port() };
        if socket.listen(at).is_err() {
            return self.remove(ends, sockets, true);
        }
        let handle = self.stack.add(socket);
        if let Some(flow) = self.flows.get_mut(&ends) {
            flow.stage = Stage::open(handle);
        }
        self.packet(syn, now, frames);
        self.active.insert(ends);
    }

    fn new_socket(&mut self) -> tcp::Socket<'static> {
        let len = if self.stack.iter().count() < FEW { BUFFER_LEN } else { SMALL_BUFFER_LEN };
        let [receive, transmit] = [0, 1].map(|_| tcp::SocketBuffer::new(self.buffers.stream(len)));
        let mut socket = tcp::Socket::new(receive, transmit);
        // Both delay what could go at once, in the hope of saving packets that cost nothing here.
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        socket
    }

    fn transmit(&mut self, now: Instant, frames: &mut FrameQueue) {
        let mut wire = Wire { packet: None, frames };
        while self.interface.poll_egress(now, &mut wire, &mut self.stack) != PollResult::None {}
    }

    /// Forgets connections that are over.
    fn reap(&mut self, sockets: &mut dyn Sockets) {
        let stack = &self.stack;
        let over: Vec<(Ends, bool)> = self
            .flows
            .values()
            .filter_map(|flow| match &flow.stage {
                Stage::Connecting { .. } => None,
                Stage::Open(open) => {
                    open.outcome(stack.get(open.handle)).map(|clean| (flow.ends, !clean))
                }
            })
            .collect();
        for (ends, aborted) in over {
            self.remove(ends, sockets, aborted);
        }
    }

    fn remove(&mut self, ends: Ends, sockets: &mut dyn Sockets, aborted: bool) {
        let Some(flow) = self.flows.remove(&ends) else { return };
        self.hosts.remove(&flow.host);
        self.active.remove(&ends);
        if let Stage::Open(open) = flow.stage {
            self.stack.remove(open.handle);
        }
        if aborted { sockets.abort(flow.host) } else { sockets.close(flow.host) }
    }

    /// When the stack has something to do by itself.
    pub(crate) fn deadline(&mut self, now: Instant) -> Option<Instant> {
        if !self.active.is_empty() {
            return Some(now);
        }
        self.interface.poll_at(now, &self.stack)
    }
}

fn endpoint(addr: SocketAddr) -> IpEndpoint {
    IpEndpoint { addr: addr.ip().into(), port: addr.port() }
}

fn is_would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
