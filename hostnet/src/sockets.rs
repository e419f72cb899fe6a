//! What the network asks of its host: sockets that never block.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Names a socket until it is closed; given out by [`Sockets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u32);

/// The host's sockets.
///
/// No call waits: what cannot be done at once fails with [`WouldBlock`](io::ErrorKind::WouldBlock),
/// and when it may succeed the socket turns up in [`take_ready`](Self::take_ready). It may turn up
/// without need, too.
pub trait Sockets {
    /// Time since some fixed point, never going back.
    fn now(&mut self) -> Duration;

    /// Begins a TCP connection.
    ///
    /// # Errors
    /// If it fails at once.
    fn connect(&mut self, to: SocketAddr) -> io::Result<SocketId>;

    /// Begins a connection to a stream socket of the host's file system.
    ///
    /// # Errors
    /// If it fails at once.
    fn connect_unix(&mut self, to: &Path) -> io::Result<SocketId>;

    /// Whether a connection that was begun is made.
    ///
    /// # Errors
    /// `WouldBlock` as long as it is being made; anything else is why it failed.
    fn connected(&mut self, socket: SocketId) -> io::Result<()>;

    /// Listens for TCP connections at an address; port 0 is any free one.
    ///
    /// # Errors
    /// The host's reason.
    fn listen(&mut self, at: SocketAddr) -> io::Result<SocketId>;

    /// Takes a connection that was made to a listening socket.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    fn accept(&mut self, listener: SocketId) -> io::Result<SocketId>;

    /// Sends some of `bytes`; returns how many.
    ///
    /// # Errors
    /// `WouldBlock`, or why nothing can be sent any more.
    fn send(&mut self, socket: SocketId, bytes: &[u8]) -> io::Result<usize>;

    /// Receives into `into`, which is not empty; returns how many bytes, 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock`, or why nothing can be received any more.
    fn recv(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<usize>;

    /// Sends the end of the stream. The other direction goes on.
    ///
    /// # Errors
    /// If the connection is gone.
    fn shutdown(&mut self, socket: SocketId) -> io::Result<()>;

    /// Makes a UDP socket at an address; port 0 is any free one.
    ///
    /// # Errors
    /// The host's reason.
    fn bind(&mut self, at: SocketAddr) -> io::Result<SocketId>;

    /// Sends a datagram.
    ///
    /// # Errors
    /// The host's reason; `WouldBlock` if its buffer is full.
    fn send_to(&mut self, socket: SocketId, bytes: &[u8], to: SocketAddr) -> io::Result<()>;

    /// Receives a datagram; returns its length and sender.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    fn recv_from(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<(usize, SocketAddr)>;

    /// Where a socket is bound.
    ///
    /// # Errors
    /// The host's reason.
    fn local_addr(&mut self, socket: SocketId) -> io::Result<SocketAddr>;

    /// Closes a socket. What was sent is still delivered.
    fn close(&mut self, socket: SocketId);

    /// Closes a connection so that its peer, if it is one by TCP, sees it reset.
    fn abort(&mut self, socket: SocketId);

    /// Appends the sockets for which something may have changed since the last call.
    fn take_ready(&mut self, into: &mut Vec<SocketId>);
}
