//! UDP: each address and port of the guest that speaks gets a socket of the host.
//!
//! Answers are let in from those whom the guest wrote to, under the address that the guest knows
//! them by. A mapping ends when it was idle for a while, or when many newer ones need its place.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lithify_hostnet::{SocketId, Sockets};

use crate::packet::{self, Ends, Unreachable};
use crate::queue::FrameQueue;

/// How long a mapping without datagrams lasts, as long as RFC 4787 asks for.
pub const MAPPING_IDLE: Duration = Duration::from_secs(120);

/// Mappings at a time: stops a guest from taking all of the host's file descriptors. The one that
/// was idle for longest makes place.
pub const MAX_MAPPINGS: usize = 256;

/// Hosts that one mapping lets in; the oldest makes place.
const MAX_PEERS: usize = 64;

/// Name server requests of a mapping that are remembered, to see which are repeated.
const MAX_REQUESTS: usize = 16;

/// A host that the guest wrote to.
#[derive(Debug, Clone, Copy)]
struct Peer {
    on_host: SocketAddr,
    in_guest: SocketAddr,
}

struct Mapping {
    socket: SocketId,
    used: Duration,
    peers: VecDeque<Peer>,
    /// Transaction IDs of the last requests for names.
    requests: VecDeque<[u8; 2]>,
}

impl Mapping {
    fn new(socket: SocketId) -> Self {
        let (peers, requests) = (VecDeque::new(), VecDeque::new());
        Self { socket, used: Duration::ZERO, peers, requests }
    }

    fn remember(&mut self, peer: Peer) {
        if self.peers.iter().any(|known| known.on_host == peer.on_host) {
            return;
        }
        if self.peers.len() == MAX_PEERS {
            self.peers.pop_front();
        }
        self.peers.push_back(peer);
    }
}

/// Errors in a row after which a socket rests: each tells of one datagram that the network did not
/// deliver, but a broken socket has no end of them.
const MAX_ERRORS: usize = 16;

/// The guest's address and port, and whether the socket is for IPv6: name servers need not be of
/// the family that the guest asks them in.
type Key = (SocketAddr, bool);

/// All mappings.
#[derive(Default)]
pub(crate) struct Mappings {
    mappings: BTreeMap<Key, Mapping>,
    sockets: BTreeMap<SocketId, Key>,
    active: BTreeSet<SocketId>,
}

impl Mappings {
    /// Sends a datagram of the guest to `target`.
    pub(crate) fn send(
        &mut self,
        sockets: &mut dyn Sockets,
        ends: Ends,
        target: SocketAddr,
        payload: &[u8],
    ) -> Result<(), Unreachable> {
        let mapping = self.mapping(sockets, (ends.guest, target.is_ipv6()))?;
        mapping.remember(Peer { on_host: target, in_guest: ends.remote });
        match sockets.send_to(mapping.socket, payload, target) {
            Err(error) => Unreachable::of(&error).map_or(Ok(()), Err),
            Ok(()) => Ok(()),
        }
    }

    /// Sends a request for a name to one of `resolvers`: the first, or, if the guest repeats it
    /// because nobody answered, the next.
    pub(crate) fn ask(
        &mut self,
        sockets: &mut dyn Sockets,
        ends: Ends,
        resolvers: &[SocketAddr],
        payload: &[u8],
    ) -> Result<(), Unreachable> {
        let Some(&id) = payload.first_chunk::<2>() else { return Ok(()) };
        let asked: usize = [false, true]
            .iter()
            .filter_map(|family| self.mappings.get(&(ends.guest, *family)))
            .map(|mapping| mapping.requests.iter().filter(|known| **known == id).count())
            .sum();
        let Some(&target) = resolvers.get(asked % resolvers.len().max(1)) else {
            return Err(Unreachable::Port);
        };
        self.send(sockets, ends, target, payload)?;
        if let Some(mapping) = self.mappings.get_mut(&(ends.guest, target.is_ipv6())) {
            mapping.requests.truncate(MAX_REQUESTS - 1);
            mapping.requests.push_front(id);
        }
        Ok(())
    }

    fn mapping(
        &mut self,
        sockets: &mut dyn Sockets,
        key: Key,
    ) -> Result<&mut Mapping, Unreachable> {
        if !self.mappings.contains_key(&key) {
            self.make_place(sockets);
        }
        let used = sockets.now();
        let mapping = match self.mappings.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let socket = sockets.bind(any(key.1)).map_err(|_| Unreachable::Network)?;
                self.sockets.insert(socket, key);
                place.insert(Mapping::new(socket))
            }
        };
        mapping.used = used;
        Ok(mapping)
    }

    fn make_place(&mut self, sockets: &mut dyn Sockets) {
        if self.mappings.len() < MAX_MAPPINGS {
            return;
        }
        let oldest = self.mappings.iter().min_by_key(|(_, mapping)| mapping.used);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.remove(sockets, key);
        }
    }

    fn remove(&mut self, sockets: &mut dyn Sockets, key: Key) {
        if let Some(mapping) = self.mappings.remove(&key) {
            self.sockets.remove(&mapping.socket);
            self.active.remove(&mapping.socket);
            sockets.close(mapping.socket);
        }
    }

    /// The host's socket may have a datagram. Returns whether it is one of a mapping.
    pub(crate) fn ready(&mut self, socket: SocketId) -> bool {
        let known = self.sockets.contains_key(&socket);
        if known {
            self.active.insert(socket);
        }
        known
    }

    /// Brings answers to the guest and ends what is idle.
    pub(crate) fn service(&mut self, sockets: &mut dyn Sockets, frames: &mut FrameQueue) {
        for socket in std::mem::take(&mut self.active) {
            if !self.receive(sockets, socket, frames) {
                self.active.insert(socket);
            }
        }
        let now = sockets.now();
        let idle = |mapping: &Mapping| now.saturating_sub(mapping.used) >= MAPPING_IDLE;
        let over: Vec<Key> = self
            .mappings
            .iter()
            .filter(|(_, mapping)| idle(mapping))
            .map(|(key, _)| *key)
            .collect();
        over.into_iter().for_each(|key| self.remove(sockets, key));
    }

    /// Returns whether the socket has nothing left.
    fn receive(
        &mut self,
        sockets: &mut dyn Sockets,
        socket: SocketId,
        frames: &mut FrameQueue,
    ) -> bool {
        let Some(&key) = self.sockets.get(&socket) else { return true };
        let Some(mapping) = self.mappings.get_mut(&key) else { return true };
        let now = sockets.now();
        let mut errors = 0;
        while frames.has_room() && errors < MAX_ERRORS {
            let received = frames.push(|frame| {
                let room = packet::datagram_room(frame, key.0.ip());
                let (len, from) = match sockets.recv_from(socket, room) {
                    Ok(received) => received,
                    Err(error) => return (None, Err(error)),
                };
                let peer = mapping.peers.iter().find(|peer| peer.on_host == from);
                let written = peer.and_then(|peer| {
                    mapping.used = now;
                    let ends = Ends { guest: key.0, remote: peer.in_guest };
                    packet::write_datagram_headers(frame, ends, len)
                });
                (written, Ok(()))
            });
            match received {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => errors += 1,
            }
        }
        errors == MAX_ERRORS
    }

    /// When something is to be done by itself.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.mappings.values().map(|mapping| mapping.used + MAPPING_IDLE).min()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.sockets.len(), self.mappings.len());
        self.mappings.len()
    }
}

fn any(v6: bool) -> SocketAddr {
    let ip: IpAddr = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, 0)
}
