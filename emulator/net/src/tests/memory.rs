//! Sockets in memory, whose far ends the test holds.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use lithify_hostnet::{SocketId, Sockets};

/// Bytes that a stream takes before it would block.
const STREAM_LEN: usize = 64 << 10;

/// How a connection of the gateway comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Fail(io::ErrorKind),
    /// Nobody answers before the test says so.
    Silence,
}

/// A stream or a datagram socket as the far end sees it.
#[derive(Debug, Default)]
pub(super) struct Far {
    /// What the gateway sent.
    pub(super) received: VecDeque<u8>,
    /// Its end.
    pub(super) ended: bool,
    /// What the gateway is to receive.
    pub(super) to_send: VecDeque<u8>,
    /// The end of that.
    pub(super) finish: bool,
    /// The far end resets the connection.
    pub(super) reset: bool,
    /// The far end takes nothing.
    pub(super) stalled: bool,
    pub(super) peer: Option<SocketAddr>,
    verdict: Option<Verdict>,
    /// Datagrams that the gateway sent.
    pub(super) sent: VecDeque<(Vec<u8>, SocketAddr)>,
    /// Datagrams for it.
    pub(super) arriving: VecDeque<(Vec<u8>, SocketAddr)>,
    /// Connections for it to accept.
    pub(super) knocking: VecDeque<SocketId>,
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) now: Duration,
    pub(super) open: BTreeMap<SocketId, Far>,
    /// Every socket that was closed or aborted, in order.
    pub(super) closed: Vec<SocketId>,
    pub(super) aborted: Vec<SocketId>,
    pub(super) verdicts: BTreeMap<SocketAddr, Verdict>,
    next: u32,
}

impl World {
    fn add(&mut self, far: Far) -> SocketId {
        let id = SocketId(self.next);
        self.next += 1;
        self.open.insert(id, far);
        id
    }

    /// The socket connected to `peer`, or bound to it.
    pub(super) fn find(&self, peer: SocketAddr) -> SocketId {
        let found = self.open.iter().find(|(_, far)| far.peer == Some(peer));
        *found.unwrap_or_else(|| panic!("no socket for {peer}")).0
    }

    pub(super) fn far(&mut self, peer: SocketAddr) -> &mut Far {
        let id = self.find(peer);
        self.open.get_mut(&id).expect("found")
    }

    /// Somebody connects to a listening socket.
    pub(super) fn knock(&mut self, at: SocketAddr, from: SocketAddr) {
        let id = self.add(Far { peer: Some(from), ..Far::default() });
        self.far(at).knocking.push_back(id);
    }

    pub(super) fn answer(&mut self, peer: SocketAddr, verdict: Verdict) {
        self.far(peer).verdict = Some(verdict);
    }

    fn get(&mut self, id: SocketId) -> io::Result<&mut Far> {
        let far = self.open.get_mut(&id).ok_or(io::ErrorKind::NotConnected)?;
        if far.reset { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(far) }
    }
}

/// The gateway's side; clones are the same world. Every socket is always said to be ready.
#[derive(Debug, Clone, Default)]
pub(super) struct MemorySockets(pub(super) Rc<RefCell<World>>);

fn would_block<T>() -> io::Result<T> {
    Err(io::ErrorKind::WouldBlock.into())
}

impl Sockets for MemorySockets {
    fn now(&mut self) -> Duration {
        self.0.borrow().now
    }

    fn connect(&mut self, to: SocketAddr) -> io::Result<SocketId> {
        let mut world = self.0.borrow_mut();
        let verdict = world.verdicts.get(&to).copied().unwrap_or(Verdict::Accept);
        Ok(world.add(Far { peer: Some(to), verdict: Some(verdict), ..Far::default() }))
    }

    fn connect_unix(&mut self, _: &Path) -> io::Result<SocketId> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connected(&mut self, socket: SocketId) -> io::Result<()> {
        match self.0.borrow_mut().get(socket)?.verdict {
            Some(Verdict::Fail(kind)) => Err(kind.into()),
            Some(Verdict::Silence) => would_block(),
            _ => Ok(()),
        }
    }

    fn listen(&mut self, at: SocketAddr) -> io::Result<SocketId> {
        Ok(self.0.borrow_mut().add(Far { peer: Some(at), ..Far::default() }))
    }

    fn accept(&mut self, listener: SocketId) -> io::Result<SocketId> {
        let next = self.0.borrow_mut().get(listener)?.knocking.pop_front();
        next.map_or_else(would_block, Ok)
    }

    fn send(&mut self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.0.borrow_mut();
        let far = world.get(socket)?;
        assert!(!far.ended, "bytes after the end");
        let len = if far.stalled { 0 } else { bytes.len().min(STREAM_LEN - far.received.len()) };
        far.received.extend(&bytes[..len]);
        if len == 0 { would_block() } else { Ok(len) }
    }

    fn recv(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<usize> {
        let mut world = self.0.borrow_mut();
        let far = world.get(socket)?;
        let len = into.len().min(far.to_send.len());
        into.iter_mut().zip(far.to_send.drain(..len)).for_each(|(to, from)| *to = from);
        if len == 0 && !far.finish { would_block() } else { Ok(len) }
    }

    fn shutdown(&mut self, socket: SocketId) -> io::Result<()> {
        self.0.borrow_mut().get(socket)?.ended = true;
        Ok(())
    }

    fn bind(&mut self, at: SocketAddr) -> io::Result<SocketId> {
        Ok(self.0.borrow_mut().add(Far { peer: Some(at), ..Far::default() }))
    }

    fn send_to(&mut self, socket: SocketId, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        if let Some(Verdict::Fail(kind)) = world.verdicts.get(&to) {
            return Err((*kind).into());
        }
        world.get(socket)?.sent.push_back((bytes.to_vec(), to));
        Ok(())
    }

    fn recv_from(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut world = self.0.borrow_mut();
        let Some((bytes, from)) = world.get(socket)?.arriving.pop_front() else {
            return would_block();
        };
        into[..bytes.len()].copy_from_slice(&bytes);
        Ok((bytes.len(), from))
    }

    fn local_addr(&mut self, socket: SocketId) -> io::Result<SocketAddr> {
        let mut world = self.0.borrow_mut();
        Ok(world.get(socket)?.peer.expect("an address"))
    }

    fn close(&mut self, socket: SocketId) {
        let mut world = self.0.borrow_mut();
        world.open.remove(&socket).expect("closed once");
        world.closed.push(socket);
    }

    fn abort(&mut self, socket: SocketId) {
        let mut world = self.0.borrow_mut();
        world.open.remove(&socket).expect("closed once");
        world.aborted.push(socket);
    }

    fn take_ready(&mut self, into: &mut Vec<SocketId>) {
        into.extend(self.0.borrow().open.keys());
    }
}
