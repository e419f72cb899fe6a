//! Programs that take the whole screen, used as somebody does who sits at a terminal.

use crate::support::{Artifact, Image, Lab, Mirror, Pty, run_within};
use std::time::Duration;

/// apt installs, in the guest.
const PATIENCE: Duration = Duration::from_secs(900);

const PROMPT: &str = "ready> ";
const ESCAPE: &str = "\x1b";
/// What a terminal is asked for its other screen with, and for the first one again.
const OTHER_SCREEN: &str = "\x1b[?1049h";
const FIRST_SCREEN: &str = "\x1b[?1049l";

/// Debian with less, top and vim, packed from a mirror on this host.
fn artifact() -> Option<Artifact> {
    let lab = Lab::get()?;
    let mirror = Mirror::serve()?;
    let wasm = lab.folder().join("screen.wasm");
    let mut build = lab.build(&Image::Debian.context().with_file_name("screen"), &wasm);
    build.args(["--add-host", "mirror:host-gateway"]);
    build.arg(format!("--build-arg=APT_SOURCE={}", mirror.apt_source("mirror")));
    run_within(PATIENCE, &mut build).expect_code(0);
    Some(Artifact::at(lab, wasm))
}

#[test]
#[ignore = "slow: installs packages in the guest"]
fn less_top_and_vim_are_usable() {
    let Some(artifact) = artifact() else { return };
    let shell = ["bash", "--norc", "--noprofile", "-i"];
    let mut pty = Pty::run(&artifact, &["-e", "PS1=ready> "], &shell);
    pty.expect(PROMPT);
    pages(&mut pty);
    edits(&mut pty);
    watches(&mut pty);
    // The line editor and the terminal's own modes are as they were.
    pty.send("stty -a | grep -o ' icanon .* echo '; exit 7\r");
    pty.expect("icanon");
    assert_eq!(pty.code(), (Some(7), None));
}

fn pages(pty: &mut Pty) {
    pty.send("seq 1000 2000 >/tmp/numbers; less /tmp/numbers\r");
    pty.expect(OTHER_SCREEN);
    // As many lines as the terminal has, but the one for commands.
    pty.expect("1022\r\n");
    pty.send(" ");
    pty.expect("1045\r\n");
    pty.send("/1777\r");
    pty.expect("1799\r\n");
    pty.send("G");
    pty.expect("2000\r\n");
    // Drawn anew, from the line that is the first.
    pty.resize(10, 40);
    pty.expect("1986\r\n");
    pty.send("q");
    pty.expect(FIRST_SCREEN);
    pty.expect(PROMPT);
    pty.resize(24, 80);
}

fn edits(pty: &mut Pty) {
    pty.send("vi /tmp/text\r");
    pty.expect("~");
    pty.send(&format!("ifirst line\rsecond{ESCAPE}"));
    pty.expect("second");
    pty.send("kddp:s/first/last/\r:wq\r");
    pty.expect("written");
    pty.expect(PROMPT);
    pty.send("tr '\\n' , </tmp/text\r");
    pty.expect("second,last line,");
    pty.expect(PROMPT);
}

fn watches(pty: &mut Pty) {
    pty.send("sleep 1000 & top\r");
    pty.expect("load average");
    pty.expect("PID");
    pty.expect("sleep");
    // By memory, then another look.
    pty.send("M ");
    pty.expect("bash");
    pty.send("q");
    pty.expect(PROMPT);
    pty.send("kill %1\r");
    pty.expect(PROMPT);
}
