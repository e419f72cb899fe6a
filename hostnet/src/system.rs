//! The sockets of the operating system.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType,
    ipproto, sockopt,
};
use rustix::time::Timespec;

use crate::sockets::{SocketId, Sockets};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Sockets that are told to be ready at once; the rest follows with the next look.
const MAX_EVENTS: usize = 64;

/// Each change is told once, as it happens.
const WATCHED: EventFlags =
    EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);

/// What a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A connection, made or being made.
    Stream,
    /// A socket that connections are made to.
    Listener,
    /// A socket that has datagrams of several peers.
    Datagrams,
}

/// Non-blocking sockets and what watches them.
#[derive(Debug)]
pub struct SystemSockets {
    start: Instant,
    watch: OwnedFd,
    /// By number; numbers are used again.
    entries: Vec<Option<(OwnedFd, Kind)>>,
    free: Vec<u32>,
}

impl SystemSockets {
    /// No sockets yet.
    ///
    /// # Errors
    /// If the operating system has no more descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            start: Instant::now(),
            watch: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            entries: Vec::new(),
            free: Vec::new(),
        })
    }

    /// A descriptor that can be read when a socket is ready, for whoever waits for something else,
    /// too.
    #[must_use]
    pub fn readiness(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    /// Waits until a socket is ready or this time has passed.
    ///
    /// # Errors
    /// If the operating system cannot wait.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|time| Timespec::try_from(time).unwrap_or(LONGEST));
        match poll(&mut [PollFd::new(&self.watch, PollFlags::IN)], timeout.as_ref()) {
            Err(Errno::INTR) | Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sockets that are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a socket is; nothing if it is not open.
    #[must_use]
    pub fn kind(&self, socket: SocketId) -> Option<Kind> {
        self.entries.get(socket.0 as usize)?.as_ref().map(|(_, kind)| *kind)
    }

    fn add(&mut self, socket: OwnedFd, kind: Kind) -> io::Result<SocketId> {
        let number = self.free.last().copied().unwrap_or(self.entries.len() as u32);
        epoll::add(&self.watch, &socket, EventData::new_u64(number.into()), WATCHED)?;
        if self.free.pop().is_none() {
            self.entries.push(None);
        }
        self.entries[number as usize] = Some((socket, kind));
        Ok(SocketId(number))
    }

    fn get(&self, socket: SocketId, kind: Kind) -> io::Result<&OwnedFd> {
        match self.entries.get(socket.0 as usize) {
            Some(Some((socket, found))) if *found == kind => Ok(socket),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn remove(&mut self, socket: SocketId) -> Option<(OwnedFd, Kind)> {
        let entry = self.entries.get_mut(socket.0 as usize)?.take()?;
        self.free.push(socket.0);
        Some(entry)
    }
}

/// Longer than anything runs.
const LONGEST: Timespec = Timespec { tv_sec: 1 << 32, tv_nsec: 0 };

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

fn new_socket(at: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let (family, is_v6) = match at.ip() {
        IpAddr::V4(_) => (AddressFamily::INET, false),
        IpAddr::V6(_) => (AddressFamily::INET6, true),
    };
    let protocol = if kind == SocketType::STREAM { ipproto::TCP } else { ipproto::UDP };
    let socket = rustix::net::socket_with(family, kind, FLAGS, Some(protocol))?;
    if is_v6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

impl Sockets for SystemSockets {
    fn now(&mut self) -> Duration {
        self.start.elapsed()
    }

    fn connect(&mut self, to: SocketAddr) -> io::Result<SocketId> {
        let socket = new_socket(to, SocketType::STREAM)?;
        // The guest decides itself what it sends together.
        sockopt::set_tcp_nodelay(&socket, true)?;
        match rustix::net::connect(&socket, &to) {
            Err(error) if error != Errno::INPROGRESS => Err(error.into()),
            _ => self.add(socket, Kind::Stream),
        }
    }

    /// A listener whose queue is full makes the connection fail: nobody says when it has room.
    fn connect_unix(&mut self, to: &Path) -> io::Result<SocketId> {
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(to)?)?;
        self.add(socket, Kind::Stream)
    }

    fn connected(&mut self, socket: SocketId) -> io::Result<()> {
        let stream = self.get(socket, Kind::Stream)?;
        sockopt::socket_error(stream)??;
        match rustix::net::getpeername(stream) {
            Err(Errno::NOTCONN) => Err(io::ErrorKind::WouldBlock.into()),
            result => Ok(result.map(drop)?),
        }
    }

    fn listen(&mut self, at: SocketAddr) -> io::Result<SocketId> {
        let socket = new_socket(at, SocketType::STREAM)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &at)?;
        rustix::net::listen(&socket, BACKLOG)?;
        self.add(socket, Kind::Listener)
    }

    fn accept(&mut self, listener: SocketId) -> io::Result<SocketId> {
        let listener = self.get(listener, Kind::Listener)?;
        let stream = retry_on_intr(|| rustix::net::accept_with(listener, FLAGS))?;
        sockopt::set_tcp_nodelay(&stream, true)?;
        self.add(stream, Kind::Stream)
    }

    fn send(&mut self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        let stream = self.get(socket, Kind::Stream)?;
        Ok(retry_on_intr(|| rustix::net::send(stream, bytes, SendFlags::NOSIGNAL))?)
    }

    fn recv(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<usize> {
        let stream = self.get(socket, Kind::Stream)?;
        let (len, _) = retry_on_intr(|| rustix::net::recv(stream, &mut *into, RecvFlags::empty()))?;
        Ok(len)
    }

    fn shutdown(&mut self, socket: SocketId) -> io::Result<()> {
        Ok(rustix::net::shutdown(self.get(socket, Kind::Stream)?, Shutdown::Write)?)
    }

    fn bind(&mut self, at: SocketAddr) -> io::Result<SocketId> {
        let socket = new_socket(at, SocketType::DGRAM)?;
        rustix::net::bind(&socket, &at)?;
        self.add(socket, Kind::Datagrams)
    }

    fn send_to(&mut self, socket: SocketId, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        let socket = self.get(socket, Kind::Datagrams)?;
        retry_on_intr(|| rustix::net::sendto(socket, bytes, SendFlags::NOSIGNAL, &to))?;
        Ok(())
    }

    fn recv_from(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let socket = self.get(socket, Kind::Datagrams)?;
        let (len, _, from) =
            retry_on_intr(|| rustix::net::recvfrom(socket, &mut *into, RecvFlags::empty()))?;
        let from = from.ok_or(Errno::DESTADDRREQ)?;
        Ok((len, from.try_into()?))
    }

    fn local_addr(&mut self, socket: SocketId) -> io::Result<SocketAddr> {
        let entry = self.entries.get(socket.0 as usize).and_then(Option::as_ref);
        let (socket, _) = entry.ok_or(io::ErrorKind::NotConnected)?;
        Ok(rustix::net::getsockname(socket)?.try_into()?)
    }

    fn close(&mut self, socket: SocketId) {
        self.remove(socket);
    }

    fn abort(&mut self, socket: SocketId) {
        if let Some((stream, Kind::Stream)) = self.remove(socket) {
            // Without it the peer sees an end of stream, which is all that is left to do then.
            let _ = sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
        }
    }

    /// What cannot be seen now will be when somebody waits.
    fn take_ready(&mut self, into: &mut Vec<SocketId>) {
        if self.is_empty() {
            return;
        }
        let mut room = [MaybeUninit::uninit(); MAX_EVENTS];
        if let Ok((events, _)) = epoll::wait(&self.watch, &mut room, Some(&Timespec::default())) {
            into.extend(events.iter().map(|event| SocketId(event.data.u64() as u32)));
        }
    }
}
