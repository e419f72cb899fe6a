//! `RUN --mount`, and what of it must not stay.

use crate::support::{Lab, Outcome, run};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A context with a Dockerfile on the Debian base; its results have a store of their own.
struct Build {
    lab: &'static Lab,
    folder: TempDir,
}

impl Build {
    fn new(dockerfile: &str) -> Option<Self> {
        let lab = Lab::get()?;
        let build = Self { lab, folder: lab.temporary() };
        fs::create_dir_all(build.context().join("input")).expect("a folder");
        fs::write(build.context().join("input/file"), "from-context\n").expect("a file");
        fs::write(build.context().join("Dockerfile"), dockerfile).expect("a Dockerfile");
        Some(build)
    }

    fn context(&self) -> std::path::PathBuf {
        self.folder.path().join("context")
    }

    fn cache(&self) -> std::path::PathBuf {
        self.folder.path().join("cache")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.lab.build(&self.context(), &self.folder.path().join("app.wasm"));
        command.env("XDG_CACHE_HOME", self.cache()).args(["--progress", "plain"]).args(args);
        command
    }

    fn build(&self, args: &[&str]) -> Outcome {
        run(&mut self.command(args)).expect_code(0)
    }
}

const SECRET: &str = "correct-horse-battery-staple-7291";

const MOUNTS: &str = r#"
FROM debian:trixie-slim AS data
RUN mkdir -p /data/sub && echo from-stage > /data/sub/file && ln /data/sub/file /data/hard

FROM debian:trixie-slim
WORKDIR /work
RUN --mount=type=bind,source=input,target=in cat /work/in/file && ! touch /work/in/x
RUN --mount=type=bind,from=data,source=/data,target=/bound,rw \
    cat /bound/sub/file && stat -c 'links %h' /bound/hard && echo x > /bound/sub/file
RUN --mount=type=bind,from=data,source=/data/sub/file,target=/one/file cat /one/file
RUN --mount=type=tmpfs,target=/t,size=1m ! dd if=/dev/zero of=/t/x bs=1k count=1100 2> /dev/null
RUN --mount=type=cache,target=/cache,uid=65534,mode=0750 stat -c 'cache %a %u' /cache
RUN --mount=type=secret,id=token,uid=7 \
    stat -c 'secret %a %u %s' /run/secrets/token && sha256sum < /run/secrets/token
RUN --mount=type=secret,id=token,env=TOKEN test ${#TOKEN} = 33 && ! test -e /run/secrets/token
RUN --mount=type=secret,id=absent ! test -e /run/secrets/absent
RUN echo 192.0.2.1 mine >> /etc/hosts && echo gone > /etc/resolv.conf
RUN --network=none ! test -s /etc/resolv.conf && test "$(ls /sys/class/net)" != "" && cat /etc/hosts
RUN for made in /work/in /bound /one /t /cache /run/secrets /etc/hosts.new; do \
      ! test -e $made || exit 1; done
"#;

#[test]
fn mounts_show_what_they_should_and_leave_nothing() {
    let Some(build) = Build::new(MOUNTS) else { return };
    let secret = build.folder.path().join("token");
    fs::write(&secret, SECRET).expect("a file");
    let option = format!("id=token,src={}", secret.display());
    let shown = build.build(&["--secret", &option, "--add-host", "db:10.9.8.7"]).stderr_text();
    for line in [
        " from-context",
        " from-stage",
        " links 2",
        " cache 750 65534",
        " secret 400 7 33",
        " 10.9.8.7\tdb",
    ] {
        assert!(shown.lines().any(|shown| shown.ends_with(line)), "{line} in {shown}");
    }
    assert!(!shown.lines().any(|line| line.ends_with(" 192.0.2.1 mine")), "{shown}");
    let script = "cat /etc/hosts; ls -d /work/in /bound /one /t /cache /run/secrets 2> /dev/null";
    let mut command = build.lab.lithify();
    command.arg("run").arg(build.folder.path().join("app.wasm")).args(["sh", "-c", script]);
    let said = run(&mut command).stdout_text();
    assert!(!said.contains("192.0.2.1") && !said.contains("/work/in"), "{said}");
    assert_nowhere(build.folder.path(), &secret, SECRET.as_bytes());
}

/// No file of the store, no artifact holds the bytes.
fn assert_nowhere(folder: &Path, but: &Path, bytes: &[u8]) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            assert_nowhere(&path, but, bytes);
        } else if path != but {
            let content = fs::read(&path).expect("readable");
            let found = content.windows(bytes.len()).any(|window| window == bytes);
            assert!(!found, "{} holds the secret", path.display());
        }
    }
}

#[test]
fn caches_outlive_builds_and_failures() {
    let steps = |step: &str| {
        format!(
            "FROM debian:trixie-slim\nRUN --mount=type=cache,id=log,target=/log,sharing=locked {step}\n"
        )
    };
    let Some(build) = Build::new(&steps("echo first >> /log/lines")) else { return };
    build.build(&[]);
    let next = |step: &str| fs::write(build.context().join("Dockerfile"), steps(step)).unwrap();
    next("echo second >> /log/lines; rm -f /log/none; exit 3");
    let failed = run(&mut build.command(&[])).stderr_text();
    assert!(failed.contains("exit code: 3"), "{failed}");
    next("cat /log/lines && rm /log/lines");
    let shown = build.build(&[]).stderr_text();
    let order = [" first", " second"].map(|line| shown.find(line));
    assert!(order[0].is_some() && order[0] < order[1], "{shown}");
    next("ls -A /log | wc -l");
    let shown = build.build(&[]).stderr_text();
    assert!(shown.lines().any(|line| line.ends_with(" 0")), "{shown}");
}

#[test]
fn a_canceled_step_ends_at_once() {
    let Some(build) = Build::new("FROM debian:trixie-slim\nRUN echo begun; sleep infinity\n")
    else {
        return;
    };
    let mut command = build.command(&[]);
    let output = tempfile::NamedTempFile::new().expect("a file");
    command.stderr(output.reopen().expect("the file"));
    let mut child = command.spawn().expect("lithify starts");
    let said = || fs::read_to_string(output.path()).expect("text");
    let patience = Instant::now() + Duration::from_secs(120);
    while !said().lines().any(|line| line.ends_with(" begun")) {
        assert!(Instant::now() < patience, "{}", said());
        std::thread::sleep(Duration::from_millis(20));
    }
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupted.expect("kill").success());
    let status = child.wait().expect("it ends");
    assert!(!status.success(), "{}", said());
}

#[test]
fn wrong_mounts_are_told_with_their_place() {
    let dockerfile =
        "FROM debian:trixie-slim\n\nRUN --mount=type=bind,source=inptu,target=/x true\n";
    let Some(build) = Build::new(dockerfile) else { return };
    let failed = run(&mut build.command(&[])).expect_code(1).stderr_text();
    let expected = "error: Dockerfile:3: `inptu` does not exist in the build context \
                    (did you mean `input`?)";
    assert!(failed.contains(expected), "{failed}");
}

#[test]
fn a_sparse_file_stays_sparse() {
    let step = "RUN truncate -s 3G /sparse && echo end >> /sparse\nRUN stat -c 'size %s' /sparse\n";
    let Some(build) = Build::new(&format!("FROM debian:trixie-slim\n{step}")) else { return };
    let shown = build.build(&[]).stderr_text();
    assert!(shown.lines().any(|line| line.ends_with(" size 3221225476")), "{shown}");
    let artifact = fs::metadata(build.folder.path().join("app.wasm")).expect("an artifact");
    assert!(artifact.len() < 1 << 30, "{} bytes", artifact.len());
}
