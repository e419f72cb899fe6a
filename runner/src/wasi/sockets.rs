//! Sockets of the host, as files of our own folder ([`Uplink`] describes them).
//!
//! Bytes go straight between the system and the artifact's memory. The artifact decides about
//! nothing: where it may connect to is asked here, for each connection and each datagram.

use super::errno::Errno;
use super::memory::{GuestMemory, IoVec};
use super::{Host, Outcome};
use crate::Network;
use lithify_hostnet::{
    ADDRESS_LEN, Kind, SocketId, Sockets, Uplink, decode_address, encode_address,
};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;

/// The file that lists what is ready; sockets follow.
pub(super) const READY: u32 = 1 << 29;
const FIRST: u32 = READY + 1;

/// The gateway bounds its guest's sockets far below this; an artifact that fails to must not take
/// all descriptors there are.
const MAX_SOCKETS: usize = 2048;

/// Senders of datagrams to published ports that may be answered although the guest may not write to
/// them first, as those on the host itself: as many as the gateway remembers.
const MAX_ASKERS: usize = 256;

/// Room that a reader of the list has at least: as many as the system tells at once.
const READY_LEN: usize = 64 * size_of::<u32>();

/// `sdflags`: both directions at once.
const SHUT_BOTH: u32 = 3;
/// `sdflags`: nothing more is sent.
const SHUT_WRITE: u32 = 2;

type Result<T> = std::result::Result<T, Errno>;

/// The sockets of one run, none if it has no network.
pub(crate) struct SocketFiles {
    network: Option<Network>,
    /// Who may be answered on which socket, the latest first.
    askers: VecDeque<(SocketId, SocketAddr)>,
    ready: Vec<SocketId>,
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn errno(error: io::Error) -> Errno {
    if let Some(errno) = rustix::io::Errno::from_io_error(&error) {
        return errno.into();
    }
    match error.kind() {
        io::ErrorKind::WouldBlock => Errno::Again,
        io::ErrorKind::NotConnected => Errno::BadF,
        _ => Errno::Io,
    }
}

/// Whose descriptor this is.
pub(super) fn is_socket(fd: u32) -> bool {
    (READY..super::own_folder::FIRST_FILE).contains(&fd)
}

fn id(fd: u32) -> Result<SocketId> {
    fd.checked_sub(FIRST).map(SocketId).ok_or(Errno::BadF)
}

impl SocketFiles {
    pub(crate) fn new(network: Option<Network>) -> Self {
        Self { network, askers: VecDeque::new(), ready: Vec::new() }
    }

    fn network(&mut self) -> Result<&mut Network> {
        self.network.as_mut().ok_or(Errno::BadF)
    }

    /// Opens the file of this name below [`Uplink::SOCKETS`].
    pub(super) fn open(&mut self, name: &str) -> Result<u32> {
        let network = self.network.as_mut().ok_or(Errno::NoEnt)?;
        if name == Uplink::READY {
            return Ok(READY);
        }
        if let Some(number) = name.strip_prefix(Uplink::PUBLISHED) {
            let published =
                number.parse().ok().and_then(|number: usize| network.published.get(number));
            return published.map(|socket| FIRST + socket.0).ok_or(Errno::NoEnt);
        }
        if network.sockets.len() >= MAX_SOCKETS {
            return Err(Errno::MFile);
        }
        let opened = match (name, name.strip_prefix(Uplink::TCP)) {
            (_, Some(to)) => {
                let to = to.parse().map_err(|_| Errno::Inval)?;
                network.check(to)?;
                network.sockets.connect(to)
            }
            (Uplink::UDP4, _) => network.sockets.bind(any(Ipv4Addr::UNSPECIFIED)),
            (Uplink::UDP6, _) => network.sockets.bind(any(Ipv6Addr::UNSPECIFIED)),
            _ => return Err(Errno::NoEnt),
        };
        Ok(FIRST + opened.map_err(errno)?.0)
    }

    /// What is open as `fd`; nothing is the list of what is ready.
    pub(super) fn kind(&self, fd: u32) -> Result<Option<Kind>> {
        match (&self.network, fd) {
            (None, _) => Err(Errno::BadF),
            (Some(_), READY) => Ok(None),
            (Some(network), _) => network.sockets.kind(id(fd)?).map(Some).ok_or(Errno::BadF),
        }
    }

    /// What is waited for.
    pub(super) fn pollable(&self, fd: u32) -> Result<BorrowedFd<'_>> {
        let network = self.network.as_ref().filter(|_| fd == READY);
        network.map(|network| network.sockets.readiness()).ok_or(Errno::BadF)
    }

    pub(super) fn read(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: u32,
        count: u32,
    ) -> Result<usize> {
        match self.kind(fd)? {
            None => {
                let vector = memory.first_iovec(iovs, count)?;
                self.list_ready(memory.bytes_mut(vector.at, vector.len)?)
            }
            Some(Kind::Datagrams) => {
                let [address, payload] = two(memory, iovs, count)?;
                let to = memory.bytes_mut(payload.at, payload.len)?;
                let received = self.network()?.sockets.recv_from(id(fd)?, to);
                let (len, from) = received.map_err(errno)?;
                self.remember(id(fd)?, from);
                memory.put(address.at, &encode_address(from))?;
                Ok(ADDRESS_LEN + len)
            }
            Some(_) => {
                let vector = memory.first_iovec(iovs, count)?;
                let to = memory.bytes_mut(vector.at, vector.len)?;
                self.network()?.sockets.recv(id(fd)?, to).map_err(errno)
            }
        }
    }

    fn remember(&mut self, socket: SocketId, from: SocketAddr) {
        let Some(network) = &self.network else { return };
        let is_new = network.published.contains(&socket)
            && network.check(from).is_err()
            && !self.askers.contains(&(socket, from));
        if is_new {
            self.askers.truncate(MAX_ASKERS - 1);
            self.askers.push_front((socket, from));
        }
    }

    fn list_ready(&mut self, to: &mut [u8]) -> Result<usize> {
        let Some(network) = &mut self.network else { return Err(Errno::BadF) };
        if to.len() < READY_LEN {
            return Err(Errno::Inval);
        }
        self.ready.clear();
        network.sockets.take_ready(&mut self.ready);
        let mut len = 0;
        for (socket, to) in self.ready.iter().zip(to.chunks_exact_mut(size_of::<u32>())) {
            to.copy_from_slice(&(FIRST + socket.0).to_le_bytes());
            len += to.len();
        }
        Ok(len)
    }

    pub(super) fn write(
        &mut self,
        memory: &GuestMemory<'_>,
        fd: u32,
        iovs: u32,
        count: u32,
    ) -> Result<usize> {
        match self.kind(fd)? {
            None => Err(Errno::BadF),
            Some(Kind::Datagrams) => {
                let [address, payload] = two(memory, iovs, count)?;
                let address = memory.bytes(address.at, address.len)?.first_chunk();
                let to = address.and_then(decode_address).ok_or(Errno::Inval)?;
                let from = memory.bytes(payload.at, payload.len)?;
                let may_answer = self.askers.contains(&(id(fd)?, to));
                let network = self.network()?;
                if !may_answer {
                    network.check(to)?;
                }
                network.sockets.send_to(id(fd)?, from, to).map_err(errno)?;
                Ok(ADDRESS_LEN + from.len())
            }
            Some(_) => {
                let vector = memory.first_iovec(iovs, count)?;
                let from = memory.bytes(vector.at, vector.len)?;
                let sockets = &mut self.network()?.sockets;
                match from {
                    [] => sockets.connected(id(fd)?).map(|()| 0).map_err(errno),
                    from => sockets.send(id(fd)?, from).map_err(errno),
                }
            }
        }
    }

    /// What is published belongs to the run and stays.
    pub(super) fn close(&mut self, fd: u32) -> Result<()> {
        if self.kind(fd)?.is_some() {
            let network = self.network()?;
            let socket = id(fd)?;
            if !network.published.contains(&socket) {
                network.sockets.close(socket);
            }
        }
        Ok(())
    }

    fn accept(&mut self, fd: u32) -> Result<u32> {
        let sockets = &mut self.network()?.sockets;
        if sockets.len() >= MAX_SOCKETS {
            return Err(Errno::MFile);
        }
        sockets.accept(id(fd)?).map(|socket| FIRST + socket.0).map_err(errno)
    }

    fn shutdown(&mut self, fd: u32, how: u32) -> Result<()> {
        let (socket, sockets) = (id(fd)?, &mut self.network()?.sockets);
        match how {
            SHUT_WRITE => sockets.shutdown(socket).map_err(errno),
            SHUT_BOTH if sockets.kind(socket) == Some(Kind::Stream) => {
                sockets.abort(socket);
                Ok(())
            }
            _ => Err(Errno::Inval),
        }
    }
}

impl Network {
    /// Whether the user lets the guest have this address.
    fn check(&self, to: SocketAddr) -> Result<()> {
        let permitted = self.uplink.access.permits(to) || self.uplink.resolvers.contains(&to);
        if permitted { Ok(()) } else { Err(Errno::Acces) }
    }
}

fn any(ip: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(ip.into(), 0)
}

/// The pieces of a datagram: its address and itself.
fn two(memory: &GuestMemory<'_>, iovs: u32, count: u32) -> Result<[IoVec; 2]> {
    if count != 2 {
        return Err(Errno::Inval);
    }
    let [address, payload] = [memory.iovec(iovs, 0)?, memory.iovec(iovs, 1)?];
    if address.len as usize == ADDRESS_LEN { Ok([address, payload]) } else { Err(Errno::Inval) }
}

impl Host {
    pub(super) fn sock_accept(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        _flags: u32,
        accepted: u32,
    ) -> Outcome {
        Ok(memory.put_u32(accepted, self.sockets.accept(fd)?)?)
    }

    pub(super) fn sock_shutdown(&mut self, _: &mut GuestMemory<'_>, fd: u32, how: u32) -> Outcome {
        Ok(self.sockets.shutdown(fd, how)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NetworkMode, NetworkWish};
    use std::io::Read;
    use std::net::{TcpListener, UdpSocket};
    use std::time::Duration;

    fn files(mode: NetworkMode, published: &[&str]) -> SocketFiles {
        let published = published.iter().map(|port| port.parse().unwrap()).collect();
        SocketFiles::new(NetworkWish { mode, published, ..Default::default() }.open().unwrap())
    }

    /// A list of two vectors at 0: an address at 16 and `len` bytes at 64.
    fn memory(bytes: &mut [u8], len: u32) -> GuestMemory<'_> {
        let mut memory = GuestMemory::new(bytes);
        for (at, value) in [(0, 16), (4, ADDRESS_LEN as u32), (8, 64), (12, len)] {
            memory.put_u32(at, value).unwrap();
        }
        memory
    }

    fn wait(files: &mut SocketFiles) {
        let network = files.network.as_mut().unwrap();
        network.sockets.wait(Some(Duration::from_secs(60))).unwrap();
    }

    #[test]
    fn an_artifact_reaches_what_its_user_lets_out_whatever_it_asks_for() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let here = format!("tcp/{}", listener.local_addr().unwrap());
        let mut outside = files(NetworkMode::Default, &[]);
        for name in [&here, "tcp/[::1]:1", "tcp/169.254.169.254:80", "tcp/10.0.2.2:80"] {
            assert_eq!(outside.open(name), Err(Errno::Acces), "{name}");
        }
        assert_eq!(outside.open("tcp/localhost:80"), Err(Errno::Inval));
        assert_eq!(outside.open("published/0"), Err(Errno::NoEnt));
        let udp = outside.open("udp4").unwrap();
        let mut bytes = [0; 128];
        let mut memory = memory(&mut bytes, 1);
        memory.put(16, &encode_address("127.0.0.1:9".parse().unwrap())).unwrap();
        assert_eq!(outside.write(&memory, udp, 0, 2), Err(Errno::Acces));
        assert_eq!(outside.write(&memory, udp, 0, 1), Err(Errno::Inval));

        let mut host = files(NetworkMode::Host, &[]);
        let fd = host.open(&here).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        wait(&mut host);
        assert_eq!(host.write(&memory, fd, 0, 0), Ok(0));
        assert_eq!(host.write(&memory, fd, 8, 1), Ok(1));
        host.shutdown(fd, SHUT_WRITE).unwrap();
        assert_eq!(accepted.read_to_end(&mut Vec::new()).unwrap(), 1);
        host.close(fd).unwrap();
        assert_eq!(host.write(&memory, fd, 8, 1), Err(Errno::BadF));

        let mut none = files(NetworkMode::None, &[]);
        assert_eq!(none.open("ready"), Err(Errno::NoEnt));
        assert_eq!(none.kind(READY), Err(Errno::BadF));
    }

    #[test]
    fn who_wrote_to_a_published_port_may_be_answered() {
        let mut files = files(NetworkMode::Default, &["127.0.0.1:0:53/udp"]);
        let fd = files.open("published/0").unwrap();
        let at = {
            let network = files.network.as_mut().unwrap();
            network.sockets.local_addr(network.published[0]).unwrap()
        };
        let asker = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let mut bytes = [0; 128];
        let mut memory = memory(&mut bytes, 5);
        let address = encode_address(asker.local_addr().unwrap());
        memory.put(16, &address).unwrap();
        assert_eq!(files.write(&memory, fd, 0, 2), Err(Errno::Acces));
        asker.send_to(b"hello", at).unwrap();
        wait(&mut files);
        assert_eq!(files.read(&mut memory, fd, 0, 2), Ok(ADDRESS_LEN + 5));
        assert_eq!(memory.bytes(16, ADDRESS_LEN as u32), Ok(&address[..]));
        assert_eq!(files.write(&memory, fd, 0, 2), Ok(ADDRESS_LEN + 5));
        let mut answer = [0; 8];
        assert_eq!(asker.recv(&mut answer).unwrap(), 5);
        assert_eq!(&answer[..5], b"hello");
        files.close(fd).unwrap();
        assert_eq!(files.open("published/0"), Ok(fd));
    }
}
