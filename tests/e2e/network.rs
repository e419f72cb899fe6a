//! The network of a running artifact: published ports, ways out, names, and what it may not reach.

mod component;

use crate::support::{Artifact, Image, Lab, Outcome, Running, run, run_within};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

const ECHO: &str = include_str!("network/echo.py");
const DOWNLOAD: &str = include_str!("network/download.py");
const UPLOAD: &str = include_str!("network/upload.py");

/// Bytes of the numbers that transfers repeat.
const BLOCK_LEN: usize = 1 << 21;

/// Longer than any answer takes: tests fail instead of hanging.
const PATIENCE: Duration = Duration::from_secs(120);

fn block() -> Vec<u8> {
    (0..BLOCK_LEN as u32 / 4).flat_map(u32::to_le_bytes).collect()
}

fn debian() -> Option<Arc<Artifact>> {
    Some(Artifact::of(Lab::get()?, Image::Debian))
}

/// `lithify run` with these options.
fn ours(debian: &Artifact, options: &[&str], words: &[&str]) -> Outcome {
    let mut command = debian.lab().lithify();
    command.arg("run").args(options).arg(debian.ours()).args(words);
    run(&mut command)
}

/// A port of the loopback that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A program in the guest behind a port of the host.
struct Server {
    running: Running,
    port: u16,
}

impl Server {
    /// Starts a program that listens on port 80 and prints `ready`.
    fn start(debian: &Artifact, words: &[&str]) -> Self {
        let port = free_port();
        let mut running =
            Running::start_with(debian, &["-p", &format!("127.0.0.1:{port}:80")], words);
        running.expect_line("ready");
        Self { running, port }
    }

    fn echo(debian: &Artifact) -> Self {
        Self::start(debian, &["python3", "-c", ECHO])
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Descriptors of the process on the host.
    fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.running.pid().as_raw_nonzero());
        std::fs::read_dir(folder).expect("it runs").count()
    }

    /// Fails unless the process has as many descriptors as it had once, in a while.
    #[track_caller]
    fn expect_descriptors(&self, expected: usize) {
        for _ in 0..PATIENCE.as_secs() * 10 {
            if self.descriptors() == expected {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("{} descriptors, {expected} were expected", self.descriptors());
    }
}

/// Reads all that is sent.
fn read(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("it answers in time");
    bytes
}

#[test]
fn a_published_http_server_answers_a_thousand_times() {
    let Some(debian) = debian() else { return };
    let serve = "cd /usr/share/base-files && ls -l && echo ready && exec python3 -m http.server 80";
    let port = free_port();
    let options = ["-p", &format!("127.0.0.1:{port}:80")];
    let words = ["bash", "-c", &format!("({serve}) 2>/dev/null")];
    let server = Server { running: Running::start_with(&debian, &options, &words), port };
    let get = || {
        let mut stream = server.connect();
        stream.write_all(b"GET /motd HTTP/1.0\r\n\r\n").expect("it is read");
        read(&stream)
    };
    // It is ready a while after it is started.
    let answers = |bytes: &[u8]| bytes.starts_with(b"HTTP/1.0 200 OK\r\n");
    let tried = (0..600).find(|_| {
        thread::sleep(Duration::from_millis(100));
        let stream = server.connect();
        (&stream).write_all(b"GET /motd HTTP/1.0\r\n\r\n").is_ok()
            && (&stream).read(&mut [0]).is_ok_and(|len| len == 1)
    });
    assert!(tried.is_some(), "the server does not start");
    let (first, before) = (get(), server.descriptors());
    assert!(answers(&first), "{}", String::from_utf8_lossy(&first));
    let body = |bytes: &[u8]| {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a header");
        bytes[end..].to_vec()
    };
    assert!(body(&first).len() > 100);
    for _ in 1..1000 {
        assert!(body(&get()) == body(&first));
    }
    server.expect_descriptors(before);
}

#[test]
fn a_published_port_has_256_connections_at_a_time_and_keeps_none() {
    let Some(debian) = debian() else { return };
    let server = Server::echo(&debian);
    let before = server.descriptors();
    let mut streams: Vec<TcpStream> = (0..256).map(|_| server.connect()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&[number as u8; 3000]).expect("it is read");
    }
    for (number, mut stream) in streams.iter().enumerate() {
        let mut bytes = [0; 3000];
        stream.read_exact(&mut bytes).expect("all of it comes back");
        assert!(bytes == [number as u8; 3000], "{number}");
    }
    assert!(server.descriptors() >= before + 256);
    for stream in &streams {
        stream.shutdown(Shutdown::Write).expect("the other direction goes on");
        assert_eq!(read(stream), b"");
    }
    drop(streams);
    for number in 0..500_u32 {
        let mut stream = server.connect();
        stream.write_all(&number.to_le_bytes()).expect("it is read");
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).expect("it comes back");
        assert_eq!(bytes, number.to_le_bytes());
    }
    server.expect_descriptors(before);
}

#[test]
fn ends_and_resets_pass_through() {
    let Some(debian) = debian() else { return };
    let mut server = Server::echo(&debian);
    let before = server.descriptors();
    let mut half_closed = server.connect();
    half_closed.write_all(b"last words").expect("it is read");
    half_closed.shutdown(Shutdown::Write).expect("the other direction goes on");
    assert_eq!(read(&half_closed), b"last words");
    drop(half_closed);

    let mut reset = server.connect();
    reset.write_all(b"x").expect("it is read");
    reset.read_exact(&mut [0]).expect("it comes back");
    rustix::net::sockopt::set_socket_linger(&reset, Some(Duration::ZERO)).expect("a socket");
    drop(reset);
    server.running.expect_line("reset");
    server.expect_descriptors(before);

    let refuse =
        "import socket, struct; l = socket.create_server(('', 80)); print('ready', flush=True)
c, _ = l.accept(); c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
c.close(); input()";
    let server = Server::start(&debian, &["python3", "-c", refuse]);
    let error = server.connect().read(&mut [0]).expect_err("it is reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// Serves one connection: answers a request with so many blocks.
fn serve_download(repetitions: usize) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            request.extend(byte);
        }
        let (block, len) = (block(), repetitions * BLOCK_LEN);
        write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {len}\r\n\r\n").expect("a reader");
        (0..repetitions).for_each(|_| stream.write_all(&block).expect("a reader"));
    });
    (port, server)
}

/// Serves one connection: answers all that is sent with whether it was so many blocks.
fn serve_upload(repetitions: usize) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let (expected, mut bytes) = (block(), vec![0; BLOCK_LEN]);
        let exact = (0..repetitions)
            .all(|_| stream.read_exact(&mut bytes).is_ok() && bytes == expected)
            && stream.read(&mut bytes).is_ok_and(|len| len == 0);
        writeln!(stream, "{}", if exact { "exact" } else { "different" }).expect("a reader");
    });
    (port, server)
}

#[track_caller]
fn assert_downloads(repetitions: usize) {
    let Some(debian) = debian() else { return };
    let (port, server) = serve_download(repetitions);
    let mut command = debian.lab().lithify();
    command.args(["run", "--network", "host"]).arg(debian.ours()).args(["python3", "-c", DOWNLOAD]);
    command.args([&format!("http://host.docker.internal:{port}/"), &repetitions.to_string()]);
    let outcome = run_within(Duration::from_secs(1800), &mut command).expect_code(0);
    assert_eq!(outcome.stdout_text(), "exact\n");
    server.join().expect("the server is content");
}

#[track_caller]
fn assert_uploads(repetitions: usize) {
    let Some(debian) = debian() else { return };
    let (port, server) = serve_upload(repetitions);
    let mut command = debian.lab().lithify();
    command.args(["run", "--add-host", "here:host-gateway"]).arg(debian.ours());
    command.args(["python3", "-c", UPLOAD, "here", &port.to_string(), &repetitions.to_string()]);
    let outcome = run_within(Duration::from_secs(1800), &mut command).expect_code(0);
    assert_eq!(outcome.stdout_text(), "exact\n");
    server.join().expect("the server is content");
}

#[test]
fn a_download_of_200_mb_is_exact() {
    assert_downloads(200_000_000_usize.div_ceil(BLOCK_LEN));
}

#[test]
fn an_upload_of_200_mb_is_exact() {
    assert_uploads(200_000_000_usize.div_ceil(BLOCK_LEN));
}

#[test]
#[ignore = "slow: a GiB in each direction"]
fn a_gib_in_each_direction_is_exact() {
    assert_downloads((1 << 30) / BLOCK_LEN);
    assert_uploads((1 << 30) / BLOCK_LEN);
}

#[test]
fn two_artifacts_talk_over_a_published_port() {
    let Some(debian) = debian() else { return };
    let server = Server::echo(&debian);
    let client = format!(
        "exec 3<>/dev/tcp/other/{}; echo 'from one to the other' >&3; head -1 <&3",
        server.port
    );
    let options = ["--add-host", "other:host-gateway"];
    let outcome = ours(&debian, &options, &["bash", "-c", &client]).expect_code(0);
    assert_eq!(outcome.stdout_text(), "from one to the other\n");
}

/// A port of the host, and the number of bytes that one client sends there, who is not read at once.
fn late_reader() -> (u16, thread::JoinHandle<usize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let reader = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        thread::sleep(Duration::from_millis(200));
        read(&stream).len()
    });
    (port, reader)
}

#[test]
fn what_a_container_sent_arrives_although_it_has_ended() {
    let Some(debian) = debian() else { return };
    let (port, reader) = late_reader();
    let script = format!("head -c 5000000 /dev/zero > /dev/tcp/host.docker.internal/{port}");
    ours(&debian, &["--network", "host"], &["bash", "-c", &script]).expect_code(0);
    assert_eq!(reader.join().expect("a reader"), 5_000_000);
}

/// Answers each question for an IPv4 address with 192.0.2.7 (RFC 1035, section 4.1), and each other
/// one with nothing.
fn serve_names() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = socket.local_addr().expect("an address").port();
    thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut packet) {
            let question = &packet[12..len];
            let name_len = question.iter().position(|byte| *byte == 0).expect("a name") + 1;
            let question = &question[..name_len + 4];
            let is_a = question[name_len..][..2] == [0, 1];
            let header = [&packet[..2], &[0x81, 0x80, 0, 1, 0, is_a.into(), 0, 0, 0, 0]].concat();
            let record: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7];
            let record = if is_a { record } else { &[] };
            // Who asks may be gone.
            let _ = socket.send_to(&[&header, question, record].concat(), from);
        }
    });
    port
}

#[test]
fn names_are_asked_of_the_name_server() {
    let Some(debian) = debian() else { return };
    let server = format!("127.0.0.1:{}", serve_names());
    let script = ["bash", "-c", "cat /etc/resolv.conf; getent ahostsv4 stone.example | head -1"];
    let outcome = ours(&debian, &["--dns", &server], &script).expect_code(0);
    let text = outcome.stdout_text();
    assert!(text.starts_with("nameserver 10.0.2.3\n192.0.2.7 "), "{text}");
}

#[test]
fn names_are_asked_of_the_host_s_name_server() {
    let Some(debian) = debian() else { return };
    const NAME: &str = "deb.debian.org";
    // By the host's tools, which look nowhere else either.
    let known = run(std::process::Command::new("getent").args(["ahosts", NAME]));
    if known.code != 0 {
        return println!("skipped: the host's name server does not know {NAME}");
    }
    ours(&debian, &[], &["getent", "ahosts", NAME]).expect_code(0);
}

#[test]
fn datagrams_reach_a_published_port_and_come_back() {
    let Some(debian) = debian() else { return };
    let port = free_port();
    let echo = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 53))
print('ready', flush=True)
while True: s.sendto(*s.recvfrom(65535))";
    let options = ["-p", &format!("127.0.0.1:{port}:53/udp")];
    let mut running = Running::start_with(&debian, &options, &["python3", "-c", echo]);
    running.expect_line("ready");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.connect((Ipv4Addr::LOCALHOST, port)).expect("an address");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    for len in [0, 1, 1500, 60_000] {
        socket.send(&vec![7; len]).expect("it is sent");
        let mut bytes = vec![0; 65_536];
        let received = socket.recv(&mut bytes).expect("it comes back");
        assert!(bytes[..received] == vec![7; len], "{len}");
    }
}

/// What a line on standard error says of a published port, such as `80/tcp -> 0.0.0.0:32768`.
fn route(line: &str) -> (&str, u16) {
    let (guest, host) = line.split_once(" -> 0.0.0.0:").expect("a published port");
    (guest, host.parse().expect("a port of the host"))
}

#[test]
fn exposed_ports_are_published_and_told_where_nobody_did() {
    let Some(debian) = debian() else { return };
    let inspected = run(debian.lab().lithify().arg("inspect").arg(debian.wasm())).expect_code(0);
    assert!(inspected.stdout_text().contains("Ports         53/udp 80/tcp\n"));
    let named = free_port().to_string();
    // The compiled form does not know them.
    let mut command = debian.lab().lithify();
    command.args(["run", "-P", "-p", &format!("127.0.0.1:{named}:53/udp")]).arg(debian.wasm());
    command.args(["python3", "-c", ECHO]).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().expect("the command under test starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut lines = (&mut stderr).lines().map(|line| line.expect("text"));
    let line = lines.find(|line| line.contains(" -> ")).expect("a port");
    let (guest, port) = route(&line);
    assert_eq!(guest, "80/tcp");
    // Until the program listens the gateway resets what comes.
    let echoes = (0..600).any(|_| {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut answer = [0; 5];
        let heard = stream.write_all(b"hello").and_then(|()| stream.read_exact(&mut answer));
        thread::sleep(Duration::from_millis(100));
        heard.is_ok() && &answer == b"hello"
    });
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(echoes);
    assert_eq!(lines.find(|line| line.contains(" -> ")), None, "the other one was named");
}

#[test]
fn the_host_itself_is_out_of_reach() {
    let Some(debian) = debian() else { return };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let script = r#"
for host in 10.0.2.2 127.0.0.1 fd00:6c69:7468::2 169.254.169.254; do
    (exec 3<>/dev/tcp/$host/$0) 2>&1 | grep -m1 -o 'Connection refused'
done
"#;
    let words = ["bash", "-c", script, &port];
    let outcome = ours(&debian, &[], &words);
    assert_eq!(outcome.stdout_text(), "Connection refused\n".repeat(4));
    listener.set_nonblocking(true).expect("a listener");
    assert_eq!(listener.accept().expect_err("nobody came").kind(), ErrorKind::WouldBlock);
}

#[test]
fn without_a_network_everything_is_unreachable() {
    let Some(debian) = debian() else { return };
    let script = "cat /etc/resolv.conf; grep ' added' /etc/hosts
        (exec 3<>/dev/tcp/1.2.3.4/80) 2>&1 | grep -m1 -o 'Network is unreachable'
        (exec 3<>/dev/tcp/2001:db8::1/80) 2>&1 | grep -m1 -o 'Network is unreachable'";
    let words = ["bash", "-c", script];
    let expected = "Network is unreachable\n".repeat(2);
    let none = ours(&debian, &["--network", "none"], &words);
    assert_eq!(none.stdout_text(), expected);
    let stock = crate::support::Runtime::Stock.run(&debian, &words);
    assert_eq!(stock.stdout_text(), expected);
}

#[test]
fn wrong_words_are_explained() {
    let Some(debian) = debian() else { return };
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let taken = format!("127.0.0.1:{}:80", taken.local_addr().expect("an address").port());
    let cannot = format!("cannot publish port {taken}/tcp: Address already in use");
    for (options, code, part) in [
        (["-p", "80"], 2, "`80` is not `[IP:]HOST:GUEST[/tcp|/udp]`"),
        (["-p", "x:80"], 2, "`x` is no port number"),
        (["--network", "hots"], 2, "expected default, none or host"),
        (["--add-host", "a"], 2, "expected NAME:IP or NAME:host-gateway"),
        (["--dns", "a"], 2, "expected an IP address"),
        (["-p", &taken], 125, &cannot),
    ] {
        let outcome = ours(&debian, &options, &["true"]).expect_error(code, &[part]);
        assert!(outcome.stderr_text().lines().count() < 6, "{}", outcome.stderr_text());
    }
}
