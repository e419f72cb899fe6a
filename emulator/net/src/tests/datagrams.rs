//! UDP, names, pings and neighbours.

use std::net::SocketAddr;
use std::time::Duration;

use lithify_control::PLAN;
use lithify_hostnet::{Access, Sockets};

use super::guest::{Pair, frame};
use super::memory::MemorySockets;
use crate::packet::{self, Ends, Packet};
use crate::udp::{MAPPING_IDLE, MAX_MAPPINGS};

const RESOLVERS: [&str; 2] = ["127.0.0.53:53", "[::1]:53"];

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn pair(access: Access) -> (Pair<MemorySockets>, MemorySockets) {
    let sockets = MemorySockets::default();
    (Pair::new(sockets.clone(), access, &RESOLVERS.map(addr)), sockets)
}

/// A frame with a datagram of the guest.
pub(super) fn datagram(guest_port: u16, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let guest =
        if to.is_ipv4() { PLAN.guest_v4.into() } else { std::net::IpAddr::from(PLAN.guest_v6) };
    let mut bytes = vec![0; lithify_machine::devices::virtio::MAX_FRAME_LEN];
    packet::datagram_room(&mut bytes, guest)[..payload.len()].copy_from_slice(payload);
    // Written from the remote's end, as the guest does.
    let ends = Ends { guest: to, remote: SocketAddr::new(guest, guest_port) };
    let len = packet::write_datagram_headers(&mut bytes, ends, payload.len()).unwrap();
    bytes.truncate(len);
    bytes
}

/// The datagrams that arrived in the guest: sender, port, payload.
pub(super) fn arrived<S: Sockets>(pair: &mut Pair<S>) -> Vec<(SocketAddr, u16, Vec<u8>)> {
    let swap = |frame: &Vec<u8>| {
        // Parsed as the guest's own by giving it the guest's address as source.
        let v4 = frame[12..14] == [8, 0];
        let ip = &frame[14..];
        let (header, from): (usize, std::net::IpAddr) = if v4 {
            (20, <[u8; 4]>::try_from(&ip[12..16]).unwrap().into())
        } else {
            (40, <[u8; 16]>::try_from(&ip[8..24]).unwrap().into())
        };
        let port = |at: usize| u16::from_be_bytes([ip[header + at], ip[header + at + 1]]);
        (SocketAddr::new(from, port(0)), port(2), ip[header + 8..].to_vec())
    };
    std::mem::take(&mut pair.other).iter().map(swap).collect()
}

#[test]
fn answers_come_back_from_where_the_guest_asked() {
    for (to, bound) in [("1.2.3.4:99", "0.0.0.0:0"), ("[2001:db8::1]:99", "[::]:0")] {
        let (mut pair, sockets) = pair(Access::Outside);
        let (to, bound) = (addr(to), addr(bound));
        pair.raw(datagram(4000, to, b"ping"));
        pair.settle();
        let sent = sockets.0.borrow_mut().far(bound).sent.pop_front();
        assert_eq!(sent, Some((b"ping".to_vec(), to)));
        sockets.0.borrow_mut().far(bound).arriving.push_back((b"pong".to_vec(), to));
        pair.settle();
        assert_eq!(arrived(&mut pair), [(to, 4000, b"pong".to_vec())]);
    }
}

#[test]
fn strangers_are_not_let_in() {
    let (mut pair, sockets) = pair(Access::Outside);
    pair.raw(datagram(4000, addr("1.2.3.4:99"), b"ping"));
    pair.settle();
    for from in ["1.2.3.4:98", "6.6.6.6:99", "127.0.0.1:99"].map(addr) {
        let arriving = (b"surprise".to_vec(), from);
        sockets.0.borrow_mut().far(addr("0.0.0.0:0")).arriving.push_back(arriving);
    }
    pair.settle();
    assert_eq!(arrived(&mut pair), []);
}

#[test]
fn the_host_s_loopback_answers_as_the_gateway() {
    let (mut pair, sockets) = pair(Access::Host);
    pair.raw(datagram(4000, addr("10.0.2.2:99"), b"ping"));
    pair.settle();
    let loopback = addr("127.0.0.1:99");
    let mut world = sockets.0.borrow_mut();
    let far = world.far(addr("0.0.0.0:0"));
    assert_eq!(far.sent.pop_front(), Some((b"ping".to_vec(), loopback)));
    far.arriving.push_back((b"pong".to_vec(), loopback));
    drop(world);
    pair.settle();
    assert_eq!(arrived(&mut pair), [(addr("10.0.2.2:99"), 4000, b"pong".to_vec())]);
}

#[test]
fn repeated_requests_for_names_go_to_the_next_server() {
    let (mut pair, sockets) = pair(Access::Outside);
    let dns = addr("10.0.2.3:53");
    for id in [b"\x01\x01first", b"\x01\x02other", b"\x01\x01first", b"\x01\x01first"] {
        pair.raw(datagram(4000, dns, id));
        pair.settle();
    }
    let asked = |bound: &str| -> Vec<(Vec<u8>, SocketAddr)> {
        sockets.0.borrow_mut().far(addr(bound)).sent.drain(..).collect()
    };
    let [v4, v6] = RESOLVERS.map(addr);
    let first = b"\x01\x01first".to_vec();
    let other = b"\x01\x02other".to_vec();
    assert_eq!(asked("0.0.0.0:0"), [(first.clone(), v4), (other, v4), (first.clone(), v4)]);
    assert_eq!(asked("[::]:0"), [(first.clone(), v6)]);
    sockets.0.borrow_mut().far(addr("[::]:0")).arriving.push_back((first.clone(), v6));
    pair.settle();
    assert_eq!(arrived(&mut pair), [(dns, 4000, first)]);
}

#[test]
fn forbidden_destinations_are_answered_with_an_error() {
    let (mut pair, sockets) = pair(Access::Outside);
    pair.raw(datagram(4000, addr("127.0.0.1:53"), b"ping"));
    pair.raw(datagram(4000, addr("[::1]:53"), b"ping"));
    pair.raw(datagram(4000, addr("224.0.0.251:5353"), b"about multicast there is none"));
    pair.settle();
    let codes: Vec<(u8, u8)> = pair
        .other
        .iter()
        .map(|frame| if frame[12] == 8 { (frame[34], frame[35]) } else { (frame[54], frame[55]) })
        .collect();
    assert_eq!(codes, [(3, 13), (1, 1)]);
    assert!(sockets.0.borrow().open.is_empty());
}

#[test]
fn idle_mappings_end_and_the_oldest_makes_place() {
    let (mut pair, sockets) = pair(Access::Outside);
    for port in 0..MAX_MAPPINGS as u16 + 3 {
        sockets.0.borrow_mut().now += Duration::from_millis(1);
        pair.raw(datagram(4000 + port, addr("1.2.3.4:99"), b"ping"));
        pair.settle();
    }
    assert_eq!(pair.gateway.mappings(), MAX_MAPPINGS);
    assert_eq!(sockets.0.borrow().closed.len(), 3);
    assert!(pair.gateway.rest().is_some_and(|rest| rest < MAPPING_IDLE));
    sockets.0.borrow_mut().now += MAPPING_IDLE;
    pair.settle();
    assert_eq!((pair.gateway.mappings(), pair.gateway.rest()), (0, None));
    assert!(sockets.0.borrow().open.is_empty());
}

#[test]
fn published_ports_take_datagrams_and_answer_each_sender() {
    let (mut pair, sockets) = pair(Access::Outside);
    let at = pair.gateway.publish(&"127.0.0.1:5353:53/udp".parse().unwrap()).unwrap();
    let clients = ["192.168.7.7:5555", "192.168.7.8:5555"].map(addr);
    for client in clients {
        let text = client.to_string().into_bytes();
        sockets.0.borrow_mut().far(at).arriving.push_back((text, client));
    }
    pair.settle();
    let requests = arrived(&mut pair);
    assert_eq!(requests.len(), 2);
    assert_ne!(requests[0].0, requests[1].0);
    for (from, port, text) in requests {
        assert_eq!((from.ip(), port), (PLAN.gateway_v4.into(), 53));
        pair.raw(datagram(53, from, &text));
    }
    pair.settle();
    let answers: Vec<(Vec<u8>, SocketAddr)> =
        sockets.0.borrow_mut().far(at).sent.drain(..).collect();
    assert_eq!(answers, clients.map(|client| (client.to_string().into_bytes(), client)));
}

#[test]
fn the_gateway_answers_for_its_addresses_only() {
    let (mut pair, _) = pair(Access::Outside);
    let arp = |target: [u8; 4]| {
        let request = [0, 1, 8, 0, 6, 4, 0, 1];
        let header = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 15], &[8, 6]].concat();
        [&header, &request[..], &[2, 0, 0, 0, 0, 15, 10, 0, 2, 15], &[0; 6], &target].concat()
    };
    for target in [[10, 0, 2, 2], [10, 0, 2, 3], [10, 0, 2, 15], [10, 0, 2, 4]] {
        pair.raw(arp(target));
    }
    pair.settle();
    let senders: Vec<&[u8]> = pair.other.iter().map(|frame| &frame[28..32]).collect();
    assert_eq!(senders, [[10, 0, 2, 2], [10, 0, 2, 3]]);
    assert_eq!(pair.other[0][20..22], [0, 2], "a reply");
    assert_eq!(pair.other[0][22..28], [2, 0, 0, 0, 0, 2]);
}

/// An ICMP echo request with a correct checksum.
fn echo(to: [u8; 4]) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 36, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 2, 15];
    ip.extend(to);
    ip.extend([8, 0, 0xf7, 0xfd, 0, 1, 0, 1]);
    ip.extend([0; 8]);
    frame(&ip)
}

#[test]
fn pings_are_answered_by_the_gateway_alone() {
    let (mut pair, _) = pair(Access::Outside);
    pair.raw(echo([10, 0, 2, 2]));
    pair.raw(echo([8, 8, 8, 8]));
    pair.settle();
    let codes: Vec<(u8, u8)> = pair.other.iter().map(|frame| (frame[34], frame[35])).collect();
    assert_eq!(codes, [(0, 0), (3, 13)]);
}

#[test]
fn neighbours_are_answered_for_the_gateway_s_addresses() {
    let (mut pair, _) = pair(Access::Outside);
    for (last, answered) in [(2_u8, true), (3, true), (0x15, false)] {
        let mut target = PLAN.gateway_v6.octets();
        target[15] = last;
        let mut packet = vec![0x60, 0, 0, 0, 0, 24, 58, 255];
        packet.extend(PLAN.guest_v6.octets());
        packet.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, last]);
        packet.extend([135, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend(target);
        pair.raw(frame(&packet));
        pair.settle();
        let Some(advert) = pair.other.pop() else {
            assert!(!answered);
            continue;
        };
        assert_eq!((advert[14 + 7], advert[14 + 40]), (255, 136));
        assert_eq!(advert[14 + 48..14 + 64], target);
        assert_eq!(advert[14 + 64..], [2, 1, 2, 0, 0, 0, 0, 2]);
    }
}

#[test]
fn frames_that_are_nothing_are_dropped() {
    let good = datagram(4000, addr("1.2.3.4:99"), b"ping");
    assert!(Packet::parse(&good).is_some());
    for len in 0..good.len() {
        assert_eq!(Packet::parse(&good[..len]), None, "cut at {len}");
    }
    for (at, byte, what) in [
        (12, 9, "another ethertype"),
        (14, 0x65, "another IP version"),
        (14, 0x44, "a header too short"),
        (14, 0x4f, "a header longer than the packet"),
        (20, 0x20, "a fragment"),
        (21, 1, "a later fragment"),
        (29, 16, "another source"),
        (23, 132, "another protocol"),
        (38, 0xff, "a datagram longer than the packet"),
        (39, 7, "a datagram shorter than its header"),
    ] {
        let mut frame = good.clone();
        frame[at] = byte;
        assert_eq!(Packet::parse(&frame), None, "{what}");
    }
}

/// A TCP segment with these flags, a window and ten bytes.
fn segment(flags: u8) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 50, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 2, 15, 1, 2, 3, 4];
    ip.extend([4, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0]);
    ip.extend([7; 10]);
    frame(&ip)
}

#[test]
fn random_frames_do_no_harm() {
    let (mut pair, _) = pair(Access::Host);
    let mut state = 1_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let seeds = [
        datagram(4000, addr("1.2.3.4:99"), &[7; 40]),
        datagram(4000, addr("[2001:db8::1]:99"), &[7; 40]),
        echo([10, 0, 2, 2]),
        segment(0x02),
        segment(0x10),
        segment(0x11),
    ];
    for round in 0..20_000 {
        let mut frame = seeds[round % seeds.len()].clone();
        for _ in 0..random() % 4 {
            let at = random() as usize % frame.len();
            frame[at] = random() as u8;
        }
        frame.truncate(frame.len() - random() as usize % 8);
        pair.raw(frame);
        pair.step();
        pair.other.clear();
    }
}
