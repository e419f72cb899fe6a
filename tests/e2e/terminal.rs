//! `lithify run -it`: the container has a terminal, and the user's is as it was afterwards.

use crate::support::{Artifact, Image, Lab, Pty, run};
use rustix::process::Signal;
use rustix::termios::{LocalModes, Termios};
use std::time::Duration;

const PROMPT: &str = "ready> ";
const PROMPTING: [&str; 2] = ["-e", "PS1=ready> "];
const BASH: [&str; 4] = ["bash", "--norc", "--noprofile", "-i"];
const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";
const CTRL_BACKSLASH: &str = "\x1c";

#[test]
fn bash_controls_jobs() {
    let Some(lab) = Lab::get() else { return };
    let mut pty = Pty::run(&Artifact::of(lab, Image::Debian), &PROMPTING, &BASH);
    pty.expect(PROMPT);
    pty.send("sleep 100 &\r");
    pty.expect("[1] ");
    pty.send("jobs\r");
    pty.expect("Running                 sleep 100");
    // Quoted, so that what is typed is not what is waited for.
    let forever = "while :; do sleep 1; done";
    // Not sh: dash starts `sleep` by vfork, and cannot stop before a child that was stopped in there.
    let job = format!("bash -c 'trap \"echo res\"\"umed\" CONT; echo u\"\"p; {forever}'\r");
    pty.send(&job);
    pty.expect("up\r\n");
    pty.send(CTRL_Z);
    pty.expect("Stopped");
    pty.expect(PROMPT);
    pty.send("fg\r");
    pty.expect("resumed\r\n");
    pty.send(CTRL_C);
    pty.expect(PROMPT);
    pty.send("echo code=$?\r");
    pty.expect("code=130");
    pty.send("sh -c 'echo u\"\"p; exec sleep 300'\r");
    pty.expect("up\r\n");
    pty.send(CTRL_BACKSLASH);
    pty.expect("Quit");
    pty.send("kill %1; exit 3\r");
    assert_eq!(pty.code(), (Some(3), None));
}

#[test]
fn the_container_sees_a_terminal_of_the_user_s_size() {
    let Some(lab) = Lab::get() else { return };
    let mut pty = Pty::run(&Artifact::of(lab, Image::Debian), &PROMPTING, &BASH);
    pty.expect(PROMPT);
    pty.send("echo $(tty) $TERM $(stty size)\r");
    pty.expect("/dev/pts/0 xterm 24 80");
    pty.resize(40, 132);
    pty.repeat_until("stty size\r", "40 132");
    pty.send("exit\r");
    assert_eq!(pty.code(), (Some(0), None));
}

#[test]
fn the_terminal_belongs_to_the_container_s_user() {
    let Some(lab) = Lab::get() else { return };
    let debian = Artifact::of(lab, Image::Debian);
    let script = "stat -c %u $(tty) && echo mine >/dev/tty";
    let mut pty = Pty::run(&debian, &["-u", "65534"], &["sh", "-c", script]);
    pty.expect("65534\r\nmine\r\n");
    assert_eq!(pty.code(), (Some(0), None));
}

/// What `cfmakeraw` changes.
fn modes(termios: &Termios) -> [u32; 4] {
    let Termios { input_modes, output_modes, control_modes, local_modes, .. } = termios;
    [input_modes.bits(), output_modes.bits(), control_modes.bits(), local_modes.bits()]
}

#[test]
fn every_end_restores_the_user_s_terminal() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let ends: [(&str, &[Signal], i32); 4] = [
        ("read line; exit 4", &[], 4),
        ("read line; exec /no/such/program", &[], 127),
        ("exec cat", &[Signal::TERM], 143),
        ("trap '' INT; cat", &[Signal::INT; 600], 130),
    ];
    for (end, signals, code) in ends {
        let mut pty = Pty::run(&shell, &[], &["sh", "-c", &format!("read line; echo up; {end}")]);
        pty.send("go\r");
        pty.expect("up\r\n");
        assert!(!pty.modes().1.local_modes.contains(LocalModes::ICANON), "{end}: not raw");
        for signal in signals {
            if pty.has_ended() {
                break;
            }
            pty.signal(*signal);
            std::thread::sleep(Duration::from_millis(100));
        }
        if signals.is_empty() {
            pty.send("end\r");
        }
        assert_eq!(pty.code(), (Some(code), None), "{end}");
        let (before, after) = pty.modes();
        assert_eq!(modes(&after), modes(&before), "{end}");
    }
}

#[test]
fn a_stopped_runner_gives_the_terminal_back_until_it_goes_on() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    let mut pty = Pty::run(&shell, &[], &["sh", "-c", "echo up; read line; echo got $line"]);
    pty.expect("up\r\n");
    let (before, raw) = pty.modes();
    pty.signal(Signal::TSTP);
    pty.wait_until("stopped", |pty| pty.state() == 'T');
    assert_eq!(modes(&pty.modes().1), modes(&before));
    pty.signal(Signal::CONT);
    pty.wait_until("raw again", |pty| modes(&pty.modes().1) == modes(&raw));
    pty.send("it\r");
    pty.expect("got it\r\n");
    assert_eq!(pty.code(), (Some(0), None));
    assert_eq!(modes(&pty.modes().1), modes(&before));
}

#[test]
fn a_terminal_needs_one_on_standard_input() {
    let Some(lab) = Lab::get() else { return };
    let shell = Artifact::of(lab, Image::Shell("shell"));
    run(lab.lithify().args(["run", "-it"]).arg(shell.ours()).arg("cat"))
        .expect_error(125, &["the input device is not a TTY"]);
}
