//! The guest's frames taken apart, and frames for the guest put together.
//!
//! TCP is left to the stack; everything else is simple enough to answer by hand. Frames of the
//! guest are hostile: what is not exactly one of the shapes below is nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lithify_control::PLAN;
use lithify_machine::devices::virtio::{MAC as GUEST_MAC, MAX_FRAME_LEN};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Icmpv6DstUnreachable, Icmpv6Packet, Icmpv6Repr,
    IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpPacket, UdpPacket,
};

pub(crate) const ETHERNET_HEADER_LEN: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];

const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;
const UDP_HEADER_LEN: usize = 8;
const HOP_LIMIT: u8 = 64;

/// Hardware address of the gateway, locally administered.
pub(crate) const GATEWAY_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

/// Most of an offending packet that an error quotes: its header and the ports, as RFC 792 asks.
const QUOTE_LEN: usize = 8;

/// The two ends of a conversation as the guest sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ends {
    pub(crate) guest: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// A frame of the guest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// It asks who has an IPv4 address.
    WhoHas(Ipv4Addr),
    /// It asks who has an IPv6 address, and where to answer.
    Solicit {
        target: Ipv6Addr,
        from: Ipv6Addr,
    },
    Tcp {
        ends: Ends,
        /// It asks for a connection.
        opens: bool,
        packet: &'a [u8],
    },
    Udp {
        ends: Ends,
        payload: &'a [u8],
        packet: &'a [u8],
    },
    /// An ICMP echo request.
    Echo {
        to: IpAddr,
        packet: &'a [u8],
    },
}

impl<'a> Packet<'a> {
    /// What a frame is, if it is anything.
    pub(crate) fn parse(frame: &'a [u8]) -> Option<Self> {
        let (header, payload) = frame.split_at_checked(ETHERNET_HEADER_LEN)?;
        match [header[12], header[13]] {
            ETHERTYPE_ARP => arp(payload),
            ETHERTYPE_IPV4 => ipv4(payload),
            ETHERTYPE_IPV6 => ipv6(payload),
            _ => None,
        }
    }
}

/// RFC 826, requests only.
fn arp(packet: &[u8]) -> Option<Packet<'_>> {
    const REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
    let target: [u8; 4] = packet.get(24..28)?.try_into().ok()?;
    packet.starts_with(&REQUEST).then(|| Packet::WhoHas(target.into()))
}

/// Only the guest's own address may speak, and fragments do not occur on a link that takes the
/// largest packet.
fn ipv4(bytes: &[u8]) -> Option<Packet<'_>> {
    let packet = Ipv4Packet::new_checked(bytes).ok()?;
    let whole = !packet.more_frags() && packet.frag_offset() == 0;
    if packet.version() != 4 || packet.src_addr() != PLAN.guest_v4 || !whole {
        return None;
    }
    let bytes = &bytes[..usize::from(packet.total_len())];
    let payload = bytes.get(usize::from(packet.header_len())..)?;
    let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
    match packet.next_header() {
        IpProtocol::Icmp => {
            let icmp = Icmpv4Packet::new_checked(payload).ok()?;
            (u8::from(icmp.msg_type()) == 8).then_some(Packet::Echo { to, packet: bytes })
        }
        protocol => transport(protocol, from, to, payload, bytes),
    }
}

fn ipv6(bytes: &[u8]) -> Option<Packet<'_>> {
    let packet = Ipv6Packet::new_checked(bytes).ok()?;
    if packet.version() != 6 {
        return None;
    }
    let bytes = &bytes[..packet.total_len()];
    let payload = bytes.get(IPV6_HEADER_LEN..)?;
    if packet.next_header() == IpProtocol::Icmpv6 && payload.first() == Some(&NEIGHBOR_SOLICIT) {
        let target: [u8; 16] = payload.get(8..24)?.try_into().ok()?;
        return Some(Packet::Solicit { target: target.into(), from: packet.src_addr() });
    }
    if packet.src_addr() != PLAN.guest_v6 {
        return None;
    }
    let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
    match packet.next_header() {
        IpProtocol::Icmpv6 => {
            let icmp = Icmpv6Packet::new_checked(payload).ok()?;
            (u8::from(icmp.msg_type()) == 128).then_some(Packet::Echo { to, packet: bytes })
        }
        protocol => transport(protocol, from, to, payload, bytes),
    }
}

fn transport<'a>(
    protocol: IpProtocol,
    from: IpAddr,
    to: IpAddr,
    payload: &'a [u8],
    packet: &'a [u8],
) -> Option<Packet<'a>> {
    let ends = |guest, remote| Ends {
        guest: SocketAddr::new(from, guest),
        remote: SocketAddr::new(to, remote),
    };
    match protocol {
        IpProtocol::Tcp => {
            let tcp = TcpPacket::new_checked(payload).ok()?;
            let opens = tcp.syn() && !tcp.ack() && !tcp.rst();
            Some(Packet::Tcp { ends: ends(tcp.src_port(), tcp.dst_port()), opens, packet })
        }
        IpProtocol::Udp => {
            let udp = UdpPacket::new_checked(payload).ok()?;
            let data = payload.get(UDP_HEADER_LEN..usize::from(udp.len()))?;
            let ends = ends(udp.src_port(), udp.dst_port());
            Some(Packet::Udp { ends, payload: data, packet })
        }
        _ => None,
    }
}

/// Writes the Ethernet header before the IP packet in `frame`.
pub(crate) fn address(frame: &mut [u8]) {
    let is_ipv4 = frame[ETHERNET_HEADER_LEN] >> 4 == 4;
    ethernet(frame, if is_ipv4 { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 });
}

fn ethernet(frame: &mut [u8], ethertype: [u8; 2]) {
    frame[..6].copy_from_slice(&GUEST_MAC);
    frame[6..12].copy_from_slice(&GATEWAY_MAC);
    frame[12..14].copy_from_slice(&ethertype);
}

/// Writes the answer to [`Packet::WhoHas`]; returns the frame's length.
pub(crate) fn write_arp_reply(frame: &mut [u8], ip: Ipv4Addr) -> usize {
    const REPLY: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 2];
    ethernet(frame, ETHERTYPE_ARP);
    let packet = &mut frame[ETHERNET_HEADER_LEN..][..28];
    packet[..8].copy_from_slice(&REPLY);
    packet[8..14].copy_from_slice(&GATEWAY_MAC);
    packet[14..18].copy_from_slice(&ip.octets());
    packet[18..24].copy_from_slice(&GUEST_MAC);
    packet[24..28].copy_from_slice(&PLAN.guest_v4.octets());
    ETHERNET_HEADER_LEN + 28
}

const NEIGHBOR_SOLICIT: u8 = 135;
const NEIGHBOR_ADVERT: u8 = 136;

/// Writes the answer to [`Packet::Solicit`] (RFC 4861, section 4.4); returns the frame's length.
pub(crate) fn write_neighbor_advert(frame: &mut [u8], ip: Ipv6Addr, to: Ipv6Addr) -> usize {
    const ROUTER_SOLICITED_OVERRIDE: u8 = 0xe0;
    const TARGET_LINK_LAYER_ADDRESS: [u8; 2] = [2, 1];
    const LEN: usize = 32;
    let payload = ipv6_header(frame, ip, to, IpProtocol::Icmpv6, LEN);
    payload[..LEN].fill(0);
    payload[0] = NEIGHBOR_ADVERT;
    payload[4] = ROUTER_SOLICITED_OVERRIDE;
    payload[8..24].copy_from_slice(&ip.octets());
    payload[24..26].copy_from_slice(&TARGET_LINK_LAYER_ADDRESS);
    payload[26..32].copy_from_slice(&GATEWAY_MAC);
    Icmpv6Packet::new_unchecked(&mut payload[..LEN]).fill_checksum(&ip, &to);
    // Neighbours answer only what no router forwarded.
    frame[ETHERNET_HEADER_LEN + 7] = 255;
    ETHERNET_HEADER_LEN + IPV6_HEADER_LEN + LEN
}

/// Writes IPv6 and Ethernet headers; returns what follows them.
fn ipv6_header(
    frame: &mut [u8],
    from: Ipv6Addr,
    to: Ipv6Addr,
    next_header: IpProtocol,
    payload_len: usize,
) -> &mut [u8] {
    let repr =
        Ipv6Repr { src_addr: from, dst_addr: to, next_header, payload_len, hop_limit: HOP_LIMIT };
    repr.emit(&mut Ipv6Packet::new_unchecked(&mut frame[ETHERNET_HEADER_LEN..]));
    address(frame);
    &mut frame[ETHERNET_HEADER_LEN + IPV6_HEADER_LEN..]
}

/// Writes IPv4 and Ethernet headers; returns what follows them.
fn ipv4_header(
    frame: &mut [u8],
    from: Ipv4Addr,
    to: Ipv4Addr,
    next_header: IpProtocol,
    payload_len: usize,
) -> &mut [u8] {
    let repr =
        Ipv4Repr { src_addr: from, dst_addr: to, next_header, payload_len, hop_limit: HOP_LIMIT };
    let mut packet = Ipv4Packet::new_unchecked(&mut frame[ETHERNET_HEADER_LEN..]);
    repr.emit(&mut packet, &ChecksumCapabilities::default());
    address(frame);
    &mut frame[ETHERNET_HEADER_LEN + IPV4_HEADER_LEN..]
}

/// Where the payload of a datagram goes in a frame for the guest.
pub(crate) fn datagram_room(frame: &mut [u8], guest: IpAddr) -> &mut [u8] {
    let header = match guest {
        IpAddr::V4(_) => IPV4_HEADER_LEN,
        IpAddr::V6(_) => IPV6_HEADER_LEN,
    };
    &mut frame[ETHERNET_HEADER_LEN + header + UDP_HEADER_LEN..MAX_FRAME_LEN]
}

/// Writes the headers before a payload of `len` bytes that is in its [room](datagram_room);
/// returns the frame's length, nothing if the ends are of two families.
pub(crate) fn write_datagram_headers(frame: &mut [u8], ends: Ends, len: usize) -> Option<usize> {
    let total = UDP_HEADER_LEN + len;
    let (udp, header) = match (ends.remote.ip(), ends.guest.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            (ipv4_header(frame, from, to, IpProtocol::Udp, total), IPV4_HEADER_LEN)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            (ipv6_header(frame, from, to, IpProtocol::Udp, total), IPV6_HEADER_LEN)
        }
        _ => return None,
    };
    let mut udp = UdpPacket::new_unchecked(&mut udp[..total]);
    udp.set_src_port(ends.remote.port());
    udp.set_dst_port(ends.guest.port());
    udp.set_len(total as u16);
    // Nobody looks whether it is right, but zero would be forbidden over IPv6 (RFC 8200).
    udp.set_checksum(0xffff);
    Some(ETHERNET_HEADER_LEN + header + total)
}

/// Why a packet of the guest goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreachable {
    Network,
    Host,
    Port,
    /// The policy forbids it.
    Prohibited,
}

impl Unreachable {
    /// What an error of the host's socket is in ICMP, if anything.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
                Some(Self::Network)
            }
            io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut => Some(Self::Host),
            io::ErrorKind::ConnectionRefused => Some(Self::Port),
            io::ErrorKind::PermissionDenied => Some(Self::Prohibited),
            _ => None,
        }
    }

    fn v4(self) -> Icmpv4DstUnreachable {
        match self {
            Self::Network => Icmpv4DstUnreachable::NetUnreachable,
            Self::Host => Icmpv4DstUnreachable::HostUnreachable,
            Self::Port => Icmpv4DstUnreachable::PortUnreachable,
            Self::Prohibited => Icmpv4DstUnreachable::CommProhibited,
        }
    }

    fn v6(self) -> Icmpv6DstUnreachable {
        match self {
            Self::Network => Icmpv6DstUnreachable::NoRoute,
            Self::Host => Icmpv6DstUnreachable::AddrUnreachable,
            Self::Port => Icmpv6DstUnreachable::PortUnreachable,
            Self::Prohibited => Icmpv6DstUnreachable::AdminProhibit,
        }
    }
}

/// Writes the ICMP error that answers the guest's `packet`; returns the frame's length.
pub(crate) fn write_unreachable(
    frame: &mut [u8],
    packet: &[u8],
    reason: Unreachable,
) -> Option<usize> {
    match packet.first()? >> 4 {
        4 => unreachable_v4(frame, packet, reason),
        6 => unreachable_v6(frame, packet, reason),
        _ => None,
    }
}

fn unreachable_v4(frame: &mut [u8], packet: &[u8], reason: Unreachable) -> Option<usize> {
    let packet = Ipv4Packet::new_checked(packet).ok()?;
    let header = Ipv4Repr::parse(&packet, &ChecksumCapabilities::ignored()).ok()?;
    let data = &packet.payload()[..packet.payload().len().min(QUOTE_LEN)];
    let repr = Icmpv4Repr::DstUnreachable { reason: reason.v4(), header, data };
    let len = repr.buffer_len();
    let to = packet.src_addr();
    let payload = ipv4_header(frame, PLAN.gateway_v4, to, IpProtocol::Icmp, len);
    let mut icmp = Icmpv4Packet::new_unchecked(&mut payload[..len]);
    repr.emit(&mut icmp, &ChecksumCapabilities::default());
    Some(ETHERNET_HEADER_LEN + IPV4_HEADER_LEN + len)
}

fn unreachable_v6(frame: &mut [u8], packet: &[u8], reason: Unreachable) -> Option<usize> {
    let packet = Ipv6Packet::new_checked(packet).ok()?;
    let header = Ipv6Repr::parse(&packet).ok()?;
    let data = &packet.payload()[..packet.payload().len().min(QUOTE_LEN)];
    let repr = Icmpv6Repr::DstUnreachable { reason: reason.v6(), header, data };
    let len = repr.buffer_len();
    let (from, to) = (PLAN.gateway_v6, packet.src_addr());
    let payload = ipv6_header(frame, from, to, IpProtocol::Icmpv6, len);
    let mut icmp = Icmpv6Packet::new_unchecked(&mut payload[..len]);
    repr.emit(&from, &to, &mut icmp, &ChecksumCapabilities::default());
    Some(ETHERNET_HEADER_LEN + IPV6_HEADER_LEN + len)
}
