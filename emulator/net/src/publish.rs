//! Ports of the guest that the host's network reaches.
//!
//! The guest sees the gateway as its peer. A datagram's sender gets a port of the gateway, so that
//! the guest's answers find back.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::time::Duration;

use lithify_control::PLAN;
use lithify_hostnet::{Protocol, SocketId, Sockets};

use crate::packet::{self, Ends};
use crate::queue::FrameQueue;
use crate::tcp::Connections;
use crate::udp::MAPPING_IDLE;

/// Senders of datagrams that are remembered at a time: stops the network from filling memory. The
/// one that was silent for longest makes place.
const MAX_SENDERS: usize = 256;

/// First port that senders get.
const FIRST_PORT: u16 = 32_768;
const PORTS: u16 = 16_384;

struct Listener {
    guest: u16,
    protocol: Protocol,
    /// There may be something to take from the socket.
    active: bool,
}

/// Somebody outside who wrote to a published UDP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sender {
    socket: SocketId,
    from: SocketAddr,
    used: Duration,
}

/// The listening sockets and what they know.
#[derive(Default)]
pub(crate) struct Listeners {
    listeners: BTreeMap<SocketId, Listener>,
    /// By port of the gateway.
    senders: BTreeMap<u16, Sender>,
    next_port: u16,
}

impl Listeners {
    /// Takes a socket that listens or is bound.
    pub(crate) fn adopt(&mut self, socket: SocketId, guest: u16, protocol: Protocol) {
        self.listeners.insert(socket, Listener { guest, protocol, active: true });
    }

    /// Something may have arrived. Returns whether the socket is one of these.
    pub(crate) fn ready(&mut self, socket: SocketId) -> bool {
        let listener = self.listeners.get_mut(&socket);
        listener.map(|listener| listener.active = true).is_some()
    }

    /// Takes connections and datagrams as long as there is room for them.
    pub(crate) fn service(
        &mut self,
        sockets: &mut dyn Sockets,
        connections: &mut Connections,
        frames: &mut FrameQueue,
    ) {
        let active: Vec<(SocketId, u16, Protocol)> = self
            .listeners
            .iter()
            .filter(|(_, listener)| listener.active)
            .map(|(socket, listener)| (*socket, listener.guest, listener.protocol))
            .collect();
        for (socket, port, protocol) in active {
            let drained = match protocol {
                Protocol::Tcp => accept(sockets, socket, port, connections),
                Protocol::Udp => self.receive(sockets, socket, port, frames),
            };
            if let Some(listener) = self.listeners.get_mut(&socket) {
                listener.active = !drained;
            }
        }
    }

    /// Sends the guest's answer to a sender; `false` if it is none.
    pub(crate) fn answer(&mut self, sockets: &mut dyn Sockets, ends: Ends, payload: &[u8]) -> bool {
        if !PLAN.is_gateway(ends.remote.ip()) {
            return false;
        }
        let Some(sender) = self.senders.get_mut(&ends.remote.port()) else { return false };
        let listener = self.listeners.get(&sender.socket);
        if listener.is_none_or(|listener| listener.guest != ends.guest.port()) {
            return false;
        }
        sender.used = sockets.now();
        // Datagrams may be lost.
        let _ = sockets.send_to(sender.socket, payload, sender.from);
        true
    }

    fn receive(
        &mut self,
        sockets: &mut dyn Sockets,
        socket: SocketId,
        port: u16,
        frames: &mut FrameQueue,
    ) -> bool {
        let guest = SocketAddr::new(PLAN.guest_v4.into(), port);
        let now = sockets.now();
        while frames.has_room() {
            let received = frames.push(|frame| {
                let room = packet::datagram_room(frame, guest.ip());
                match sockets.recv_from(socket, room) {
                    Err(error) => (None, Err(error)),
                    Ok((len, from)) => {
                        let remote = self.port_of(Sender { socket, from, used: now });
                        let remote = SocketAddr::new(PLAN.gateway_v4.into(), remote);
                        let ends = Ends { guest, remote };
                        (packet::write_datagram_headers(frame, ends, len), Ok(()))
                    }
                }
            });
            if received.is_err() {
                return true;
            }
        }
        false
    }

    /// The gateway's port that stands for a sender.
    fn port_of(&mut self, sender: Sender) -> u16 {
        self.senders.retain(|_, known| sender.used.saturating_sub(known.used) < MAPPING_IDLE);
        let known = self
            .senders
            .iter_mut()
            .find(|(_, known)| (known.socket, known.from) == (sender.socket, sender.from));
        if let Some((port, known)) = known {
            known.used = sender.used;
            return *port;
        }
        if self.senders.len() >= MAX_SENDERS {
            let oldest = self.senders.iter().min_by_key(|(_, known)| known.used);
            if let Some(port) = oldest.map(|(port, _)| *port) {
                self.senders.remove(&port);
            }
        }
        loop {
            self.next_port = (self.next_port + 1) % PORTS;
            let port = FIRST_PORT + self.next_port;
            if let Entry::Vacant(place) = self.senders.entry(port) {
                place.insert(sender);
                return port;
            }
        }
    }
}

/// Returns whether there is nobody left to accept.
fn accept(
    sockets: &mut dyn Sockets,
    listener: SocketId,
    port: u16,
    connections: &mut Connections,
) -> bool {
    while connections.has_room() {
        match sockets.accept(listener) {
            Ok(host) => connections.enter(sockets, host, port),
            // Whatever the reason, the next connection makes the socket ready again.
            Err(_) => return true,
        }
    }
    false
}
