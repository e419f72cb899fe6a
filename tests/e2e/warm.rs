//! Artifacts whose program runs already: it is ready when they start, and shares nothing with others.

use crate::support::{Artifact, Image, Lab, Outcome, Runtime, feed, run};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far the guest's clock may be from the host's.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(50);

/// Builds a target of `images/warm`.
pub(crate) fn build(lab: &Lab, target: &str, options: &[&str]) -> (PathBuf, Outcome) {
    let point = options.join("-").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let output = lab.folder().join(format!("warm-{target}{point}.wasm"));
    let mut command = lab.build(&Image::Warm.context(), &output);
    command.args(["--target", target, "--progress", "plain"]).args(options);
    (output, run(&mut command))
}

fn built(lab: &'static Lab, target: &str, options: &[&str]) -> Artifact {
    let (output, outcome) = build(lab, target, options);
    outcome.expect_code(0);
    Artifact::at(lab, output)
}

/// The service, frozen when it says that it is ready.
fn service(lab: &'static Lab) -> &'static Artifact {
    static SERVICE: OnceLock<Artifact> = OnceLock::new();
    SERVICE.get_or_init(|| built(lab, "service", &["--warm", "notify"]))
}

#[test]
fn programs_are_ready_in_many_ways_and_what_they_printed_is_not_printed_again() {
    let Some(lab) = Lab::get() else { return };
    for (target, point) in [("line", "line:^ready$"), ("file", "file:/ready"), ("exec", "exec")] {
        let artifact = built(lab, target, &["--warm", point]);
        for runtime in Runtime::BOTH {
            let outcome = runtime.feed(&artifact, &[], b"word\n".to_vec()).expect_code(0);
            assert_eq!(outcome.stdout_text(), "got word\n", "{target}, {runtime:?}");
        }
    }
}

#[test]
fn what_a_program_prints_before_it_is_ready_is_shown_to_who_builds() {
    let Some(lab) = Lab::get() else { return };
    // Of a target of its own: what was built before is not built again.
    let (_, outcome) = build(lab, "line", &["--warm", "line:^ready", "--label", "shown=1"]);
    let shown = outcome.expect_code(0).stderr_text();
    assert!(shown.contains(" starting\n") && shown.contains(" ready\n"), "{shown}");
}

#[test]
fn two_warm_builds_give_the_same_bytes() {
    let Some(lab) = Lab::get() else { return };
    let first = built(lab, "line", &["--warm", "line:^ready$"]);
    let folder = lab.temporary();
    let output = folder.path().join("second.wasm");
    let mut command = lab.build(&Image::Warm.context(), &output);
    command.args(["--target", "line", "--warm", "line:^ready$"]);
    command.env("XDG_CACHE_HOME", folder.path().join("cache"));
    run(&mut command).expect_code(0);
    let [first, second] =
        [first.wasm(), &output].map(|path| std::fs::read(path).expect("an artifact"));
    let difference = first.iter().zip(&second).position(|(a, b)| a != b);
    assert_eq!((difference, first.len()), (None, second.len()), "first different byte");
}

#[test]
fn programs_that_do_not_get_ready_fail_the_build_with_what_they_said() {
    let Some(lab) = Lab::get() else { return };
    let ended =
        "the program ended with exit code 7 before it was ready; its last output:\nfirst\nlast";
    let timeout = "the program was not ready after 5 seconds of its own time";
    let silent = "the program did not answer `GET /a HTTP/1.1` within 5 seconds of its own time";
    for (target, options, expected) in [
        ("dies", &["--warm", "port:80"][..], ended),
        ("never-ready", &["--warm", "port:80", "--warm-timeout", "5s"], timeout),
        ("never-ready", &["--warm", "port:80", "--warm-get", "/a", "--warm-timeout", "5s"], silent),
        ("missing", &["--warm", "exec"], "exec \"/no/such/program\": no such file or directory"),
    ] {
        let (output, outcome) = build(lab, target, options);
        outcome.expect_error(1, &[expected]);
        assert!(!output.exists(), "{target}");
    }
    for (options, expected) in [
        (&["--warm", "port:http"][..], "a port from 1 to 65535, found `http`"),
        (&["--warm", "exec", "--warm-get", "/"], "not known without --warm port:NUMBER"),
        (&["--warm", "port:80", "--warm-get", "index.html"], "expected a path as in a URL"),
    ] {
        let (_, outcome) = build(lab, "line", options);
        outcome.expect_error(2, &["--warm", expected]);
    }
}

#[test]
fn a_program_that_runs_takes_nothing_that_only_a_start_can_give() {
    let Some(lab) = Lab::get() else { return };
    let artifact = built(lab, "exec", &["--warm", "exec"]);
    for runtime in Runtime::BOTH {
        let outcome = runtime.run(&artifact, &["other", "words"]).expect_code(125);
        let message = outcome.stderr_text();
        assert!(message.contains("runs already in this artifact"), "{message}");
        assert!(message.contains("it takes no arguments"), "{message}");
    }
    let folder = lab.temporary();
    let volume = format!("{}:/data", folder.path().display());
    for (options, what) in [
        (&["--user", "1"][..], "no other user"),
        (&["--workdir", "/"], "no other working directory"),
        (&["--entrypoint", "sh"], "no other entrypoint"),
        (&["--volume", &volume], "no host directories"),
    ] {
        let mut command = lab.lithify();
        command.arg("run").args(options).arg(artifact.ours());
        let message = run(&mut command).expect_code(125).stderr_text();
        assert!(message.contains(what), "{message}");
    }
}

#[test]
fn a_hook_that_fails_ends_the_start() {
    let Some(lab) = Lab::get() else { return };
    let artifact = built(lab, "bad-hook", &["--warm", "line:^ready$"]);
    let outcome = Runtime::Ours.feed(&artifact, &[], b"word\n".to_vec()).expect_code(125);
    let message = outcome.stderr_text();
    assert!(message.contains("hook /etc/lithify/thaw.d/50-bad failed: exit code 3"), "{message}");
    assert_eq!(outcome.stdout_text(), "");
}

/// Asks the service; its answers by line.
fn ask(runtime: Runtime, questions: &[&str]) -> Vec<String> {
    let Some(lab) = Lab::get() else { return Vec::new() };
    let mut command = runtime.command(service(lab), &["SETTING=early"], &[]);
    let questions = questions.join("\n") + "\n";
    let outcome = feed(&mut command, questions.into_bytes()).expect_code(0);
    outcome.stdout_text().lines().map(str::to_owned).collect()
}

#[test]
fn thaws_of_a_running_program_share_neither_randomness_nor_identity() {
    if Lab::get().is_none() {
        return;
    }
    let questions = ["token", "openssl", "name", "machine-id"];
    let thaws: Vec<_> =
        Runtime::BOTH.into_iter().cycle().take(4).map(|runtime| ask(runtime, &questions)).collect();
    // The first line is what was on its way out, if anything.
    for (at, question) in questions.iter().enumerate() {
        let values: HashSet<&str> =
            thaws.iter().map(|lines| last(lines, questions.len())[at].as_str()).collect();
        assert_eq!(values.len(), thaws.len(), "{question}: {values:?}");
    }
    for lines in &thaws {
        let names = &last(lines, questions.len())[2];
        let (kernel_s, file_s) = names.split_once(' ').expect("two names");
        assert_eq!(kernel_s, file_s);
    }
}

/// The answers, without what the service prints when it is ready.
fn last(lines: &[String], count: usize) -> &[String] {
    &lines[lines.len() - count..]
}

#[test]
fn a_running_program_hears_of_the_thaw_and_keeps_its_connections_to_itself() {
    if Lab::get().is_none() {
        return;
    }
    let questions = ["hook", "signals", "local", "kept"];
    for runtime in Runtime::BOTH {
        let lines = ask(runtime, &questions);
        let lines = last(&lines, questions.len());
        assert_eq!(lines[..2], ["hook early", "CONT"], "{runtime:?}");
        assert!(lines[2].starts_with("/local "), "{lines:?}");
        assert_eq!(lines[3], "kept 5", "{runtime:?}");
    }
}

#[test]
fn monotonic_time_goes_on_and_the_wall_clock_is_the_host_s() {
    if Lab::get().is_none() {
        return;
    }
    let before = now();
    let lines = ask(Runtime::Ours, &["monotonic", "realtime"]);
    let after = now();
    let lines = last(&lines, 2);
    let seconds = |text: &str| Duration::from_secs_f64(text.parse().expect("seconds"));
    // The build has no clock but the program's own, which starts with the machine.
    assert!(seconds(&lines[0]) < Duration::from_secs(100), "{lines:?}");
    let guest = seconds(&lines[1]);
    assert!(before <= guest + CLOCK_TOLERANCE && guest <= after + CLOCK_TOLERANCE, "{lines:?}");
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

/// A port that nobody listens to for the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("bound").port()
}

/// The answer to the first request, as soon as somebody answers.
pub(crate) fn request(port: u16) -> String {
    get(port, "/first")
}

/// The answer to a request for `path`, as soon as somebody answers.
fn get(port: u16, path: &str) -> String {
    /// A start that takes longer hangs.
    const PATIENCE: Duration = Duration::from_secs(60);
    let start = Instant::now();
    loop {
        let answer = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(|mut connection| {
            write!(connection, "GET {path} HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer)?;
            Ok(answer)
        });
        match answer {
            Ok(answer) if !answer.is_empty() => return answer,
            _ if start.elapsed() > PATIENCE => panic!("no answer: {answer:?}"),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn a_running_server_answers_at_a_published_port() {
    let Some(lab) = Lab::get() else { return };
    let port = free_port();
    let mut command = lab.lithify();
    command.args(["run", "-i", "-p", &format!("127.0.0.1:{port}:8080")]).arg(service(lab).ours());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the command starts");
    let answer = request(port);
    assert!(answer.starts_with("HTTP/1.0 200") && answer.contains("/first "), "{answer}");
    drop(child.stdin.take());
    let status = child.wait().expect("it ends with its input");
    assert!(status.success(), "{status}");
    let mut rest = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut rest).expect("text");
    assert_eq!(rest, "");
}

/// A server at a published port, killed without a word when it is dropped.
struct Served {
    child: Child,
    port: u16,
}

impl Served {
    fn start(artifact: &Artifact) -> Self {
        let port = free_port();
        let mut command = artifact.lab().lithify();
        command.args(["run", "-p", &format!("127.0.0.1:{port}:8080")]).arg(artifact.ours());
        let child = command.stdin(Stdio::null()).spawn().expect("the command starts");
        Self { child, port }
    }

    /// The last line of the answer.
    fn get(&self, path: &str) -> String {
        get(self.port, path).lines().last().unwrap_or_default().to_owned()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_database_behind_a_server_keeps_what_was_written_before_the_freeze() {
    let Some(lab) = Lab::get() else { return };
    let visits = ["--warm", "port:8080", "--warm-get", "/add/7", "--warm-get", "/add/11"];
    let artifact = built(lab, "orders", &visits);
    let first = Served::start(&artifact);
    assert_eq!(first.get("/add/100"), "3 orders, 118, ok");
    // A second machine has the frozen state, and a life of its own.
    let second = Served::start(&artifact);
    assert_eq!(second.get("/add/1"), "3 orders, 19, ok");
    assert_eq!(first.get("/add/1000"), "4 orders, 1118, ok");
    drop(first);
    assert_eq!(second.get("/"), "3 orders, 19, ok");
    // After a kill there is nothing to recover.
    assert_eq!(Served::start(&artifact).get("/"), "2 orders, 18, ok");
}

#[test]
#[ignore = "slow: freezes a large program"]
fn large_programs_are_ready_at_once() {
    let Some(lab) = Lab::get() else { return };
    let artifact = built(lab, "imports", &["--warm", "line:^ready$"]);
    for runtime in Runtime::BOTH {
        let outcome = runtime.feed(&artifact, &[], b"hello\n".to_vec()).expect_code(0);
        assert_eq!(outcome.stdout_text(), "hello\n", "{runtime:?}");
    }
}

#[test]
#[ignore = "slow: fills a database in the guest"]
fn a_database_in_the_middle_of_a_transaction_keeps_its_data_right() {
    let Some(lab) = Lab::get() else { return };
    let artifact = built(lab, "ledger", &["--warm", "line:^ready$"]);
    const SUM: u64 = 4999 * 5000 / 2;
    for runtime in Runtime::BOTH {
        let outcome = runtime.feed(&artifact, &[], b"41\n100\n".to_vec()).expect_code(0);
        let expected = format!("{} {SUM} ok\n{} {SUM} ok\n", SUM + 42, SUM + 142);
        assert_eq!(outcome.stdout_text(), expected, "{runtime:?}");
    }
}
