//! Over the host's own sockets, on loopback.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lithify_control::PLAN;
use lithify_hostnet::{Access, SystemSockets};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

use super::guest::Pair;
use crate::forwarded::Forwarded;
use crate::gateway::Settings;

/// Longer than any of these tests takes: they fail instead of hanging.
const LIMIT: Duration = Duration::from_secs(300);

fn pair() -> Pair<SystemSockets> {
    Pair::new(SystemSockets::new().unwrap(), Access::Gateway, &[])
}

/// Where the guest reaches a server on the host's loopback.
fn through_gateway(listener: &TcpListener) -> SocketAddr {
    SocketAddr::from((PLAN.gateway_v4, listener.local_addr().unwrap().port()))
}

fn until(pair: &mut Pair<SystemSockets>, mut done: impl FnMut(&mut Pair<SystemSockets>) -> bool) {
    let start = Instant::now();
    while !done(pair) {
        assert!(start.elapsed() < LIMIT, "nothing happened");
        if !pair.step() {
            let rest = pair.gateway.rest().unwrap_or(LIMIT).min(Duration::from_millis(5));
            pair.gateway.sockets_mut().wait(Some(rest)).unwrap();
        }
    }
}

/// Byte `at` of the stream that the tests send.
fn pattern(at: u64) -> u8 {
    (at ^ at >> 8 ^ at >> 19) as u8
}

fn fill(bytes: &mut [u8], from: u64) {
    (from..).zip(bytes).for_each(|(at, byte)| *byte = pattern(at));
}

fn check(bytes: &[u8], from: u64) {
    assert!((from..).zip(bytes).all(|(at, byte)| *byte == pattern(at)), "at {from}");
}

/// Sends a stream to whoever connects, and the end.
fn sender(listener: TcpListener, len: u64) -> JoinHandle<()> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = vec![0; 1 << 16];
        let mut sent = 0;
        while sent < len {
            let step = (len - sent).min(1 << 16) as usize;
            fill(&mut bytes[..step], sent);
            stream.write_all(&bytes[..step]).unwrap();
            sent += step as u64;
        }
    })
}

/// Receives a stream to its end and answers with its length.
fn receiver(listener: TcpListener) -> JoinHandle<()> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = vec![0; 1 << 16];
        let mut received = 0;
        loop {
            let len = stream.read(&mut bytes).unwrap();
            if len == 0 {
                break;
            }
            check(&bytes[..len], received);
            received += len as u64;
        }
        stream.write_all(&received.to_be_bytes()).unwrap();
    })
}

fn download(len: u64) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut pair = pair();
    let guest = pair.connect(through_gateway(&listener));
    let server = sender(listener, len);
    let mut received = 0;
    until(&mut pair, |pair| {
        let bytes = pair.read(guest);
        check(&bytes, received);
        received += bytes.len() as u64;
        pair.state(guest) == State::CloseWait && !pair.tcp(guest).can_recv()
    });
    assert_eq!(received, len);
    server.join().unwrap();
}

fn upload(len: u64) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut pair = pair();
    let guest = pair.connect(through_gateway(&listener));
    let server = receiver(listener);
    let mut sent = 0;
    let mut answer = Vec::new();
    until(&mut pair, |pair| {
        let socket = pair.tcp(guest);
        if sent < len && socket.can_send() {
            sent += socket
                .send(|room| {
                    let step = (len - sent).min(room.len() as u64) as usize;
                    fill(&mut room[..step], sent);
                    (step, step as u64)
                })
                .unwrap();
            if sent == len {
                socket.close();
            }
        }
        answer.extend(pair.read(guest));
        answer.len() == 8
    });
    assert_eq!(answer, len.to_be_bytes());
    server.join().unwrap();
}

/// Answers each connection with what it sent, when it has ended.
fn echo(listener: UnixListener) {
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        }
    });
}

#[test]
fn forwarded_sockets_carry_streams_and_their_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    echo(UnixListener::bind(&path).unwrap());
    let mut forwarded = Forwarded::default();
    let to = |port: Option<u16>| SocketAddr::from((PLAN.gateway_v4, port.unwrap()));
    let there = to(forwarded.add(path));
    let absent = to(forwarded.add(folder.path().join("absent")));
    let settings = Settings { forwarded, ..Settings::default() };
    let mut pair = Pair::with(SystemSockets::new().unwrap(), settings);
    for refused in [pair.connect(there), pair.connect_from(1000, absent)] {
        until(&mut pair, |pair| pair.state(refused) == State::Closed);
    }
    let guest = pair.connect_from(1001, there);
    until(&mut pair, |pair| pair.state(guest) == State::Established);
    pair.tcp(guest).send_slice(b"question").unwrap();
    pair.tcp(guest).close();
    let mut answer = Vec::new();
    until(&mut pair, |pair| {
        answer.extend(pair.read(guest));
        !matches!(pair.state(guest), State::FinWait1 | State::FinWait2)
    });
    answer.extend(pair.read(guest));
    assert_eq!(answer, b"question");
    until(&mut pair, |pair| pair.gateway.connections() == 0);
}

#[test]
fn downloads_are_byte_exact() {
    download(64 << 20);
}

#[test]
fn uploads_are_byte_exact() {
    upload(64 << 20);
}

#[test]
#[ignore = "slow: 1 GiB in each direction"]
fn large_transfers_are_byte_exact() {
    download(1 << 30);
    upload(1 << 30);
}

#[test]
fn closed_ports_refuse() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = through_gateway(&listener);
    drop(listener);
    let mut pair = pair();
    let guest = pair.connect(to);
    until(&mut pair, |pair| pair.state(guest) == State::Closed);
    assert_eq!(pair.gateway.connections(), 0);
}

#[test]
fn resets_pass_in_both_directions() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut pair = pair();
    let guest = pair.connect(through_gateway(&listener));
    until(&mut pair, |pair| pair.state(guest) == State::Established);
    let (mut stream, _) = listener.accept().unwrap();
    pair.tcp(guest).abort();
    until(&mut pair, |pair| pair.gateway.connections() == 0);
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let guest = pair.connect(through_gateway(&listener));
    until(&mut pair, |pair| pair.state(guest) == State::Established);
    let (stream, _) = listener.accept().unwrap();
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
    until(&mut pair, |pair| pair.state(guest) == State::Closed);
}

#[test]
fn many_connections_carry_their_own_bytes_at_once() {
    const COUNT: u32 = 256;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut pair = pair();
    let to = through_gateway(&listener);
    let server = thread::spawn(move || {
        let streams: Vec<TcpStream> = (0..COUNT).map(|_| listener.accept().unwrap().0).collect();
        for mut stream in streams {
            let mut number = [0; 4];
            stream.read_exact(&mut number).unwrap();
            stream.write_all(&number.repeat(5000)).unwrap();
        }
    });
    let handles: Vec<SocketHandle> = (0..COUNT).map(|_| pair.connect(to)).collect();
    let mut sent = vec![false; COUNT as usize];
    let mut received = vec![Vec::new(); COUNT as usize];
    until(&mut pair, |pair| {
        for (number, handle) in (0..COUNT).zip(&handles) {
            let index = number as usize;
            if !sent[index] && pair.tcp(*handle).can_send() {
                pair.tcp(*handle).send_slice(&number.to_be_bytes()).unwrap();
                sent[index] = true;
            }
            received[index].extend(pair.read(*handle));
        }
        received.iter().all(|bytes| bytes.len() == 20_000)
    });
    for (number, bytes) in (0..COUNT).zip(&received) {
        assert!(*bytes == number.to_be_bytes().repeat(5000), "connection {number}");
    }
    server.join().unwrap();
}

#[test]
fn clients_of_the_host_reach_a_published_port() {
    let mut pair = pair();
    let at = pair.gateway.publish(&"127.0.0.1:0:80".parse().unwrap()).unwrap();
    let mut server = Pair::<SystemSockets>::socket();
    server.listen(80).unwrap();
    let server = pair.stack.add(server);
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(b"GET").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let mut request = Vec::new();
    until(&mut pair, |pair| {
        request.extend(pair.read(server));
        request == b"GET"
    });
    pair.tcp(server).send_slice(b"200").unwrap();
    pair.tcp(server).close();
    until(&mut pair, |pair| pair.gateway.connections() == 0);
    assert_eq!(client.join().unwrap(), "200");
}

#[test]
fn datagrams_cross_published_ports() {
    let mut pair = pair();
    let at = pair.gateway.publish(&"127.0.0.1:0:53/udp".parse().unwrap()).unwrap();
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    client.send_to(&[9; 60_000], at).unwrap();
    until(&mut pair, |pair| !pair.other.is_empty());
    let frame = pair.other.pop().unwrap();
    assert!(frame[14 + 28..] == [9; 60_000]);
}

#[test]
fn names_are_looked_up_at_the_host_s_server() {
    let resolver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = resolver.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut request = [0; 512];
        let (len, from) = resolver.recv_from(&mut request).unwrap();
        request[..len].reverse();
        resolver.send_to(&request[..len], from).unwrap();
    });
    let mut pair = Pair::new(SystemSockets::new().unwrap(), Access::Outside, &[at]);
    let dns = SocketAddr::from((PLAN.dns_v4, 53));
    pair.raw(super::datagrams::datagram(4000, dns, b"name"));
    until(&mut pair, |pair| !pair.other.is_empty());
    assert_eq!(super::datagrams::arrived(&mut pair), [(dns, 4000, b"eman".to_vec())]);
    server.join().unwrap();
}
