//! `RUN --mount=type=ssh`: a real agent of the host, asked by a command.

use crate::support::{Lab, Outcome, run};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The comment of the key that the agent has.
const COMMENT: &str = "key-of-the-host-4711";

/// Asks the agent for its keys, by the protocol of draft-ietf-sshm-ssh-agent section 3.5: message 11
/// is answered by message 12, which holds the keys' number. Shows that and the last key's comment.
const ASK: &str = r#"
import os, select, socket, struct, sys
agent = socket.socket(socket.AF_UNIX)
agent.connect(sys.argv[1] if len(sys.argv) > 1 else os.environ["SSH_AUTH_SOCK"])
agent.sendall(struct.pack(">IB", 1, 11))
if "half" in sys.argv:
    # An agent that sees the end before it has answered does not answer.
    select.select([agent], [], [])
    agent.shutdown(socket.SHUT_WR)
read = agent.makefile("rb").read
length, kind, keys = struct.unpack(">IBI", read(9))
rest = read(length - 5)
print("message", kind, "keys", keys, rest[-20:].decode())
"#;

/// An agent that ends with the test.
struct Agent {
    process: Child,
    folder: TempDir,
}

impl Agent {
    fn start() -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let socket = folder.path().join("agent");
        let mut command = Command::new("ssh-agent");
        let process = command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
        let Ok(process) = process else {
            println!("skipped: there is no ssh-agent (package openssh-client)");
            return None;
        };
        let agent = Self { process, folder };
        let patience = Instant::now() + Duration::from_secs(60);
        while !socket.exists() {
            assert!(Instant::now() < patience, "ssh-agent makes no socket");
            std::thread::sleep(Duration::from_millis(10));
        }
        agent.add_key();
        Some(agent)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    fn add_key(&self) {
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-C", COMMENT, "-f"]).arg(self.key());
        run(&mut make).expect_code(0);
        let mut add = Command::new("ssh-add");
        add.arg("-q").arg(self.key()).env("SSH_AUTH_SOCK", self.socket());
        run(&mut add).expect_code(0);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A context with a Dockerfile on the Debian base; its results have a store of their own.
struct Build {
    lab: &'static Lab,
    folder: TempDir,
}

impl Build {
    fn new(steps: &str) -> Option<Self> {
        let lab = Lab::get()?;
        let folder = lab.temporary();
        let context = folder.path().join("context");
        fs::create_dir(&context).expect("a folder");
        fs::write(context.join("ask.py"), ASK).expect("a file");
        let dockerfile = format!("FROM debian:trixie-slim\nCOPY ask.py /\n{steps}");
        fs::write(context.join("Dockerfile"), dockerfile).expect("a Dockerfile");
        Some(Self { lab, folder })
    }

    fn run(&self, args: &[&str]) -> Outcome {
        let artifact = self.folder.path().join("app.wasm");
        let mut command = self.lab.build(&self.folder.path().join("context"), &artifact);
        command.env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        command.env_remove("SSH_AUTH_SOCK").args(["--progress", "plain"]).args(args);
        run(&mut command)
    }
}

const STEPS: &str = r#"
RUN --mount=type=ssh stat -c 'default %F %a %u' $SSH_AUTH_SOCK && echo at $SSH_AUTH_SOCK && \
    python3 /ask.py && python3 /ask.py $SSH_AUTH_SOCK half && python3 /ask.py
RUN --mount=type=ssh,id=other,target=/agents/other,uid=7,gid=8,mode=0640 \
    --mount=type=ssh --network=default \
    stat -c 'other %a %u:%g' /agents/other && ls /run/buildkit && python3 /ask.py /agents/other
RUN --mount=type=ssh,id=absent ! test -e /run/buildkit/ssh_agent.0 && echo none is none
RUN test -z "$SSH_AUTH_SOCK" && ! test -e /run/buildkit && ! test -e /agents
USER nobody
RUN --mount=type=ssh,uid=65534 python3 /ask.py && echo mine
RUN --mount=type=ssh ! python3 /ask.py 2> /dev/null && echo not mine
RUN --mount=type=ssh,uid=65534 \
    ! python3 -c 'import socket; socket.create_connection(("10.0.2.2", 61000))' 2> /dev/null && \
    echo no way around
USER root
RUN ! python3 -c 'import socket; socket.create_connection(("10.0.2.2", 61000), \
    source_address=("0.0.0.0", 700))' 2> /dev/null && echo nothing without
"#;

#[test]
fn steps_that_mount_an_agent_reach_it_and_others_do_not() {
    let Some(agent) = Agent::start() else { return };
    let Some(build) = Build::new(STEPS) else { return };
    let socket = agent.socket();
    let options = ["default", "other"].map(|id| format!("{id}={}", socket.display()));
    let args = ["--ssh", &options[0], "--ssh", &options[1]];
    let shown = build.run(&args).expect_code(0).stderr_text();
    let told = format!(" message 12 keys 1 {COMMENT}");
    assert_eq!(shown.lines().filter(|line| line.ends_with(&told)).count(), 5, "{shown}");
    for line in [
        " default socket 600 0",
        " at /run/buildkit/ssh_agent.0",
        " other 640 7:8",
        " ssh_agent.1",
        " none is none",
        " mine",
        " not mine",
        " no way around",
        " nothing without",
    ] {
        assert!(shown.lines().any(|shown| shown.ends_with(line)), "{line} in {shown}");
    }
    drop(agent);
    let again = build.run(&[]).expect_code(0).stderr_text();
    assert!(!again.contains(&told), "the agent is part of the key: {again}");
    let mut command = build.lab.lithify();
    let script = "find / -xdev -type s; ls -d /agents /run/buildkit; true";
    command.arg("run").arg(build.folder.path().join("app.wasm")).args(["sh", "-c", script]);
    assert_eq!(run(&mut command).expect_code(0).stdout_text(), "");
}

#[test]
fn what_is_no_agent_is_told_with_its_place() {
    let Some(agent) = Agent::start() else { return };
    let Some(build) = Build::new("RUN --mount=type=ssh,id=deflaut,required true\n") else { return };
    let fails = |steps: &str, option: &str| {
        let dockerfile = format!("FROM debian:trixie-slim\n\n{steps}\n");
        let path = build.folder.path().join("context/Dockerfile");
        fs::write(path, dockerfile).expect("a Dockerfile");
        build.run(&["--ssh", option]).expect_code(1).stderr_text()
    };
    let given = |path: PathBuf| format!("default={}", path.display());
    let (socket, key) = (given(agent.socket()), given(agent.key()));
    for (flags, option, expected) in [
        (
            "--mount=type=ssh,id=deflaut,required",
            &socket,
            "the ssh agent `deflaut` is required and was not given; pass --ssh deflaut=SOCKET \
             (did you mean `default`?)",
        ),
        ("--mount=type=ssh", &key, "/key is not a socket; keys are held by an agent"),
        ("--mount=type=ssh", &"default=/no/agent".to_owned(), "/no/agent: No such file"),
        ("--network=none --mount=type=ssh", &socket, "which --network=none takes away"),
    ] {
        let said = fails(&format!("RUN {flags} true"), option);
        assert!(said.contains("error: Dockerfile:3: --mount=type=ssh"), "{said}");
        assert!(said.contains(expected), "{expected} in {said}");
    }
}
