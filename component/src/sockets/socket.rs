//! One socket of WASI 0.2, with the readiness that a gateway expects.
//!
//! A pollable says how things are, as often as it is asked; a gateway wants to be told once that they
//! have changed. So a pollable is waited for only after a call that could do nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;

use lithify_hostnet::{ADDRESS_LEN, decode_address, encode_address};
use wasip2::io::poll::Pollable;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::sockets::network::{ErrorCode, Network};
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::{
    IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket,
};
use wasip2::sockets::udp_create_socket::create_udp_socket;

use super::address::{family, from_wasi, to_wasi};
use crate::bridge;
use crate::errno::{Errno, Result};
use crate::memory::Buffer;

/// Connections that may wait to be accepted.
const BACKLOG: u64 = 128;

/// Datagrams that are taken from the host at once.
const MAX_RECEIVED: u64 = 16;

/// Longest datagram that there is.
const MAX_DATAGRAM: u32 = 65_535;

/// What can be waited for, and whether it is.
#[derive(Debug)]
pub(super) struct Watch {
    pollable: Pollable,
    armed: bool,
}

impl Watch {
    fn armed(pollable: Pollable) -> Self {
        Self { pollable, armed: true }
    }

    fn idle(pollable: Pollable) -> Self {
        Self { pollable, armed: false }
    }

    pub(super) fn wanted(&self) -> Option<&Pollable> {
        self.armed.then_some(&self.pollable)
    }

    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }

    /// Says that nothing could be done, and waits.
    fn arm<T>(&mut self) -> Result<T> {
        self.armed = true;
        Err(Errno::AGAIN)
    }
}

/// A made connection.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) input: Watch,
    pub(super) output: Watch,
    from: InputStream,
    to: OutputStream,
    socket: TcpSocket,
}

/// A socket for datagrams of several peers.
#[derive(Debug)]
pub(super) struct Datagrams {
    pub(super) input: Watch,
    pub(super) output: Watch,
    from: IncomingDatagramStream,
    to: OutgoingDatagramStream,
    socket: UdpSocket,
    received: VecDeque<(Vec<u8>, SocketAddr)>,
}

/// A socket whose one pollable tells of all that can happen.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) watch: Watch,
    socket: TcpSocket,
}

#[derive(Debug)]
pub(super) enum Socket {
    Connecting(Waiting),
    Stream(Stream),
    Listener(Waiting),
    Datagrams(Datagrams),
}

impl Waiting {
    fn new(socket: TcpSocket) -> Self {
        Self { watch: Watch::armed(socket.subscribe()), socket }
    }

    /// Begins a connection.
    pub(super) fn connect(network: &Network, to: SocketAddr) -> Result<Self> {
        let socket = create_tcp_socket(family(to))?;
        socket.start_connect(network, to_wasi(to))?;
        Ok(Self::new(socket))
    }

    /// Listens.
    pub(super) fn listen(
        network: &Network,
        at: SocketAddr,
    ) -> std::result::Result<Self, ErrorCode> {
        let socket = create_tcp_socket(family(at))?;
        socket.start_bind(network, to_wasi(at))?;
        finish(|| socket.finish_bind(), || socket.subscribe())?;
        socket.set_listen_backlog_size(BACKLOG)?;
        socket.start_listen()?;
        finish(|| socket.finish_listen(), || socket.subscribe())?;
        Ok(Self::new(socket))
    }

    pub(super) fn local_addr(&self) -> std::result::Result<SocketAddr, ErrorCode> {
        self.socket.local_address().map(from_wasi)
    }

    pub(super) fn accept(&mut self) -> Result<Stream> {
        match self.socket.accept() {
            Ok((socket, from, to)) => Ok(Stream::new(socket, from, to)),
            Err(ErrorCode::WouldBlock) => self.watch.arm(),
            Err(error) => Err(error.into()),
        }
    }

    /// The streams of the connection if it is made.
    pub(super) fn connected(&mut self) -> Result<(InputStream, OutputStream)> {
        match self.socket.finish_connect() {
            Ok(streams) => Ok(streams),
            Err(ErrorCode::WouldBlock) => self.watch.arm(),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn into_stream(self, (from, to): (InputStream, OutputStream)) -> Stream {
        Stream::new(self.socket, from, to)
    }
}

/// Ends what was begun; hosts do at once what only names a port.
fn finish(
    mut end: impl FnMut() -> std::result::Result<(), ErrorCode>,
    subscribe: impl Fn() -> Pollable,
) -> std::result::Result<(), ErrorCode> {
    loop {
        match end() {
            Err(ErrorCode::WouldBlock) => subscribe().block(),
            answer => return answer,
        }
    }
}

impl Stream {
    fn new(socket: TcpSocket, from: InputStream, to: OutputStream) -> Self {
        let input = Watch::armed(from.subscribe());
        Self { input, output: Watch::idle(to.subscribe()), from, to, socket }
    }

    /// Receives; 0 is the end.
    pub(super) fn read(&mut self, into: Buffer) -> Result<usize> {
        match self.from.read(into.len.into()) {
            Ok(bytes) if bytes.is_empty() => self.input.arm(),
            Ok(bytes) => {
                bridge::write(into.at, &bytes);
                Ok(bytes.len())
            }
            Err(StreamError::Closed) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends some of the bytes.
    pub(super) fn write(&mut self, from: Buffer) -> Result<usize> {
        let room = self.to.check_write()?.min(from.len.into()) as u32;
        if room == 0 {
            return self.output.arm();
        }
        self.to.write(&Buffer { len: room, ..from }.bytes())?;
        self.to.flush()?;
        Ok(room as usize)
    }

    pub(super) fn shutdown(&mut self) -> Result<()> {
        Ok(self.socket.shutdown(ShutdownType::Send)?)
    }

    /// Nothing is to be received any more; whether the host has all that was sent.
    pub(super) fn leave(&mut self) -> bool {
        self.input.disarm();
        let is_done = !matches!(self.to.check_write(), Ok(0));
        self.output.armed = !is_done;
        is_done
    }
}

impl Datagrams {
    pub(super) fn bind(network: &Network, at: SocketAddr) -> std::result::Result<Self, ErrorCode> {
        let socket = create_udp_socket(family(at))?;
        socket.start_bind(network, to_wasi(at))?;
        finish(|| socket.finish_bind(), || socket.subscribe())?;
        let (from, to) = socket.stream(None)?;
        Ok(Self {
            input: Watch::armed(from.subscribe()),
            output: Watch::idle(to.subscribe()),
            from,
            to,
            socket,
            received: VecDeque::new(),
        })
    }

    pub(super) fn local_addr(&self) -> std::result::Result<SocketAddr, ErrorCode> {
        self.socket.local_address().map(from_wasi)
    }

    /// Receives a datagram: address and bytes, as [`Uplink`](lithify_hostnet::Uplink) lays them out.
    pub(super) fn read(&mut self, address: Buffer, into: Buffer) -> Result<(usize, SocketAddr)> {
        if self.received.is_empty() {
            let received = self.from.receive(MAX_RECEIVED)?.into_iter();
            self.received.extend(received.map(|one| (one.data, from_wasi(one.remote_address))));
        }
        let Some((bytes, from)) = self.received.pop_front() else { return self.input.arm() };
        let len = bytes.len().min(into.len as usize);
        bridge::write(address.at, &encode_address(from));
        bridge::write(into.at, &bytes[..len]);
        Ok((ADDRESS_LEN + len, from))
    }

    /// Sends a datagram.
    pub(super) fn write(&mut self, bytes: Vec<u8>, to: SocketAddr) -> Result<()> {
        if self.to.check_send()? == 0 {
            return self.output.arm();
        }
        let datagram = OutgoingDatagram { data: bytes, remote_address: Some(to_wasi(to)) };
        match self.to.send(&[datagram])? {
            0 => self.output.arm(),
            _ => Ok(()),
        }
    }

    /// Takes what is no host's datagram.
    pub(super) fn push(&mut self, bytes: Vec<u8>, from: SocketAddr) {
        self.received.push_back((bytes, from));
    }
}

/// The pieces of a datagram: its address and itself.
pub(super) fn message(pieces: &[Buffer]) -> Result<(SocketAddr, Vec<u8>)> {
    let [address, payload] = pieces else { return Err(Errno::INVAL) };
    if address.len as usize != ADDRESS_LEN || payload.len > MAX_DATAGRAM {
        return Err(Errno::INVAL);
    }
    let to = address.bytes().first_chunk().and_then(decode_address).ok_or(Errno::INVAL)?;
    Ok((to, payload.bytes()))
}
