//! Runs that end as artifacts, which go on where they stood.

use crate::support::{Artifact, Lab, Outcome, Runtime, run};
use crate::warm::{build, free_port, request};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The cold artifact of a target.
fn cold(lab: &'static Lab, target: &str) -> PathBuf {
    static COUNT: OnceLock<PathBuf> = OnceLock::new();
    let built = || {
        let (output, outcome) = build(lab, target, &[]);
        outcome.expect_code(0);
        output
    };
    if target == "count" { COUNT.get_or_init(built).clone() } else { built() }
}

fn save(lab: &Lab, from: &Path, to: &Path, point: &str) -> Outcome {
    let mut command = lab.lithify();
    run(command.args(["run", "--save-on", point, "--save"]).arg(to).arg(from))
}

fn numbers(outcome: &Outcome) -> Vec<u32> {
    outcome.stdout_text().lines().map(|line| line.parse().expect("a number")).collect()
}

#[test]
fn a_saved_run_goes_on_as_often_as_one_likes_and_can_be_saved_again() {
    let Some(lab) = Lab::get() else { return };
    let folder = lab.temporary();
    let (first, second) = (folder.path().join("first.wasm"), folder.path().join("second.wasm"));
    let outcome = save(lab, &cold(lab, "count"), &first, "line:^4$").expect_code(0);
    assert!(outcome.stderr_text().contains("saved as "), "{}", outcome.stderr_text());
    let mut printed = numbers(&outcome);
    let outcome = save(lab, &first, &second, "line:^8$").expect_code(0);
    printed.extend(numbers(&outcome));
    let second = Artifact::at(lab, second);
    for runtime in Runtime::BOTH.into_iter().cycle().take(4) {
        let outcome = runtime.run(&second, &[]).expect_code(0);
        // No line is lost, none is printed twice.
        let all: Vec<u32> = printed.iter().copied().chain(numbers(&outcome)).collect();
        assert_eq!(all, Vec::from_iter(1..=12), "{runtime:?}");
    }
    let mut inspect = lab.lithify();
    let report = run(inspect.args(["inspect", "--json"]).arg(second.wasm())).expect_code(0);
    assert!(report.stdout_text().contains(r#""running": true"#), "{}", report.stdout_text());
}

#[test]
fn runs_that_cannot_be_saved_say_why() {
    let Some(lab) = Lab::get() else { return };
    let folder = lab.temporary();
    let (wasm, saved) = (cold(lab, "count"), folder.path().join("saved.wasm"));
    let outcome = save(lab, &wasm, &saved, "file:/never").expect_code(125);
    let message = outcome.stderr_text();
    assert!(message.contains("ended with exit code 0 before it was saved"), "{message}");

    let unwritable = folder.path().join("missing/saved.wasm");
    let message = save(lab, &wasm, &unwritable, "exec").expect_code(125).stderr_text();
    assert!(message.contains("cannot save the machine as "), "{message}");

    let mut command = lab.lithify();
    let volume = format!("{}:/data", folder.path().display());
    command.args(["run", "--volume", &volume, "--save"]).arg(&saved).arg(&wasm);
    run(&mut command).expect_error(2, &["--save: host directories are mounted"]);

    let compiled = Artifact::at(lab, wasm);
    save(lab, compiled.ours(), &saved, "exec").expect_error(2, &["only runs of a .wasm"]);

    let mut command = lab.lithify();
    run(command.args(["freeze", "nobody"])).expect_error(125, &["no run is named `nobody`"]);
    assert!(!saved.exists());
}

/// A named run of the service, with two ports published.
struct Service {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    ports: [u16; 2],
    folder: TempDir,
}

impl Service {
    fn start(lab: &Lab, wasm: &Path, name: &str) -> Self {
        let ports = [free_port(), free_port()];
        let mut command = lab.lithify();
        command.args(["run", "-i", "--name", name]);
        command.args(["-p", &format!("127.0.0.1:{}:8080", ports[0])]);
        command.args(["-p", &format!("127.0.0.1:{}:8081", ports[1])]).arg(wasm);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, stdout, ports, folder: lab.temporary() }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn freeze(lab: &Lab, name: &str, to: &Path) -> Command {
    let mut command = lab.lithify();
    command.args(["freeze", name, "-o"]).arg(to);
    command
}

#[test]
fn a_named_server_is_frozen_and_its_connections_are_reset() {
    let Some(lab) = Lab::get() else { return };
    let mut service = Service::start(lab, &cold(lab, "service"), "e2e-service");
    assert!(service.line().starts_with("serving"));
    assert!(request(service.ports[0]).contains("/first "));
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, service.ports[1])).expect("open");
    connection.write_all(b"hello\n").expect("taken");
    assert_eq!(service.line(), "line hello");

    let saved = service.folder.path().join("saved.wasm");
    let outcome = run(&mut freeze(lab, "e2e-service", &saved)).expect_code(0);
    assert_eq!(outcome.stdout_text().trim_end(), saved.to_str().expect("text"));
    let status = service.child.wait().expect("a child of this process");
    assert!(status.success(), "{status}");
    // The client learns that the server is gone.
    assert!(matches!(connection.read(&mut [0]), Ok(0) | Err(_)));

    let mut thawed = Service::start(lab, &saved, "e2e-thawed");
    assert_eq!(thawed.line(), "reset");
    assert!(request(thawed.ports[0]).contains("/first "));
    writeln!(thawed.child.stdin.as_ref().expect("piped"), "kept").expect("taken");
    assert_eq!(thawed.line(), "kept 5");
}
