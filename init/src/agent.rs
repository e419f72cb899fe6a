//! Sockets in the container that lead to the host's, such as those of ssh agents.
//!
//! Each is served by a process of init's, which accepts connections, makes one to a port of the
//! gateway for each, and copies bytes between the two. Ends of streams pass through, each direction
//! by itself. Its own connections come from ports that only root may use, and the gateway takes no
//! others: so the socket's owner and mode decide who in the container reaches the host.

use crate::error::{Context, Error};
use crate::helper::{self, Helper};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown,
};
use std::convert::Infallible;
use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

/// Connections of one socket at a time; the next ones wait to be accepted. Stops the container from
/// taking the machine's memory outside of its own processes.
const MAX_CONNECTIONS: usize = 32;

/// Bytes that wait in each direction of a connection; an agent's messages are shorter.
const BUFFER_LEN: usize = 16 << 10;

/// Ports that connections come from: those that root's programs take by themselves (`rresvport`).
const FIRST_PORT: u16 = 512;
const LAST_PORT: u16 = 1023;

/// Makes a socket at `path`, whose connections are led to `gateway` as long as the helper lives.
///
/// # Errors
/// If the socket or the process cannot be made.
pub(crate) fn serve_at(
    path: &str,
    mode: u32,
    (uid, gid): (u32, u32),
    gateway: SocketAddrV4,
) -> Result<Helper, Error> {
    let make = || {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
        std::fs::set_permissions(path, Permissions::from_mode(mode & 0o7777))?;
        Ok(listener)
    };
    let made: std::io::Result<UnixListener> = make();
    let listener = made.during(|| format!("make the socket {path}"))?;
    helper::start(&listener.into(), |listener| {
        let mut uplink = Uplink { gateway, last: LAST_PORT };
        // The kernel's refusal to poll ends the process, which the clients see.
        let Err(_) = serve(&listener.into(), &mut || uplink.connect());
    })
}

/// The way to the host.
struct Uplink {
    gateway: SocketAddrV4,
    /// The port that the last connection came from.
    last: u16,
}

impl Uplink {
    /// Ports that others use, or that wait for late segments, are passed over.
    fn connect(&mut self) -> Result<OwnedFd, Errno> {
        for _ in FIRST_PORT..=LAST_PORT {
            self.last = if self.last == LAST_PORT { FIRST_PORT } else { self.last + 1 };
            let own = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, self.last);
            let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
            let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
            let connected = rustix::net::bind(&socket, &own)
                .and_then(|()| rustix::net::connect(&socket, &self.gateway));
            match connected {
                Err(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL) => {}
                connected => return connected.map(|()| socket),
            }
        }
        Err(Errno::ADDRNOTAVAIL)
    }
}

/// Serves clients until the kernel refuses to wait for them. Who comes when `connect` fails is hung
/// up on.
fn serve(
    listener: &UnixListener,
    connect: &mut dyn FnMut() -> Result<OwnedFd, Errno>,
) -> Result<Infallible, Errno> {
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        wait(listener, &connections)?;
        while connections.len() < MAX_CONNECTIONS {
            let Ok((client, _)) = listener.accept() else { break };
            connections.extend(connect().map(|host| Connection::new(client.into(), host)));
        }
        connections.retain_mut(|connection| connection.advance() == Ok(true));
    }
}

fn wait(listener: &UnixListener, connections: &[Connection]) -> Result<(), Errno> {
    let mut wanted: Vec<PollFd<'_>> =
        connections.iter().flat_map(Connection::wanted).flatten().collect();
    if connections.len() < MAX_CONNECTIONS {
        wanted.push(PollFd::new(listener, PollFlags::IN));
    }
    match rustix::event::poll(&mut wanted, None) {
        Err(Errno::INTR) => Ok(()),
        polled => polled.map(|_| ()),
    }
}

/// A client and its connection to the host.
struct Connection {
    client: OwnedFd,
    host: OwnedFd,
    outward: Direction,
    inward: Direction,
}

impl Connection {
    fn new(client: OwnedFd, host: OwnedFd) -> Self {
        Self { client, host, outward: Direction::default(), inward: Direction::default() }
    }

    fn wanted(&self) -> [Option<PollFd<'_>>; 2] {
        let Self { client, host, outward, inward } = self;
        [outward.wanted(client, host), inward.wanted(host, client)]
    }

    /// Moves what can be moved; returns whether anything may still come.
    fn advance(&mut self) -> Result<bool, Errno> {
        self.outward.advance(&self.client, &self.host)?;
        self.inward.advance(&self.host, &self.client)?;
        Ok(!self.outward.has_ended || !self.inward.has_ended)
    }
}

/// Bytes on their way from one socket to another.
struct Direction {
    buffer: Box<[u8]>,
    /// Where the bytes that wait begin and end.
    start: usize,
    end: usize,
    /// The end of the stream was received, and passed on.
    has_ended: bool,
}

impl Default for Direction {
    fn default() -> Self {
        Self { buffer: vec![0; BUFFER_LEN].into(), start: 0, end: 0, has_ended: false }
    }
}

impl Direction {
    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What to wait for. Nothing else of a socket is asked: one that is hung up would be ready for
    /// ever.
    fn wanted<'a>(&self, from: &'a OwnedFd, to: &'a OwnedFd) -> Option<PollFd<'a>> {
        match (self.is_empty(), self.has_ended) {
            (false, _) => Some(PollFd::new(to, PollFlags::OUT)),
            (true, false) => Some(PollFd::new(from, PollFlags::IN)),
            (true, true) => None,
        }
    }

    /// Receives and sends once, so that nobody holds the others up.
    fn advance(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
        if self.is_empty() && !self.has_ended {
            let received = recv(from, &mut self.buffer[..], RecvFlags::DONTWAIT);
            match later(received.map(|(len, _)| len))? {
                None => return Ok(()),
                Some(0) => {
                    self.has_ended = true;
                    return shutdown(to, Shutdown::Write);
                }
                Some(len) => (self.start, self.end) = (0, len),
            }
        }
        if !self.is_empty() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let sent = send(to, &self.buffer[self.start..self.end], flags);
            self.start += later(sent)?.unwrap_or_default();
        }
        Ok(())
    }
}

/// Nothing, if the call may succeed another time.
fn later(result: Result<usize, Errno>) -> Result<Option<usize>, Errno> {
    match result {
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;
    use std::sync::mpsc::{Receiver, channel};

    /// A served socket, and the host's ends of its connections as they come.
    fn served() -> (tempfile::TempDir, PathBuf, Receiver<UnixStream>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (made, hosts) = channel();
        std::thread::spawn(move || {
            serve(&listener, &mut || {
                let (ours, theirs) = UnixStream::pair().unwrap();
                made.send(theirs).map_err(|_| Errno::CONNREFUSED)?;
                Ok(ours.into())
            })
        });
        (folder, path, hosts)
    }

    #[test]
    fn bytes_and_ends_pass_in_both_directions() {
        let (_folder, path, hosts) = served();
        let question: Vec<u8> = (0..5 * BUFFER_LEN).map(|at| (at % 251) as u8).collect();
        let mut client = UnixStream::connect(path).unwrap();
        let mut host = hosts.recv().unwrap();
        let answerer = std::thread::spawn(move || {
            let mut received = Vec::new();
            host.read_to_end(&mut received).unwrap();
            host.write_all(&received).unwrap();
        });
        client.write_all(&question).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, question);
        answerer.join().unwrap();
    }

    #[test]
    fn connections_are_bounded_and_make_room() {
        let (_folder, path, hosts) = served();
        let mut clients: Vec<UnixStream> =
            (0..=MAX_CONNECTIONS).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let mut taken: Vec<UnixStream> =
            (0..MAX_CONNECTIONS).map(|_| hosts.recv().unwrap()).collect();
        for (client, host) in clients.iter_mut().zip(&mut taken) {
            client.write_all(b"x").unwrap();
            host.read_exact(&mut [0]).unwrap();
        }
        assert!(hosts.try_recv().is_err());
        clients.remove(0);
        taken.remove(0);
        let mut next = hosts.recv().unwrap();
        clients.last_mut().unwrap().write_all(b"y").unwrap();
        let mut byte = [0];
        next.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"y");
    }

    #[test]
    fn clients_without_a_host_are_hung_up_on() {
        let (_folder, path, hosts) = served();
        drop(hosts);
        let mut client = UnixStream::connect(path).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
}
