//! The runner's sockets, which are files of its own folder ([`Uplink`] describes them).

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lithify_control::Overrides;
use lithify_hostnet::{ADDRESS_LEN, SocketId, Sockets, Uplink, decode_address, encode_address};
use wasip1::{Errno, Fd};

use crate::wasi;

/// Bytes of the list of ready sockets that are read at once.
const READY_LEN: usize = 64 * size_of::<Fd>();

/// A socket's number is its descriptor's.
pub(super) struct WasiSockets {
    folder: Fd,
    ready: Fd,
    /// Sockets that are open.
    open: usize,
}

impl WasiSockets {
    pub(super) fn open() -> Result<Self, Errno> {
        let folder = wasi::preopen(Overrides::DIRECTORY).ok_or(wasip1::ERRNO_NOENT)?;
        let mut sockets = Self { folder, ready: 0, open: 0 };
        sockets.ready = sockets.open_file(Uplink::READY)?;
        Ok(sockets)
    }

    pub(super) fn readiness(&self) -> Fd {
        self.ready
    }

    /// What listens for the published port of this number.
    pub(super) fn published(&mut self, number: u32) -> Result<SocketId, Errno> {
        self.open_socket(&format!("{}{number}", Uplink::PUBLISHED))
    }

    fn open_socket(&mut self, name: &str) -> Result<SocketId, Errno> {
        let socket = self.open_file(name)?;
        self.open += 1;
        Ok(SocketId(socket))
    }

    fn open_file(&self, name: &str) -> Result<Fd, Errno> {
        let rights = wasip1::RIGHTS_FD_READ
            | wasip1::RIGHTS_FD_WRITE
            | wasip1::RIGHTS_POLL_FD_READWRITE
            | wasip1::RIGHTS_SOCK_ACCEPT
            | wasip1::RIGHTS_SOCK_SHUTDOWN;
        wasi::open(self.folder, &format!("{}{name}", Uplink::SOCKETS), 0, rights, 0)
    }

    fn gone(&mut self, socket: SocketId) {
        wasi::close(socket.0);
        self.open -= 1;
    }
}

fn error(errno: Errno) -> io::Error {
    let kind = match errno {
        wasip1::ERRNO_AGAIN | wasip1::ERRNO_INTR => io::ErrorKind::WouldBlock,
        wasip1::ERRNO_ACCES => io::ErrorKind::PermissionDenied,
        wasip1::ERRNO_ADDRNOTAVAIL => io::ErrorKind::AddrNotAvailable,
        wasip1::ERRNO_CONNABORTED => io::ErrorKind::ConnectionAborted,
        wasip1::ERRNO_CONNREFUSED => io::ErrorKind::ConnectionRefused,
        wasip1::ERRNO_CONNRESET => io::ErrorKind::ConnectionReset,
        wasip1::ERRNO_HOSTUNREACH => io::ErrorKind::HostUnreachable,
        wasip1::ERRNO_NETDOWN => io::ErrorKind::NetworkDown,
        wasip1::ERRNO_NETUNREACH => io::ErrorKind::NetworkUnreachable,
        wasip1::ERRNO_NOTCONN => io::ErrorKind::NotConnected,
        wasip1::ERRNO_PIPE => io::ErrorKind::BrokenPipe,
        wasip1::ERRNO_TIMEDOUT => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::Other,
    };
    kind.into()
}

impl Sockets for WasiSockets {
    fn now(&mut self) -> Duration {
        Duration::from_nanos(wasi::monotonic_ns())
    }

    fn connect(&mut self, to: SocketAddr) -> io::Result<SocketId> {
        self.open_socket(&format!("{}{to}", Uplink::TCP)).map_err(error)
    }

    /// Nobody forwards any to an artifact.
    fn connect_unix(&mut self, _: &Path) -> io::Result<SocketId> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connected(&mut self, socket: SocketId) -> io::Result<()> {
        wasi::write(socket.0, &[]).map(drop).map_err(error)
    }

    /// The runner listens, for what its user publishes and nothing else.
    fn listen(&mut self, _: SocketAddr) -> io::Result<SocketId> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn accept(&mut self, listener: SocketId) -> io::Result<SocketId> {
        let socket = wasi::accept(listener.0).map_err(error)?;
        self.open += 1;
        Ok(SocketId(socket))
    }

    fn send(&mut self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        wasi::write(socket.0, bytes).map_err(error)
    }

    fn recv(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<usize> {
        wasi::read(socket.0, into).map_err(error)
    }

    fn shutdown(&mut self, socket: SocketId) -> io::Result<()> {
        wasi::shutdown(socket.0, wasip1::SDFLAGS_WR).map_err(error)
    }

    /// On any port, which is all that the gateway asks for.
    fn bind(&mut self, at: SocketAddr) -> io::Result<SocketId> {
        let name = if at.is_ipv4() { Uplink::UDP4 } else { Uplink::UDP6 };
        self.open_socket(name).map_err(error)
    }

    fn send_to(&mut self, socket: SocketId, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        wasi::write_two(socket.0, &encode_address(to), bytes).map(drop).map_err(error)
    }

    fn recv_from(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut from = [0; ADDRESS_LEN];
        let len = wasi::read_two(socket.0, &mut from, into).map_err(error)?;
        let from = decode_address(&from).ok_or(io::ErrorKind::InvalidData)?;
        Ok((len.saturating_sub(ADDRESS_LEN), from))
    }

    /// Only who listens itself asks.
    fn local_addr(&mut self, _: SocketId) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn close(&mut self, socket: SocketId) {
        self.gone(socket);
    }

    fn abort(&mut self, socket: SocketId) {
        // A connection that is gone already cannot be reset.
        let _ = wasi::shutdown(socket.0, wasip1::SDFLAGS_RD | wasip1::SDFLAGS_WR);
        self.gone(socket);
    }

    fn take_ready(&mut self, into: &mut Vec<SocketId>) {
        if self.open == 0 {
            return;
        }
        let mut list = [0; READY_LEN];
        let len = wasi::read(self.ready, &mut list).unwrap_or_default();
        let (sockets, _) = list[..len].as_chunks();
        into.extend(sockets.iter().map(|socket| SocketId(Fd::from_le_bytes(*socket))));
    }
}
