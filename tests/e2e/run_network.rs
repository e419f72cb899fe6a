//! RUN's network: what a command reaches of the host and beyond, by the real kernel's stack.

use crate::support::{Lab, Outcome, run};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

/// Words of the file that the server has, which are their own numbers: many segments of the largest
/// size, and quickly made in the guest, too.
const FILE_WORDS: u32 = 1 << 19;

fn file() -> Vec<u8> {
    (0..FILE_WORDS).flat_map(u32::to_le_bytes).collect()
}

/// Serves one connection after the other on the host's loopback, until the test's process ends:
/// `GET` answers with the file, anything else with what was sent.
fn serve() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is its own failure.
            let _ = answer(stream);
        }
    });
    port
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut method = [0; 4];
    stream.read_exact(&mut method)?;
    if &method == b"GET " {
        let mut request = method.to_vec();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            request.extend(byte);
        }
        let file = file();
        write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", file.len())?;
        return stream.write_all(&file);
    }
    let mut sent = Vec::new();
    stream.read_to_end(&mut sent)?;
    stream.write_all(&[&method[..], &sent].concat())
}

/// Builds `steps` on the Debian base with build argument `PORT`.
fn build(steps: &str) -> Option<Outcome> {
    let lab = Lab::get()?;
    let folder = lab.temporary();
    let context = folder.path().join("context");
    fs::create_dir(&context).expect("a folder");
    let dockerfile = format!("FROM debian:trixie-slim\nARG PORT\n{steps}");
    fs::write(context.join("Dockerfile"), dockerfile).expect("a Dockerfile");
    let mut command = lab.build(&context, &folder.path().join("app.wasm"));
    let port = format!("PORT={}", serve());
    Some(run(command.args([
        "--allow",
        "network.host",
        "--progress",
        "plain",
        "--build-arg",
        &port,
    ])))
}

#[test]
fn a_step_on_the_host_s_network_reaches_its_loopback() {
    let steps = r#"
RUN --network=host python3 <<'EOF'
import array, os, socket, urllib.request
port = int(os.environ["PORT"])
url = f"http://host.docker.internal:{port}/"
body = urllib.request.urlopen(url).read()
assert body == array.array("I", range(1 << 19)).tobytes()
with socket.create_connection(("host.docker.internal", port)) as half_closed:
    half_closed.sendall(body)
    half_closed.shutdown(socket.SHUT_WR)
    echo = b"".join(iter(lambda: half_closed.recv(1 << 20), b""))
assert echo == body
print("both ways")
EOF
"#;
    let Some(outcome) = build(steps) else { return };
    assert!(outcome.expect_code(0).stderr_text().contains("both ways"));
}

#[test]
fn other_steps_do_not() {
    let steps = r#"
RUN python3 <<'EOF'
import os, socket
port = int(os.environ["PORT"])
for host in ["10.0.2.2", "127.0.0.1", "fd00:6c69:7468::2", "169.254.169.254"]:
    try:
        socket.create_connection((host, port))
    except ConnectionRefusedError:
        print("refused:", host)
print(open("/etc/resolv.conf").read())
EOF
RUN --network=none python3 <<'EOF'
import os, socket
try:
    socket.create_connection(("10.0.2.2", int(os.environ["PORT"])))
except OSError as error:
    print("none:", error.strerror)
EOF
"#;
    let Some(outcome) = build(steps) else { return };
    let text = outcome.expect_code(0).stderr_text();
    for line in [
        "refused: 10.0.2.2",
        "refused: 127.0.0.1",
        "refused: fd00:6c69:7468::2",
        "refused: 169.254.169.254",
        "nameserver 10.0.2.3",
        "none: Network is unreachable",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}
