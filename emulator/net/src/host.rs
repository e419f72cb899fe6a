//! The sockets of the operating system.
#![allow(
    unsafe_code,
    reason = "a poller borrows file descriptors for longer than the borrow checker sees"
)]

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use polling::{Event, Events, PollMode, Poller};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::gateway::Gateway;
use crate::shared::SharedGateway;
use crate::sockets::{SocketId, Sockets};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Least time between two looks at the poller, which costs several system calls; the machine asks
/// after each of its steps. Whoever waits is not held up by it.
const LOOK_PERIOD: Duration = Duration::from_micros(100);

#[derive(Debug)]
enum Entry {
    Stream(Socket),
    Listener(TcpListener),
    Datagrams(UdpSocket),
}

/// Non-blocking sockets and the poller that watches them.
#[derive(Debug)]
pub struct StdSockets {
    start: Instant,
    poller: Poller,
    events: Events,
    entries: BTreeMap<SocketId, Entry>,
    next: u32,
    /// Reported by the poller, not yet taken.
    ready: Vec<SocketId>,
    /// When the poller was last looked at.
    looked: Duration,
}

impl StdSockets {
    /// No sockets yet.
    ///
    /// # Errors
    /// If the operating system has no poller to give.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            start: Instant::now(),
            poller: Poller::new()?,
            events: Events::new(),
            entries: BTreeMap::new(),
            next: 0,
            ready: Vec::new(),
            looked: Duration::ZERO,
        })
    }

    /// Waits until a socket is ready or this time has passed.
    ///
    /// # Errors
    /// If the poller fails.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if !self.ready.is_empty() {
            return Ok(());
        }
        self.poller.wait(&mut self.events, timeout)?;
        self.ready.extend(self.events.iter().map(|event| SocketId(event.key as u32)));
        self.events.clear();
        Ok(())
    }

    fn add(&mut self, entry: Entry) -> io::Result<SocketId> {
        let id = SocketId(self.next);
        self.next = self.next.wrapping_add(1);
        let event = Event::all(id.0 as usize);
        // SAFETY: `close` and `abort`, the only ways out of `entries`, take the descriptor from
        // the poller first; when `self` is dropped, the poller is dropped with its sockets and
        // not used in between.
        unsafe {
            match &entry {
                Entry::Stream(socket) => self.poller.add_with_mode(socket, event, PollMode::Edge),
                Entry::Listener(socket) => self.poller.add_with_mode(socket, event, PollMode::Edge),
                Entry::Datagrams(socket) => {
                    self.poller.add_with_mode(socket, event, PollMode::Edge)
                }
            }
        }?;
        self.entries.insert(id, entry);
        Ok(id)
    }

    fn stream(&self, socket: SocketId) -> io::Result<&Socket> {
        match self.entries.get(&socket) {
            Some(Entry::Stream(stream)) => Ok(stream),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn datagrams(&self, socket: SocketId) -> io::Result<&UdpSocket> {
        match self.entries.get(&socket) {
            Some(Entry::Datagrams(socket)) => Ok(socket),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn remove(&mut self, socket: SocketId) -> Option<Entry> {
        let entry = self.entries.remove(&socket)?;
        let descriptor = match &entry {
            Entry::Stream(socket) => socket.as_fd(),
            Entry::Listener(socket) => socket.as_fd(),
            Entry::Datagrams(socket) => socket.as_fd(),
        };
        // It was added, so this fails for no reason that matters to a socket that is closed.
        let _ = self.poller.delete(descriptor);
        Some(entry)
    }
}

/// A socket of which nothing blocks.
fn new_socket(at: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Whether a connection is being made: the error of a `connect` that does not block.
fn is_in_progress(error: &io::Error) -> bool {
    const EINPROGRESS: [i32; 2] = [115, 36];
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error().is_some_and(|code| EINPROGRESS.contains(&code))
}

impl Sockets for StdSockets {
    fn now(&mut self) -> Duration {
        self.start.elapsed()
    }

    fn connect(&mut self, to: SocketAddr) -> io::Result<SocketId> {
        let socket = new_socket(to, Type::STREAM, Protocol::TCP)?;
        match socket.connect(&to.into()) {
            Err(error) if !is_in_progress(&error) => return Err(error),
            _ => {}
        }
        // The guest decides itself what it sends together.
        socket.set_tcp_nodelay(true)?;
        self.add(Entry::Stream(socket))
    }

    /// A listener whose queue is full makes the connection fail: nobody says when it has room.
    fn connect_unix(&mut self, to: &Path) -> io::Result<SocketId> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(to)?)?;
        self.add(Entry::Stream(socket))
    }

    fn connected(&mut self, socket: SocketId) -> io::Result<()> {
        let stream = self.stream(socket)?;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            result => result.map(|_| ()),
        }
    }

    fn listen(&mut self, at: SocketAddr) -> io::Result<SocketId> {
        let socket = new_socket(at, Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_address(true)?;
        socket.bind(&at.into())?;
        socket.listen(BACKLOG)?;
        self.add(Entry::Listener(socket.into()))
    }

    fn accept(&mut self, listener: SocketId) -> io::Result<SocketId> {
        let Some(Entry::Listener(socket)) = self.entries.get(&listener) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let (stream, _) = socket.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        self.add(Entry::Stream(stream.into()))
    }

    fn send(&mut self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        self.stream(socket)?.write(bytes)
    }

    fn recv(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<usize> {
        self.stream(socket)?.read(into)
    }

    fn shutdown(&mut self, socket: SocketId) -> io::Result<()> {
        self.stream(socket)?.shutdown(Shutdown::Write)
    }

    fn bind(&mut self, at: SocketAddr) -> io::Result<SocketId> {
        let socket = new_socket(at, Type::DGRAM, Protocol::UDP)?;
        socket.bind(&at.into())?;
        self.add(Entry::Datagrams(socket.into()))
    }

    fn send_to(&mut self, socket: SocketId, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        self.datagrams(socket)?.send_to(bytes, to).map(|_| ())
    }

    fn recv_from(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.datagrams(socket)?.recv_from(into)
    }

    fn local_addr(&mut self, socket: SocketId) -> io::Result<SocketAddr> {
        match self.entries.get(&socket) {
            Some(Entry::Stream(socket)) => {
                let at = socket.local_addr()?.as_socket();
                at.ok_or(io::ErrorKind::AddrNotAvailable.into())
            }
            Some(Entry::Listener(socket)) => socket.local_addr(),
            Some(Entry::Datagrams(socket)) => socket.local_addr(),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn close(&mut self, socket: SocketId) {
        self.remove(socket);
    }

    fn abort(&mut self, socket: SocketId) {
        if let Some(Entry::Stream(stream)) = self.remove(socket) {
            // Without it the peer sees an end of stream, which is all that is left to do then.
            let _ = stream.set_linger(Some(Duration::ZERO));
        }
    }

    /// What the poller fails with now, it fails with again when somebody waits.
    fn take_ready(&mut self, into: &mut Vec<SocketId>) {
        let now = self.start.elapsed();
        let due = now.saturating_sub(self.looked) >= LOOK_PERIOD;
        if due && self.ready.is_empty() && !self.entries.is_empty() {
            self.looked = now;
            let _ = self.wait(Some(Duration::ZERO));
        }
        into.append(&mut self.ready);
    }
}

impl SharedGateway<StdSockets> {
    /// Sleeps until the gateway has something to do or this time has passed: what an idle machine
    /// does in place of sleeping.
    ///
    /// # Errors
    /// If the operating system's poller fails.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.with(|gateway: &mut Gateway<StdSockets>| {
            let timeout = [gateway.rest(), timeout].into_iter().flatten().min();
            gateway.sockets_mut().wait(timeout)
        })
    }
}
