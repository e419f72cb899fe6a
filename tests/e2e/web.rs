//! The artifact in a web page: its JavaScript on node's WebAssembly, and the page itself in a browser.

use crate::support::{Artifact, Image, Lab, Outcome, feed, run};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What `lithify web` makes of the Debian image, below a folder of the test's own.
fn page(below: &Path) -> Option<PathBuf> {
    let lab = Lab::get()?;
    let debian = Artifact::of(lab, Image::Debian);
    let folder = below.join("page");
    run(lab.lithify().arg("web").arg(debian.wasm()).arg("-o").arg(&folder)).expect_code(0);
    Some(folder)
}

/// Whether a program is there; says so if it is not.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("skipped: no {program}");
    }
    found
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/web").join(name)
}

fn in_node(page: &Path, options: &str, words: &[&str], input: &[u8]) -> Outcome {
    let mut command = Command::new("node");
    command.arg(source("machine.mjs")).arg(page).arg(options).args(words);
    feed(&mut command, input.to_vec())
}

#[test]
fn a_page_has_streams_variables_and_exit_codes() {
    let below = tempfile::tempdir().expect("a folder");
    let Some(page) = page(below.path()).filter(|_| has("node")) else { return };
    let script = "tr a-z A-Z; sleep 0.3; echo $WHO >&2; exit 77";
    let input = b"a line\n".repeat(30_000);
    let outcome = in_node(&page, "{}", &["bash", "-c", script], &input).expect_code(77);
    assert!(outcome.stdout_text() == "A LINE\n".repeat(30_000), "{} bytes", outcome.stdout.len());
    assert_eq!(outcome.stderr_text(), "you\n");
    let clock = in_node(&page, "{}", &["date", "+%s"], b"").stdout_text();
    let now = std::time::UNIX_EPOCH.elapsed().expect("past 1970").as_secs();
    let clock: u64 = clock.trim().parse().expect("seconds");
    assert!(now.abs_diff(clock) < 60, "{clock}, not {now}");
}

#[test]
fn a_page_has_a_terminal_and_signals() {
    let below = tempfile::tempdir().expect("a folder");
    let Some(page) = page(below.path()).filter(|_| has("node")) else { return };
    let size = r#"{"terminal":{"rows":31,"columns":97}}"#;
    let outcome = in_node(&page, size, &["bash", "-c", "tty; stty size"], b"").expect_code(0);
    assert_eq!(outcome.stdout_text(), "/dev/pts/0\r\n31 97\r\n");
    let script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let signals = r#"{"signals":{"ready":15}}"#;
    let outcome = in_node(&page, signals, &["bash", "-c", script], b"").expect_code(9);
    assert_eq!(outcome.stdout_text(), "ready\ncaught\n");
}

#[test]
fn a_page_replaces_nothing() {
    let below = tempfile::tempdir().expect("a folder");
    let Some(page) = page(below.path()) else { return };
    let names = |folder: &Path| fs::read_dir(folder).expect("a folder").count();
    let before = names(&page);
    let lab = Lab::get().expect("it made the page");
    let artifact = page.join("app.wasm");
    let mut again = lab.lithify();
    run(again.arg("web").arg(&artifact).arg("-o").arg(&page)).expect_error(125, &["page: "]);
    let mut other = lab.lithify();
    run(other.arg("web").arg(page.join("wasi.js"))).expect_error(125, &["wasi.js"]);
    assert_eq!((names(&page), names(below.path())), (before, 1));
}

/// Ends its program when it is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "slow: starts a browser"]
fn a_browser_shows_what_the_artifact_prints() {
    let below = tempfile::tempdir().expect("a folder");
    let Some(page) = page(below.path()).filter(|_| has("chromium")) else { return };
    let mut server = Command::new("python3");
    server.arg(source("server.py")).arg(page).arg(source("visitor.js"));
    let mut server = Ended(server.stdout(Stdio::piped()).spawn().expect("python3"));
    let mut told = BufReader::new(server.0.stdout.take().expect("piped")).lines();
    let mut told = || told.next().expect("a line").expect("text");
    let script = "echo%20oops%20%3E%262;echo%20name%3F;read%20n;echo%20hello%20$n;exit%203";
    let address = format!("http://127.0.0.1:{}/?arg=bash&arg=-c&arg={script}", told());
    let mut browser = Command::new("chromium");
    browser.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]);
    browser.arg(format!("--user-data-dir={}", below.path().join("profile").display()));
    let browser = browser.arg(address).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _browser = Ended(browser.expect("chromium"));
    let shown =
        r#"{"shown":"oops\nname?\nhello Flint\n","stderr":"oops\n","state":"ended with 3"}"#;
    assert_eq!(told(), shown);
}
