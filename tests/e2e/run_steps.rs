//! RUN: commands executed while building, and what they leave in the image.

use crate::support::{Lab, Outcome, run};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A build of a Dockerfile on the Debian base, in a folder of its own.
struct Build {
    lab: &'static Lab,
    folder: TempDir,
}

impl Build {
    fn new(steps: &str) -> Option<Self> {
        let lab = Lab::get()?;
        let folder = lab.temporary();
        fs::create_dir(folder.path().join("context")).expect("a folder");
        let dockerfile = format!("FROM debian:trixie-slim\n{steps}");
        fs::write(folder.path().join("context/Dockerfile"), dockerfile).expect("a Dockerfile");
        Some(Self { lab, folder })
    }

    fn artifact(&self) -> PathBuf {
        self.folder.path().join("app.wasm")
    }

    fn command(&self) -> Command {
        self.lab.build(&self.folder.path().join("context"), &self.artifact())
    }

    fn build(&self) -> Outcome {
        run(self.command().args(["--progress", "plain"])).expect_code(0)
    }

    /// What `script` prints in the image that was built.
    fn says(&self, script: &str) -> String {
        let mut command = self.lab.lithify();
        command.arg("run").arg(self.artifact()).args(["sh", "-c", script]);
        run(&mut command).expect_code(0).stdout_text()
    }
}

const STEPS: &str = r#"
ENV NAME=env
ARG NAME=arg GREETING=hello
RUN echo a > /a && ln /a /b && chmod 4711 /a && rm /etc/debian_version && rm -r /srv && mkdir /srv
WORKDIR /srv/work
USER nobody
RUN <<EOF
  id -un > /tmp/who
  echo "$GREETING $NAME $HOME $PWD" >> /tmp/who
EOF
USER root
RUN cat <<X <<'Y' > /heredoc
$NAME
X
$NAME
Y
"#;

#[test]
fn changes_of_commands_are_in_the_image() {
    let Some(build) = Build::new(STEPS) else { return };
    build.build();
    let script = "stat -c '%a %h %U %n' /a /b /tmp/who /srv/work
        test -e /etc/debian_version || echo gone
        cat /tmp/who /heredoc";
    let expected = "4711 2 root /a\n4711 2 root /b\n644 1 nobody /tmp/who\n755 2 root /srv/work\n\
                    gone\nnobody\nhello env /nonexistent /srv/work\n$NAME\n";
    assert_eq!(build.says(script), expected);
}

#[test]
fn equal_commands_give_equal_bytes() {
    let Some(build) = Build::new(STEPS) else { return };
    build.build();
    let first = fs::read(build.artifact()).expect("an artifact");
    build.build();
    let second = fs::read(build.artifact()).expect("an artifact");
    let difference = first.iter().zip(&second).position(|(a, b)| a != b);
    assert_eq!((difference, first.len()), (None, second.len()));
}

#[test]
fn output_is_shown_with_step_and_time() {
    let step = "RUN echo out; printf '\\033[2Jerr' >&2; cat; hostname\n";
    let Some(build) = Build::new(step) else { return };
    let shown = build.build().stderr_text();
    let mut lines: Vec<&str> = shown.lines().filter_map(output_of_step_2).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["lithify", "out", "\u{fffd}[2Jerr"], "{shown}");
}

/// The text of a line `#2 SECONDS TEXT`.
fn output_of_step_2(line: &str) -> Option<&str> {
    let (seconds, text) = line.strip_prefix("#2 ")?.split_once(' ')?;
    seconds.parse::<f64>().ok().map(|_| text)
}

#[test]
fn failing_command_ends_the_build() {
    let Some(build) = Build::new("RUN echo reason; \\\n  exit 3\nRUN true\n") else { return };
    let message = "Dockerfile:2: process \"/bin/sh -c echo reason;   exit 3\" did not complete \
                   successfully: exit code: 3";
    for mode in ["--progress=plain", "--quiet"] {
        let parts = [message, ">>> RUN echo reason", " reason\n", "#2 "];
        run(build.command().arg(mode)).expect_error(1, &parts);
        assert!(!build.artifact().exists());
    }
}

#[test]
fn command_that_cannot_start_is_named() {
    for (step, parts) in [
        ("RUN [\"/nowhere\"]\n", &["Dockerfile:2", "\"/nowhere\"", "could not be started"][..]),
        ("USER nobodyy\nRUN true\n", &["Dockerfile:3", "nobodyy", "/etc/passwd"]),
        ("RUN --device=gpu true\n", &["Dockerfile:2", "--device=gpu", "no devices of the host"]),
    ] {
        let Some(build) = Build::new(step) else { return };
        run(&mut build.command()).expect_error(1, parts);
    }
}

#[test]
fn too_little_memory_for_commands_is_refused() {
    let Some(build) = Build::new("RUN true\n") else { return };
    let parts = ["Dockerfile:2", "the machine for RUN", "memory"];
    run(build.command().args(["--build-memory", "4m"])).expect_error(1, &parts);
}
