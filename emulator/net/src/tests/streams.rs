//! TCP over sockets in memory.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use lithify_hostnet::{Access, Published};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

use super::guest::Pair;
use super::memory::{MemorySockets, Verdict};
use crate::tcp::MAX_CONNECTIONS;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn pair() -> (Pair<MemorySockets>, MemorySockets) {
    let sockets = MemorySockets::default();
    (Pair::new(sockets.clone(), Access::Outside, &[addr("9.9.9.9:53")]), sockets)
}

/// A pair with a connection to `to`.
fn connected(to: SocketAddr) -> (Pair<MemorySockets>, MemorySockets, SocketHandle) {
    let (mut pair, sockets) = pair();
    let guest = pair.connect(to);
    pair.settle();
    assert_eq!(pair.state(guest), State::Established);
    (pair, sockets, guest)
}

#[test]
fn bytes_and_ends_of_streams_pass_in_both_directions() {
    for to in ["1.2.3.4:80", "[2001:db8::1]:80"].map(addr) {
        let (mut pair, sockets, guest) = connected(to);
        pair.tcp(guest).send_slice(b"request").unwrap();
        pair.settle();
        assert_eq!(sockets.0.borrow_mut().far(to).received, *b"request");
        sockets.0.borrow_mut().far(to).to_send.extend(b"answer");
        sockets.0.borrow_mut().far(to).finish = true;
        pair.settle();
        assert_eq!(pair.read(guest), b"answer");
        assert_eq!(pair.state(guest), State::CloseWait);
        pair.tcp(guest).close();
        pair.settle();
        assert_eq!(pair.state(guest), State::Closed);
        assert_eq!(pair.gateway.connections(), 0);
        assert_eq!(sockets.0.borrow().closed.len(), 1);
    }
}

#[test]
fn a_half_closed_connection_still_carries_answers() {
    let to = addr("1.2.3.4:80");
    let (mut pair, sockets, guest) = connected(to);
    pair.tcp(guest).send_slice(b"all I have to say").unwrap();
    pair.tcp(guest).close();
    pair.settle();
    assert!(sockets.0.borrow_mut().far(to).ended);
    assert_eq!(sockets.0.borrow_mut().far(to).received.len(), 17);
    for part in 0..3_u8 {
        sockets.0.borrow_mut().far(to).to_send.extend([part; 1000]);
        pair.settle();
        assert_eq!(pair.read(guest), [part; 1000]);
    }
    sockets.0.borrow_mut().far(to).finish = true;
    pair.settle();
    assert_eq!(pair.state(guest), State::TimeWait);
    assert_eq!((pair.gateway.connections(), sockets.0.borrow().closed.len()), (0, 1));
}

#[test]
fn the_guest_is_refused_by_whoever_refuses_the_host() {
    for (kind, reset, icmp) in [
        (ErrorKind::ConnectionRefused, true, None),
        (ErrorKind::HostUnreachable, false, Some(1)),
        (ErrorKind::TimedOut, false, Some(1)),
        (ErrorKind::NetworkUnreachable, false, Some(0)),
    ] {
        let to = addr("1.2.3.4:80");
        let (mut pair, sockets) = pair();
        sockets.0.borrow_mut().verdicts.insert(to, Verdict::Fail(kind));
        let guest = pair.connect(to);
        pair.settle();
        assert_eq!(pair.state(guest) == State::Closed, reset, "{kind}");
        let code = pair.other.first().map(|frame| (frame[14 + 20], frame[14 + 21]));
        assert_eq!(code, icmp.map(|code| (3, code)), "{kind}");
        assert_eq!(pair.gateway.connections(), 0);
    }
}

#[test]
fn the_guest_waits_until_the_host_is_connected() {
    let to = addr("1.2.3.4:80");
    let (mut pair, sockets) = pair();
    sockets.0.borrow_mut().verdicts.insert(to, Verdict::Silence);
    let guest = pair.connect(to);
    pair.settle();
    sockets.0.borrow_mut().now = Duration::from_secs(3);
    pair.settle();
    assert_eq!(pair.state(guest), State::SynSent, "and its repeated request changes nothing");
    assert_eq!(sockets.0.borrow().open.len(), 1);
    sockets.0.borrow_mut().answer(to, Verdict::Accept);
    pair.settle();
    assert_eq!(pair.state(guest), State::Established);
}

#[test]
fn what_the_policy_forbids_is_refused_at_once() {
    for to in ["127.0.0.1:80", "169.254.169.254:80", "10.0.2.2:80", "[::1]:80"].map(addr) {
        let (mut pair, sockets) = pair();
        let guest = pair.connect(to);
        pair.settle();
        assert_eq!(pair.state(guest), State::Closed, "{to}");
        assert!(sockets.0.borrow().open.is_empty());
    }
}

#[test]
fn the_gateway_is_the_host_s_loopback() {
    let sockets = MemorySockets::default();
    let mut pair = Pair::new(sockets.clone(), Access::Gateway, &[]);
    pair.connect(addr("10.0.2.2:8000"));
    pair.connect(addr("[fd00:6c69:7468::2]:8000"));
    pair.settle();
    sockets.0.borrow().find(addr("127.0.0.1:8000"));
    sockets.0.borrow().find(addr("[::1]:8000"));
}

#[test]
fn names_are_looked_up_over_tcp_too() {
    let (mut pair, sockets) = pair();
    pair.connect(addr("10.0.2.3:53"));
    pair.settle();
    sockets.0.borrow().find(addr("9.9.9.9:53"));
}

#[test]
fn a_reset_of_the_host_resets_the_guest() {
    let to = addr("1.2.3.4:80");
    let (mut pair, sockets, guest) = connected(to);
    sockets.0.borrow_mut().far(to).reset = true;
    pair.settle();
    assert_eq!(pair.state(guest), State::Closed);
    assert_eq!((pair.gateway.connections(), sockets.0.borrow().open.len()), (0, 0));
}

#[test]
fn a_reset_of_the_guest_resets_the_host() {
    let (mut pair, sockets, guest) = connected(addr("1.2.3.4:80"));
    pair.tcp(guest).abort();
    pair.settle();
    assert_eq!((pair.gateway.connections(), sockets.0.borrow().aborted.len()), (0, 1));
}

#[test]
fn a_guest_that_gave_up_does_not_leave_a_listener() {
    let to = addr("1.2.3.4:80");
    let (mut pair, sockets) = pair();
    sockets.0.borrow_mut().verdicts.insert(to, Verdict::Silence);
    let guest = pair.connect(to);
    pair.settle();
    pair.stack.remove(guest);
    sockets.0.borrow_mut().answer(to, Verdict::Accept);
    pair.settle();
    assert_eq!((pair.gateway.connections(), sockets.0.borrow().aborted.len()), (0, 1));
}

#[test]
fn a_slow_host_closes_the_guest_s_window() {
    let to = addr("1.2.3.4:80");
    let (mut pair, sockets, guest) = connected(to);
    sockets.0.borrow_mut().far(to).stalled = true;
    let mut accepted = 0;
    for _ in 0..100 {
        accepted += pair.tcp(guest).send_slice(&[7; 64 << 10]).unwrap();
        pair.settle();
    }
    assert!(accepted <= 520 << 10, "both ends' buffers are full after {accepted} bytes");
    sockets.0.borrow_mut().far(to).stalled = false;
    let mut received = 0;
    for _ in 0..100 {
        received += sockets.0.borrow_mut().far(to).received.drain(..).len();
        sockets.0.borrow_mut().now += Duration::from_secs(1);
        pair.settle();
    }
    assert_eq!(received, accepted);
}

#[test]
fn a_slow_guest_is_not_sent_more_than_it_takes() {
    let to = addr("1.2.3.4:80");
    let (mut pair, sockets, guest) = connected(to);
    let bytes: Vec<u8> = (0..4 << 20).map(|at: u32| (at / 255) as u8).collect();
    sockets.0.borrow_mut().far(to).to_send.extend(&bytes);
    pair.settle();
    let waiting = sockets.0.borrow_mut().far(to).to_send.len();
    assert!(waiting >= bytes.len() - (520 << 10), "{waiting} bytes wait with the host");
    pair.patience = 1;
    let mut received = Vec::new();
    while received.len() < bytes.len() {
        received.extend(pair.read(guest));
        sockets.0.borrow_mut().now += Duration::from_millis(300);
        pair.settle();
    }
    assert!(received == bytes);
}

#[test]
fn connections_are_many_but_not_without_bound() {
    let (mut pair, sockets) = pair();
    let handles: Vec<SocketHandle> = (0..MAX_CONNECTIONS as u32 + 5)
        .map(|host| {
            let [_, a, b, c] = host.to_be_bytes();
            pair.connect(SocketAddr::from(([11, a, b, c], 80)))
        })
        .collect();
    pair.settle();
    assert_eq!(pair.gateway.connections(), MAX_CONNECTIONS);
    let states: Vec<State> = handles.iter().map(|handle| pair.state(*handle)).collect();
    let count = |state| states.iter().filter(|known| **known == state).count();
    assert_eq!((count(State::Established), count(State::SynSent)), (MAX_CONNECTIONS, 5));
    handles.iter().for_each(|handle| pair.tcp(*handle).abort());
    pair.settle();
    assert_eq!((pair.gateway.connections(), sockets.0.borrow().open.len()), (0, 0));
}

#[test]
fn thousands_of_connections_leave_nothing_behind() {
    let to = addr("1.2.3.4:80");
    let (mut pair, sockets) = pair();
    for round in 0..3000_u32 {
        let guest = pair.connect(to);
        pair.settle();
        pair.tcp(guest).send_slice(&round.to_be_bytes()).unwrap();
        sockets.0.borrow_mut().far(to).to_send.extend(b"ok");
        sockets.0.borrow_mut().far(to).finish = round % 2 == 0;
        pair.settle();
        assert_eq!(pair.read(guest), b"ok");
        pair.tcp(guest).close();
        pair.settle();
        if round % 2 == 1 {
            sockets.0.borrow_mut().far(to).finish = true;
            pair.settle();
        }
        assert_eq!((pair.gateway.connections(), sockets.0.borrow().open.len()), (0, 0));
        pair.stack.remove(guest);
    }
    assert_eq!(sockets.0.borrow().closed.len(), 3000);
}

#[test]
fn published_ports_lead_to_the_guest() {
    let (mut pair, sockets) = pair();
    let port: Published = "127.0.0.1:8080:80".parse().unwrap();
    let at = pair.gateway.publish(&port).unwrap();
    let mut server = Pair::<MemorySockets>::socket();
    server.listen(80).unwrap();
    let server = pair.stack.add(server);
    let client = addr("192.168.7.7:5555");
    sockets.0.borrow_mut().knock(at, client);
    sockets.0.borrow_mut().far(client).to_send.extend(b"GET");
    pair.settle();
    assert_eq!(pair.read(server), b"GET");
    let peer = pair.tcp(server).remote_endpoint().unwrap();
    assert_eq!(peer.addr.to_string(), "10.0.2.2");
    pair.tcp(server).send_slice(b"200").unwrap();
    pair.tcp(server).close();
    pair.settle();
    assert_eq!(sockets.0.borrow_mut().far(client).received, *b"200");
    assert!(sockets.0.borrow_mut().far(client).ended);
}

#[test]
fn a_published_port_without_a_server_resets_its_clients() {
    let (mut pair, sockets) = pair();
    let at = pair.gateway.publish(&"8080:80".parse().unwrap()).unwrap();
    sockets.0.borrow_mut().knock(at, addr("192.168.7.7:5555"));
    pair.settle();
    assert_eq!((pair.gateway.connections(), sockets.0.borrow().aborted.len()), (0, 1));
}

#[test]
fn a_guest_that_does_not_answer_is_given_up() {
    let (mut pair, sockets) = pair();
    let at = pair.gateway.publish(&"8080:80".parse().unwrap()).unwrap();
    pair.patience = 0;
    sockets.0.borrow_mut().knock(at, addr("192.168.7.7:5555"));
    pair.settle();
    assert_eq!((pair.gateway.connections(), pair.gateway.rest()), (1, None), "no room for frames");
    for _ in 0..4 {
        sockets.0.borrow_mut().now += Duration::from_secs(10);
        pair.settle();
    }
    assert_eq!((pair.gateway.connections(), sockets.0.borrow().aborted.len()), (0, 1));
}

#[test]
fn segments_of_no_connection_are_reset() {
    let (mut pair, _, guest) = connected(addr("1.2.3.4:80"));
    // The gateway of another thaw knows nothing of the first one's connections.
    pair.gateway = Pair::new(MemorySockets::default(), Access::Outside, &[]).gateway;
    pair.tcp(guest).send_slice(b"anybody there?").unwrap();
    pair.settle();
    assert_eq!(pair.state(guest), State::Closed);
}
