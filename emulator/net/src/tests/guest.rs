//! A guest: a stack of its own at the other end of the cable, stepped in turn with the gateway.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use lithify_control::PLAN;
use lithify_hostnet::{Access, Sockets};
use lithify_machine::devices::virtio::MAC;
use lithify_machine::host::Link;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr, IpEndpoint};

use crate::gateway::{Gateway, Settings};
use crate::packet::ETHERNET_HEADER_LEN;
use crate::packet::GATEWAY_MAC;

const BUFFER_LEN: usize = 256 << 10;

/// The guest's network card: IP packets inside, frames outside.
#[derive(Default)]
struct Card {
    outgoing: VecDeque<Vec<u8>>,
    incoming: VecDeque<Vec<u8>>,
}

struct Packet(Vec<u8>);
struct Room<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::RxToken for Packet {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push_back(frame(&packet));
        result
    }
}

impl phy::Device for Card {
    type RxToken<'a> = Packet;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Packet, Room<'_>)> {
        self.incoming.pop_front().map(|packet| (Packet(packet), Room(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        Some(Room(&mut self.outgoing))
    }

    /// What the gateway writes into IP headers and ICMP is checked, as the guest's kernel does.
    fn capabilities(&self) -> DeviceCapabilities {
        let mut checksum = ChecksumCapabilities::ignored();
        checksum.ipv4 = Checksum::Both;
        checksum.icmpv4 = Checksum::Both;
        checksum.icmpv6 = Checksum::Both;
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = usize::from(PLAN.mtu);
        capabilities.checksum = checksum;
        capabilities
    }
}

/// A packet in a frame from the guest.
pub(super) fn frame(packet: &[u8]) -> Vec<u8> {
    let ethertype = if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
    [&GATEWAY_MAC[..], &MAC, &ethertype, packet].concat()
}

/// The guest and the gateway.
pub(super) struct Pair<S> {
    pub(super) gateway: Gateway<S>,
    interface: Interface,
    pub(super) stack: SocketSet<'static>,
    card: Card,
    /// Frames that are not for the guest's stack.
    pub(super) other: Vec<Vec<u8>>,
    /// Most frames that the guest takes in a step.
    pub(super) patience: usize,
    now: Instant,
    next_port: u16,
}

impl<S: Sockets> Pair<S> {
    pub(super) fn new(sockets: S, access: Access, resolvers: &[SocketAddr]) -> Self {
        let resolvers = resolvers.to_vec();
        Self::with(sockets, Settings { access, resolvers, seed: 7, ..Settings::default() })
    }

    pub(super) fn with(sockets: S, settings: Settings) -> Self {
        let gateway = Gateway::new(sockets, settings);
        let mut card = Card::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = 5;
        let mut interface = Interface::new(config, &mut card, Instant::ZERO);
        interface.update_ip_addrs(|addrs| {
            addrs.push(IpCidr::new(IpAddr::from(PLAN.guest_v4).into(), 24)).unwrap();
            addrs.push(IpCidr::new(IpAddr::from(PLAN.guest_v6).into(), 64)).unwrap();
        });
        interface.routes_mut().add_default_ipv4_route(PLAN.gateway_v4).unwrap();
        interface.routes_mut().add_default_ipv6_route(PLAN.gateway_v6).unwrap();
        Self {
            gateway,
            interface,
            stack: SocketSet::new(Vec::new()),
            card,
            other: Vec::new(),
            patience: usize::MAX,
            now: Instant::ZERO,
            next_port: 1024,
        }
    }

    /// One turn of each; returns whether a frame moved.
    pub(super) fn step(&mut self) -> bool {
        self.now = Instant::from_micros(self.gateway.sockets_mut().now().as_micros() as i64);
        self.interface.poll(self.now, &mut self.card, &mut self.stack);
        let mut moved = false;
        while let Some(frame) = self.card.outgoing.front() {
            if !self.gateway.send(frame) {
                break;
            }
            moved = true;
            self.card.outgoing.pop_front();
        }
        self.gateway.poll();
        let (card, other, mut patience) = (&mut self.card, &mut self.other, self.patience);
        self.gateway.receive(&mut |frame| {
            if patience == 0 {
                return false;
            }
            patience -= 1;
            moved = true;
            let is_tcp = match frame[12..14] {
                [8, 0] => frame[ETHERNET_HEADER_LEN + 9] == 6,
                _ => frame[ETHERNET_HEADER_LEN + 6] == 6,
            };
            assert_eq!(frame[..6], MAC);
            assert_eq!(frame[6..12], GATEWAY_MAC);
            if is_tcp {
                card.incoming.push_back(frame[ETHERNET_HEADER_LEN..].to_vec());
            } else {
                other.push(frame.to_vec());
            }
            true
        });
        moved
    }

    /// Turns until nothing moves any more.
    pub(super) fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 2 {
            quiet = if self.step() { 0 } else { quiet + 1 };
        }
    }

    /// Sends a frame that the guest's stack knows nothing of.
    pub(super) fn raw(&mut self, frame: Vec<u8>) {
        self.card.outgoing.push_back(frame);
    }

    pub(super) fn socket() -> tcp::Socket<'static> {
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER_LEN]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        // Time stands still in most tests.
        socket.set_ack_delay(None);
        socket
    }

    /// Begins a connection to `to`.
    pub(super) fn connect(&mut self, to: SocketAddr) -> SocketHandle {
        self.next_port = if self.next_port == u16::MAX { 1024 } else { self.next_port + 1 };
        self.connect_from(self.next_port, to)
    }

    pub(super) fn connect_from(&mut self, port: u16, to: SocketAddr) -> SocketHandle {
        let mut socket = Self::socket();
        let to = IpEndpoint { addr: to.ip().into(), port: to.port() };
        socket.connect(self.interface.context(), to, port).unwrap();
        self.stack.add(socket)
    }

    pub(super) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.stack.get_mut(handle)
    }

    pub(super) fn state(&mut self, handle: SocketHandle) -> State {
        self.tcp(handle).state()
    }

    /// Everything that has arrived.
    pub(super) fn read(&mut self, handle: SocketHandle) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tcp(handle).can_recv() {
            self.tcp(handle)
                .recv(|part| {
                    bytes.extend_from_slice(part);
                    (part.len(), ())
                })
                .unwrap();
        }
        bytes
    }
}
