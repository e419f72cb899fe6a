//! The sockets of our own folder ([`Uplink`] describes them), over WASI 0.2.

mod address;
mod lookup;
mod socket;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lithify_hostnet::{ADDRESS_LEN, Protocol, Published, Uplink};
use wasip2::clocks::monotonic_clock::{now, subscribe_duration};
use wasip2::io::poll::{Pollable, poll};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{self, ErrorCode};

use crate::descriptors::Descriptor;
use crate::errno::{Errno, Result};
use crate::host::StartError;
use crate::memory::Buffer;
use crate::options::Options;
use lookup::{Asked, Lookup, MAX_LOOKUPS, NAME_SERVER};
use socket::{Datagrams, Socket, Stream, Waiting};

/// The gateway bounds its guest's sockets far below this. What is leaving counts: peers that do not
/// read must not make a guest that comes back hold any number.
const MAX_SOCKETS: usize = 2048;

/// Senders of datagrams to published ports that may be answered although the guest may not write to
/// them first, as those on the host itself: as many as the gateway remembers.
const MAX_ASKERS: usize = 256;

/// How long the end of a run waits for peers that do not read.
const LINGER_NS: u64 = 1_000_000_000;

/// How many times as long as a look the machine works before the next one.
const WORK_PER_LOOK: u64 = 15;

/// `sdflags`.
const SHUT_WRITE: u32 = 2;
const SHUT_BOTH: u32 = 3;

/// What the artifact is told, and the sockets.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) uplink: Uplink,
    pub(crate) sockets: Sockets,
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Watched {
    Input(usize),
    Output(usize),
    Leaving(usize),
    Lookup(usize),
}

/// The sockets of one run.
#[derive(Debug)]
pub(crate) struct Sockets {
    uplink: Uplink,
    /// By number; what is published first.
    open: Vec<Option<Socket>>,
    /// Connections that are closed but for what the host has not sent yet: to drop them is to wait.
    leaving: Vec<Option<Stream>>,
    lookups: Vec<Option<Lookup>>,
    /// For which something has changed.
    ready: Vec<usize>,
    /// Who may be answered on which socket, the latest first.
    askers: VecDeque<(usize, SocketAddr)>,
    /// Is ready at any time.
    always: Pollable,
    /// Not before this time is looked again.
    next_look: u64,
    network: network::Network,
}

impl Network {
    /// Begins to listen for what is published; nothing if there is no network.
    pub(crate) fn open(options: &Options) -> std::result::Result<Option<Self>, StartError> {
        let first = options.published.first();
        let Some(access) = options.mode.access(&options.hosts) else {
            return first.map_or(Ok(None), |port| Err(StartError::NothingToPublish(*port)));
        };
        let network = instance_network();
        if !is_allowed(&network) {
            return first.map_or(Ok(None), |port| Err(StartError::NoNetwork(*port)));
        }
        let listen = |port: &Published| {
            let opened = open_published(&network, port);
            opened.map_err(|code| StartError::Publish(*port, reason(code)))
        };
        let mut open = Vec::new();
        for port in &options.published {
            let (socket, host) = listen(port)?;
            if port.host.port() == 0 {
                eprintln!("{}", Published { host, ..*port }.as_route());
            }
            open.push(Some(socket));
        }
        let named = options.name_servers.iter().map(|server| server.0).collect::<Vec<_>>();
        let uplink = Uplink {
            access,
            resolvers: if named.is_empty() { vec![NAME_SERVER] } else { named },
            published: options.published.iter().map(|port| (port.guest, port.protocol)).collect(),
        };
        let sockets = Sockets {
            uplink: uplink.clone(),
            open,
            leaving: Vec::new(),
            lookups: Vec::new(),
            ready: Vec::new(),
            askers: VecDeque::new(),
            always: subscribe_duration(0),
            next_look: 0,
            network,
        };
        Ok(Some(Self { uplink, sockets }))
    }
}

/// Whether the runtime gives any network: WASI 0.2 tells only who tries.
fn is_allowed(network: &network::Network) -> bool {
    let probe = Datagrams::bind(network, any(Ipv4Addr::UNSPECIFIED));
    !matches!(probe, Err(ErrorCode::AccessDenied | ErrorCode::NotSupported))
}

/// What listens, and where.
fn open_published(
    network: &network::Network,
    port: &Published,
) -> std::result::Result<(Socket, SocketAddr), ErrorCode> {
    match port.protocol {
        Protocol::Tcp => {
            let waiting = Waiting::listen(network, port.host)?;
            let at = waiting.local_addr()?;
            Ok((Socket::Listener(waiting), at))
        }
        Protocol::Udp => {
            let datagrams = Datagrams::bind(network, port.host)?;
            let at = datagrams.local_addr()?;
            Ok((Socket::Datagrams(datagrams), at))
        }
    }
}

fn reason(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::AddressInUse => {
            "address already in use; use another port, or 0 for any free one"
        }
        ErrorCode::AddressNotBindable => "it is no address of this host",
        ErrorCode::AccessDenied => "the runtime does not allow it; the lowest ports are root's",
        other => other.message(),
    }
}

fn any(ip: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(ip.into(), 0)
}

impl Sockets {
    /// Opens the file of this name below [`Uplink::SOCKETS`].
    pub(crate) fn open(&mut self, name: &str) -> Result<Descriptor> {
        if name == Uplink::READY {
            return Ok(Descriptor::Ready);
        }
        if let Some(number) = name.strip_prefix(Uplink::PUBLISHED) {
            let number = number.parse().map_err(|_| Errno::NOENT)?;
            let is_one = self.uplink.published.len() > number;
            return if is_one { Ok(Descriptor::Socket(number)) } else { Err(Errno::NOENT) };
        }
        let bind = |ip| Datagrams::bind(&self.network, any(ip)).map(Socket::Datagrams);
        let socket = match (name, name.strip_prefix(Uplink::TCP)) {
            (_, Some(to)) => {
                let to = to.parse().map_err(|_| Errno::INVAL)?;
                self.check(to)?;
                if to == NAME_SERVER {
                    return Err(Errno::CONNREFUSED);
                }
                Socket::Connecting(Waiting::connect(&self.network, to)?)
            }
            (Uplink::UDP4, _) => bind(IpAddr::from(Ipv4Addr::UNSPECIFIED))?,
            (Uplink::UDP6, _) => bind(Ipv6Addr::UNSPECIFIED.into())?,
            _ => return Err(Errno::NOENT),
        };
        self.add(socket).map(Descriptor::Socket)
    }

    fn add(&mut self, socket: Socket) -> Result<usize> {
        let held = self.open.iter().flatten().count() + self.leaving.iter().flatten().count();
        if held >= MAX_SOCKETS {
            return Err(Errno::MFILE);
        }
        match self.open.iter().position(Option::is_none) {
            Some(number) => {
                self.open[number] = Some(socket);
                Ok(number)
            }
            None => {
                self.open.push(Some(socket));
                Ok(self.open.len() - 1)
            }
        }
    }

    fn get(&mut self, socket: usize) -> Result<&mut Socket> {
        self.open.get_mut(socket).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    /// Whether the user lets the guest have this address.
    fn check(&self, to: SocketAddr) -> Result<()> {
        let permitted = self.uplink.access.permits(to) || self.uplink.resolvers.contains(&to);
        if permitted { Ok(()) } else { Err(Errno::ACCES) }
    }

    pub(crate) fn read(
        &mut self,
        socket: usize,
        into: Buffer,
        payload: Option<Buffer>,
    ) -> Result<usize> {
        match (self.get(socket)?, payload) {
            (Socket::Stream(stream), _) => stream.read(into),
            (Socket::Datagrams(datagrams), Some(payload)) if into.len as usize == ADDRESS_LEN => {
                let (len, from) = datagrams.read(into, payload)?;
                self.remember(socket, from);
                Ok(len)
            }
            (Socket::Connecting(_), _) => Err(Errno::AGAIN),
            _ => Err(Errno::INVAL),
        }
    }

    fn remember(&mut self, socket: usize, from: SocketAddr) {
        let is_new = socket < self.uplink.published.len()
            && self.check(from).is_err()
            && !self.askers.contains(&(socket, from));
        if is_new {
            self.askers.truncate(MAX_ASKERS - 1);
            self.askers.push_front((socket, from));
        }
    }

    /// Sends; an empty write asks whether the connection is made.
    pub(crate) fn write(&mut self, socket: usize, pieces: &[Buffer]) -> Result<usize> {
        let is_empty = pieces.iter().all(|piece| piece.len == 0);
        match self.get(socket)? {
            Socket::Connecting(_) if is_empty => self.connected(socket).map(|()| 0),
            Socket::Stream(_) if is_empty => Ok(0),
            Socket::Stream(stream) => stream.write(*pieces.first().ok_or(Errno::INVAL)?),
            Socket::Datagrams(_) => {
                let (to, bytes) = socket::message(pieces)?;
                let len = ADDRESS_LEN + bytes.len();
                self.send(socket, bytes, to).map(|()| len)
            }
            Socket::Connecting(_) => Err(Errno::AGAIN),
            Socket::Listener(_) => Err(Errno::INVAL),
        }
    }

    fn connected(&mut self, number: usize) -> Result<()> {
        let Socket::Connecting(waiting) = self.get(number)? else { return Ok(()) };
        let streams = waiting.connected()?;
        if let Some(Socket::Connecting(waiting)) = self.open[number].take() {
            self.open[number] = Some(Socket::Stream(waiting.into_stream(streams)));
        }
        Ok(())
    }

    fn send(&mut self, number: usize, bytes: Vec<u8>, to: SocketAddr) -> Result<()> {
        if !self.askers.contains(&(number, to)) {
            self.check(to)?;
        }
        if to == NAME_SERVER {
            self.ask(number, &bytes);
            return Ok(());
        }
        match self.get(number)? {
            Socket::Datagrams(datagrams) => datagrams.write(bytes, to),
            _ => Err(Errno::INVAL),
        }
    }

    /// A message to the name server that is none.
    fn ask(&mut self, socket: usize, message: &[u8]) {
        self.lookups.retain(Option::is_some);
        if self.lookups.len() >= MAX_LOOKUPS {
            return;
        }
        match lookup::ask(&self.network, message, socket) {
            Asked::Lookup(lookup) => self.lookups.push(Some(lookup)),
            Asked::Answer(answer) => self.answer(socket, answer),
            Asked::Nothing => {}
        }
    }

    fn answer(&mut self, socket: usize, message: Vec<u8>) {
        if let Ok(Socket::Datagrams(datagrams)) = self.get(socket) {
            datagrams.push(message, NAME_SERVER);
            self.ready.push(socket);
        }
    }

    pub(crate) fn accept(&mut self, listener: usize) -> Result<usize> {
        let Socket::Listener(listener) = self.get(listener)? else { return Err(Errno::INVAL) };
        let stream = listener.accept()?;
        self.add(Socket::Stream(stream))
    }

    /// Ends the sent stream, or the connection: WASI has no reset.
    pub(crate) fn shutdown(&mut self, socket: usize, how: u32) -> Result<()> {
        match (self.get(socket)?, how) {
            (Socket::Stream(stream), SHUT_WRITE | SHUT_BOTH) => stream.shutdown(),
            (_, SHUT_BOTH) => Ok(()),
            _ => Err(Errno::INVAL),
        }
    }

    /// What is published belongs to the run and stays.
    pub(crate) fn close(&mut self, socket: usize) -> Result<()> {
        self.get(socket)?;
        if socket < self.uplink.published.len() {
            return Ok(());
        }
        if let Some(Socket::Stream(mut stream)) = self.open[socket].take()
            && !stream.leave()
        {
            self.leaving.retain(Option::is_some);
            self.leaving.push(Some(stream));
        }
        for lookup in &mut self.lookups {
            lookup.take_if(|lookup| lookup.socket == socket);
        }
        self.ready.retain(|ready| *ready != socket);
        Ok(())
    }

    /// What is to be waited for.
    pub(crate) fn watched(&self) -> impl Iterator<Item = (Watched, &Pollable)> {
        let open =
            self.open.iter().enumerate().filter_map(|(n, socket)| Some((n, socket.as_ref()?)));
        let open = open.flat_map(|(number, socket)| {
            let (input, output) = match socket {
                Socket::Connecting(waiting) | Socket::Listener(waiting) => (&waiting.watch, None),
                Socket::Stream(stream) => (&stream.input, Some(&stream.output)),
                Socket::Datagrams(datagrams) => (&datagrams.input, Some(&datagrams.output)),
            };
            let input = input.wanted().map(|pollable| (Watched::Input(number), pollable));
            let output = output.and_then(|output| output.wanted());
            [input, output.map(|pollable| (Watched::Output(number), pollable))]
        });
        let leaving = self.leaving.iter().enumerate().map(|(number, stream)| {
            let pollable = stream.as_ref()?.output.wanted()?;
            Some((Watched::Leaving(number), pollable))
        });
        let lookups =
            self.lookups.iter().enumerate().map(|(number, lookup)| {
                Some((Watched::Lookup(number), lookup.as_ref()?.pollable()))
            });
        open.chain(leaving).chain(lookups).flatten()
    }

    /// What was waited for has happened.
    pub(crate) fn note(&mut self, what: Watched) {
        match what {
            Watched::Input(number) | Watched::Output(number) => self.note_socket(number, what),
            Watched::Leaving(number) => {
                let stream = &mut self.leaving[number];
                stream.take_if(Stream::leave);
            }
            Watched::Lookup(number) => {
                let lookup = self.lookups[number].as_mut();
                let Some((socket, answer)) =
                    lookup.and_then(|lookup| Some((lookup.socket, lookup.answer()?)))
                else {
                    return;
                };
                self.lookups[number] = None;
                self.answer(socket, answer);
            }
        }
    }

    fn note_socket(&mut self, number: usize, what: Watched) {
        let Ok(socket) = self.get(number) else { return };
        let (input, output) = match socket {
            Socket::Connecting(waiting) | Socket::Listener(waiting) => (&mut waiting.watch, None),
            Socket::Stream(stream) => (&mut stream.input, Some(&mut stream.output)),
            Socket::Datagrams(datagrams) => (&mut datagrams.input, Some(&mut datagrams.output)),
        };
        match (what, output) {
            (Watched::Output(_), Some(output)) => output.disarm(),
            _ => input.disarm(),
        }
        self.ready.push(number);
    }

    /// Waits until the host has sent all that it took, for a while: peers that do not read must not
    /// hold up the end for ever.
    pub(crate) fn drain(&mut self) {
        let deadline = subscribe_duration(LINGER_NS);
        for number in 0..self.open.len() {
            if let Some(Socket::Stream(stream)) = self.open[number].take() {
                self.leaving.push(Some(stream));
            }
        }
        self.leaving.iter_mut().for_each(|stream| drop(stream.take_if(Stream::leave)));
        while !deadline.ready() && self.leaving.iter().any(Option::is_some) {
            let leaving = self.leaving.iter().flatten();
            let mut pollables: Vec<_> = leaving.filter_map(|one| one.output.wanted()).collect();
            pollables.push(&deadline);
            poll(&pollables);
            self.leaving.iter_mut().for_each(|stream| drop(stream.take_if(Stream::leave)));
        }
    }

    /// Whether the list of what is ready has an entry.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Looks without waiting, unless too much time went into it: a machine that is at work looks at
    /// all sockets again and again, and learns of them at the latest when it waits.
    fn look(&mut self) {
        let began = now();
        if began >= self.next_look {
            self.look_at_all();
            let ended = now();
            self.next_look = ended + (ended - began) * WORK_PER_LOOK;
        }
    }

    fn look_at_all(&mut self) {
        let (watched, mut pollables): (Vec<_>, Vec<_>) = self.watched().unzip();
        if watched.is_empty() {
            return;
        }
        pollables.push(&self.always);
        let happened = poll(&pollables).into_iter();
        let happened: Vec<_> =
            happened.filter_map(|number| watched.get(number as usize).copied()).collect();
        for what in happened {
            self.note(what);
        }
    }

    /// The numbers of sockets that are ready, in so many bytes.
    pub(crate) fn list_ready(&mut self, room: usize) -> Vec<u8> {
        if !self.has_ready() {
            self.look();
        }
        let most = self.ready.len().min(room / size_of::<u32>());
        let ready = self.ready.drain(..most);
        ready.flat_map(|socket| Descriptor::Socket(socket).number().to_le_bytes()).collect()
    }
}
