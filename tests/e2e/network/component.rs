//! The same network where an artifact is a WASI 0.2 component and the runtime is stock wasmtime.

use super::*;
use crate::support::feed;
use std::process::Command;

const NAMES: &str = include_str!("names.py");

/// What lets a component reach the host's network and its names.
const NETWORK: &str = "-Sinherit-network,allow-ip-name-lookup";

/// The component on stock wasmtime, with these options of wasmtime and of ours.
fn component(debian: &Artifact, stock: &[&str], options: &str, words: &[&str]) -> Command {
    let mut command = debian.lab().wasmtime();
    command.args(["run", "--allow-precompiled"]).args(stock);
    if !options.is_empty() {
        command.args(["--env", &format!("LITHIFY_OPTIONS={options}")]);
    }
    command.arg(debian.component()).args(words);
    command
}

/// A container that runs, with a network.
fn running(debian: &Artifact, options: &str, words: &[&str]) -> Running {
    Running::of(component(debian, &[NETWORK], options, words))
}

#[test]
fn a_component_has_arguments_variables_streams_and_exit_codes() {
    let Some(debian) = debian() else { return };
    let script =
        "echo $WHO $1 $(hostname); echo oops >&2; tr a-z A-Z; env | grep -c LITHIFY; exit 77";
    let words = ["bash", "-c", script, "-", "an argument"];
    let options = "-e WHO=you --hostname it";
    let mut command = component(&debian, &[], options, &words);
    let outcome = feed(&mut command, b"input\n".repeat(100_000)).expect_code(77);
    assert_eq!(outcome.stderr_text(), "oops\n");
    let expected = format!("you an argument it\n{}0\n", "INPUT\n".repeat(100_000));
    assert!(outcome.stdout_text() == expected, "{} bytes", outcome.stdout.len());
    for (code, script) in [(0, "exit 0"), (126, "exit 126"), (137, "exit 137"), (255, "exit 255")] {
        run(&mut component(&debian, &[], "", &["bash", "-c", script])).expect_code(code);
    }
    run(&mut component(&debian, &[], "", &["/nowhere"])).expect_code(127);
}

#[test]
fn a_component_uses_directories_of_the_host() {
    let Some(debian) = debian() else { return };
    let folder = debian.lab().temporary();
    let content: Vec<u8> = block().repeat(2);
    std::fs::write(folder.path().join("in"), &content).expect("a file");
    let script = "cd /data && cp in out && mkdir -p a/b && mv out a/b/c && ln a/b/c d && rm in \
        && ln -s d e && readlink e && ls -R | LC_ALL=C sort && truncate -s 3 d && stat -c %s e/../d a/b/c";
    let dir = format!("{}::/data", folder.path().display());
    let words = ["bash", "-c", script];
    let outcome = run(&mut component(&debian, &["--dir", &dir], "", &words)).expect_code(1);
    assert!(outcome.stderr_text().contains("e/../d"), "{}", outcome.stderr_text());
    assert_eq!(outcome.stdout_text(), "d\n\n\n./a/b:\n./a:\n.:\na\nb\nc\nd\ne\n3\n");
    assert_eq!(std::fs::read(folder.path().join("a/b/c")).expect("a file"), content[..3]);
}

#[test]
fn a_component_s_network_is_the_runtime_s() {
    let Some(debian) = debian() else { return };
    let script = "cat /etc/resolv.conf
        (exec 3<>/dev/tcp/1.2.3.4/80) 2>&1 | grep -m1 -o 'Network is unreachable'
        (exec 3<>/dev/tcp/2001:db8::1/80) 2>&1 | grep -m1 -o 'Network is unreachable'";
    let words = ["bash", "-c", script];
    let unreachable = "Network is unreachable\n".repeat(2);
    let without = run(&mut component(&debian, &[], "", &words));
    assert_eq!(
        (without.stdout_text(), without.stderr_text()),
        (unreachable.clone(), String::new())
    );
    let none = run(&mut component(&debian, &[NETWORK], "--network none", &words));
    assert_eq!(none.stdout_text(), unreachable);
    let refused = run(&mut component(&debian, &[], "-p 8080:80", &["true"])).expect_code(125);
    let message = refused.stderr_text();
    assert!(message.contains("8080:80/tcp") && message.contains("-S inherit-network"), "{message}");
}

#[test]
fn a_component_s_options_are_checked() {
    let Some(debian) = debian() else { return };
    for (options, part) in [
        ("-v /:/data", "--dir HOST::GUEST"),
        ("-t", "lithify run"),
        ("--publish 80", "`80` is not `[IP:]HOST:GUEST[/tcp|/udp]`"),
        ("--frob", "--frob"),
        ("word", "found `word`"),
    ] {
        let outcome = run(&mut component(&debian, &[NETWORK], options, &["true"])).expect_code(2);
        let message = outcome.stderr_text();
        assert!(message.starts_with("lithify: LITHIFY_OPTIONS: "), "{message}");
        assert!(message.contains(part), "{message}");
    }
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let options = format!("-p 127.0.0.1:{port}:80");
    let outcome = run(&mut component(&debian, &[NETWORK], &options, &["true"])).expect_code(125);
    assert!(outcome.stderr_text().contains("already in use"), "{}", outcome.stderr_text());
}

#[track_caller]
fn assert_component_downloads(repetitions: usize) {
    let Some(debian) = debian() else { return };
    let (port, server) = serve_download(repetitions);
    let url = format!("http://host.docker.internal:{port}/");
    let words = ["python3", "-c", DOWNLOAD, &url, &repetitions.to_string()];
    let mut command = component(&debian, &[NETWORK], "--network host", &words);
    let outcome = run_within(Duration::from_secs(1800), &mut command).expect_code(0);
    assert_eq!(outcome.stdout_text(), "exact\n");
    server.join().expect("the server is content");
}

#[track_caller]
fn assert_component_uploads(repetitions: usize) {
    let Some(debian) = debian() else { return };
    let (port, server) = serve_upload(repetitions);
    let words = ["python3", "-c", UPLOAD, "here", &port.to_string(), &repetitions.to_string()];
    let mut command = component(&debian, &[NETWORK], "--add-host here:host-gateway", &words);
    let outcome = run_within(Duration::from_secs(1800), &mut command).expect_code(0);
    assert_eq!(outcome.stdout_text(), "exact\n");
    server.join().expect("the server is content");
}

#[test]
fn transfers_of_a_component_are_exact() {
    assert_component_downloads(10);
    assert_component_uploads(10);
}

#[test]
#[ignore = "slow: 200 MB in each direction"]
fn transfers_of_a_component_of_200_mb_are_exact() {
    assert_component_downloads(200_000_000_usize.div_ceil(BLOCK_LEN));
    assert_component_uploads(200_000_000_usize.div_ceil(BLOCK_LEN));
}

#[test]
fn a_component_s_published_http_server_answers_300_times() {
    let Some(debian) = debian() else { return };
    let serve = "cd /usr/share/base-files && exec python3 -u -m http.server 80 2>/dev/null";
    let port = free_port();
    let mut running = running(&debian, &format!("-p 127.0.0.1:{port}:80"), &["bash", "-c", serve]);
    running.expect_line("Serving HTTP on 0.0.0.0 port 80 (http://0.0.0.0:80/) ...");
    let server = Server { running, port };
    let get = || {
        let mut stream = server.connect();
        stream.write_all(b"GET /motd HTTP/1.0\r\n\r\n").expect("it is read");
        let answer = read(&stream);
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a header");
        assert!(answer.starts_with(b"HTTP/1.0 200 OK\r\n"), "{answer:?}");
        answer[end..].to_vec()
    };
    let (first, before) = (get(), server.descriptors());
    assert!(first.len() > 100);
    for _ in 1..300 {
        assert!(get() == first);
    }
    server.expect_descriptors(before);
}

#[test]
fn a_component_has_64_connections_at_a_time_and_half_closes() {
    let Some(debian) = debian() else { return };
    let port = free_port();
    let options = format!("-p 127.0.0.1:{port}:80");
    let mut running = running(&debian, &options, &["python3", "-c", ECHO]);
    running.expect_line("ready");
    let server = Server { running, port };
    let mut streams: Vec<TcpStream> = (0..64).map(|_| server.connect()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&[number as u8; 3000]).expect("it is read");
        stream.shutdown(Shutdown::Write).expect("the other direction goes on");
    }
    for (number, stream) in streams.iter().enumerate() {
        assert!(read(stream) == [number as u8; 3000], "{number}");
    }
}

#[test]
fn what_a_component_sent_arrives_although_it_has_ended() {
    let Some(debian) = debian() else { return };
    let (port, reader) = late_reader();
    let script = format!("head -c 5000000 /dev/zero > /dev/tcp/host.docker.internal/{port}");
    let words = ["bash", "-c", &script];
    run(&mut component(&debian, &[NETWORK], "--network host", &words)).expect_code(0);
    assert_eq!(reader.join().expect("a reader"), 5_000_000);
}

#[test]
fn datagrams_reach_a_component_and_come_back() {
    let Some(debian) = debian() else { return };
    let port = free_port();
    let echo = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 53))
print('ready', flush=True)
while True: s.sendto(*s.recvfrom(65535))";
    let options = format!("-p 127.0.0.1:{port}:53/udp");
    let mut running = running(&debian, &options, &["python3", "-c", echo]);
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

#[test]
fn names_of_a_component_are_looked_up_by_the_runtime() {
    let Some(debian) = debian() else { return };
    let mut command = component(&debian, &[NETWORK], "", &["python3", "-c", NAMES]);
    let text = run(&mut command).expect_code(0).stdout_text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "localhost 1: 0 127.0.0.1");
    // Where the host itself has no name server it cannot tell.
    let no_name = ["nowhere.invalid 1: 3", "nowhere.invalid 1: 2"];
    assert!(no_name.iter().any(|line| lines[1].starts_with(line)), "{text}");
    assert!(lines[2].starts_with("localhost 15: 4"), "{text}");
    // Not allowed: an answer at once, not silence.
    let mut command = component(&debian, &["-Sinherit-network"], "", &["python3", "-c", NAMES]);
    let text = run(&mut command).expect_code(0).stdout_text();
    assert!(text.starts_with("localhost 1: 2"), "{text}");
}

#[test]
fn names_of_a_component_are_asked_of_a_named_server() {
    let Some(debian) = debian() else { return };
    let server = format!("--dns 127.0.0.1:{}", serve_names());
    let script = ["bash", "-c", "cat /etc/resolv.conf; getent ahostsv4 stone.example | head -1"];
    let outcome = run(&mut component(&debian, &[NETWORK], &server, &script)).expect_code(0);
    let text = outcome.stdout_text();
    assert!(text.starts_with("nameserver 10.0.2.3\n192.0.2.7 "), "{text}");
}

#[test]
fn the_host_itself_is_out_of_a_component_s_reach() {
    let Some(debian) = debian() else { return };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let script = r#"
for host in 10.0.2.2 127.0.0.1 169.254.169.254; do
    (exec 3<>/dev/tcp/$host/$0) 2>&1 | grep -m1 -o 'Connection refused'
done
"#;
    let outcome = run(&mut component(&debian, &[NETWORK], "", &["bash", "-c", script, &port]));
    assert_eq!(outcome.stdout_text(), "Connection refused\n".repeat(3));
    listener.set_nonblocking(true).expect("a listener");
    assert_eq!(listener.accept().expect_err("nobody came").kind(), ErrorKind::WouldBlock);
}

#[test]
fn what_a_component_is_no_input_for_says_so() {
    let Some(debian) = debian() else { return };
    let folder = debian.lab().temporary();
    let file = folder.path().join("app.component.wasm");
    let mut convert = debian.lab().lithify();
    run(convert.arg("component").arg(debian.wasm()).arg("-o").arg(&file)).expect_code(0);
    for command in ["run", "inspect", "compile", "component"] {
        let outcome = run(debian.lab().lithify().arg(command).arg(&file));
        outcome.expect_error(125, &["a component, which other runtimes run; give the artifact"]);
    }
    let unknown = run(debian.lab().lithify().args(["component", "team/unknown"]));
    unknown.expect_error(125, &["team/unknown:latest: not in the local store"]);
}
