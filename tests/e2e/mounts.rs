//! Directories of the host in the container.

use crate::support::{Artifact, Image, Lab, Outcome, Runtime, run};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const OPERATIONS: &str = include_str!("mounts/operations.py");
const LEDGER: &str = include_str!("mounts/ledger.py");

/// A folder of the host and an artifact that sees it as `/data`.
struct Shared {
    debian: Arc<Artifact>,
    folder: TempDir,
}

impl Shared {
    fn new() -> Option<Self> {
        let lab = Lab::get()?;
        Some(Self { debian: Artifact::of(lab, Image::Debian), folder: lab.temporary() })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("the folder is writable");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).expect("the guest has written it")
    }

    /// The command that runs `args` in the guest.
    fn command(&self, runtime: Runtime, args: &[&str]) -> Command {
        let host = self.path().display();
        let mut command = match runtime {
            Runtime::Stock => self.debian.lab().wasmtime(),
            Runtime::Ours => self.debian.lab().lithify(),
        };
        match runtime {
            Runtime::Stock => command
                .args(["run", "--allow-precompiled", "--dir", &format!("{host}::/data")])
                .arg(self.debian.stock()),
            Runtime::Ours => command
                .args(["run", "--interactive", "--volume", &format!("{host}:/data")])
                .arg(self.debian.ours()),
        };
        command.args(args);
        command
    }

    fn run(&self, runtime: Runtime, script: &str) -> Outcome {
        run(&mut self.command(runtime, &["bash", "-c", script]))
    }

    /// `lithify run` with these options.
    fn ours(&self, options: &[&str], script: &str) -> Outcome {
        let mut command = self.debian.lab().lithify();
        command.arg("run").args(options).arg(self.debian.ours());
        run(command.args(["bash", "-c", script]))
    }
}

#[test]
fn every_operation_works() {
    let Some(shared) = Shared::new() else { return };
    for runtime in Runtime::BOTH {
        let name = format!("{runtime:?}");
        fs::create_dir(shared.path().join(&name)).expect("a folder of its own");
        let program = ["python3", "-c", OPERATIONS, &format!("/data/{name}")];
        let outcome = run(&mut shared.command(runtime, &program)).expect_code(0);
        assert_eq!(outcome.stdout_text(), "ok\n", "{runtime:?}");
        assert_eq!(shared.read(&format!("{name}/log")), "12");
    }
}

#[test]
fn both_sides_see_each_other_s_writes_in_an_open_file() {
    let Some(shared) = Shared::new() else { return };
    for runtime in Runtime::BOTH {
        shared.write("talk", "from the host\n");
        let script = "exec 3<>/data/talk; head -1 <&3; echo ready; read; cat /data/talk; \
            cat <&3; echo from the guest >&3; stat -c %s /data/talk; echo done; read";
        let mut child = shared
            .command(runtime, &["bash", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the runtime starts");
        let mut stdin = child.stdin.take().expect("piped");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut until = |last: &str| -> Vec<String> {
            let lines = lines.by_ref().map(|line| line.expect("the guest writes text"));
            lines.take_while(|line| line != last).collect()
        };
        assert_eq!(until("ready"), ["from the host"], "{runtime:?}");
        let mut file = fs::File::options().append(true).open(shared.path().join("talk")).unwrap();
        file.write_all(b"more of the host\n").expect("the file is writable");
        stdin.write_all(b"\n").expect("the guest reads");
        let seen = until("done");
        assert_eq!(seen[..2], ["from the host", "more of the host"], "{runtime:?}");
        assert_eq!(seen.last().map(String::as_str), Some("46"), "{runtime:?}");
        assert!(shared.read("talk").ends_with("from the guest\n"), "{runtime:?}");
        drop(stdin);
        child.wait().expect("the guest ends");
    }
}

#[test]
fn writers_on_both_sides_lose_nothing() {
    let Some(shared) = Shared::new() else { return };
    const LINES: usize = 300;
    shared.write("log", "");
    let script = format!("for i in {{1..{LINES}}}; do echo guest $i >> /data/log; done");
    let done = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut log = fs::File::options().append(true).open(shared.path().join("log")).unwrap();
            let mut written = 0;
            while !done.load(Ordering::Relaxed) {
                written += 1;
                // In one piece, which formatting into the file would not be.
                let line = format!("host {written}\n");
                log.write_all(line.as_bytes()).expect("the file is writable");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            written
        });
        shared.run(Runtime::Ours, &script).expect_code(0);
        done.store(true, Ordering::Relaxed);
        writer.join().expect("the writer does not panic")
    });
    let log = shared.read("log");
    let lines: BTreeSet<&str> = log.lines().collect();
    assert_eq!(lines.len(), LINES + written);
    assert!((1..=LINES).all(|line| lines.contains(&*format!("guest {line}"))));
    assert!((1..=written).all(|line| lines.contains(&*format!("host {line}"))));
}

#[test]
fn large_directories_are_listed_whole() {
    let Some(shared) = Shared::new() else { return };
    for number in 0..10_000 {
        shared.write(&format!("{number:0>255}"), "");
    }
    for runtime in Runtime::BOTH {
        let outcome = shared.run(runtime, "ls /data | sort -u | wc -l").expect_code(0);
        assert_eq!(outcome.stdout_text(), "10000\n", "{runtime:?}");
    }
}

#[test]
fn read_only_directories_refuse_every_change() {
    let Some(shared) = Shared::new() else { return };
    shared.write("file", "kept");
    let script = "cat /data/file; cd /data; for change in 'touch new' 'rm file' 'mv file new' \
        'mkdir new' 'ln -s x new' 'ln file new' 'truncate -s 0 file' 'chmod 600 file'; do \
        LC_ALL=C $change 2>&1 | grep -c 'Read-only file system'; done";
    let host = shared.path().display().to_string();
    for option in [
        ["--volume", &format!("{host}:/data:ro")],
        ["--mount", &format!("type=bind,source={host},target=/data,readonly")],
    ] {
        let outcome = shared.ours(&option, script).expect_code(0);
        assert_eq!(outcome.stdout_text(), format!("kept{}", "1\n".repeat(8)));
    }
    assert_eq!(shared.read("file"), "kept");
    assert_eq!(fs::read_dir(shared.path()).unwrap().count(), 1);
}

#[test]
fn links_and_dots_lead_nowhere_but_in_the_guest() {
    let Some(shared) = Shared::new() else { return };
    let outside = shared.debian.lab().temporary();
    fs::write(outside.path().join("secret"), "secret").expect("a file outside");
    let relative = Path::new("..").join(outside.path().file_name().expect("a name"));
    symlink(&relative, shared.path().join("relative")).expect("a link");
    symlink(outside.path(), shared.path().join("absolute")).expect("a link");
    let script = "cat /data/relative/secret /data/absolute/secret; ls /data/..; \
        cd /data && cat ../secret; echo x > relative/new; echo x > absolute/new; \
        mkdir sub; ln -s ../../../../../../etc sub/up; cat sub/up/hostname; true";
    for runtime in Runtime::BOTH {
        let outcome = shared.run(runtime, script).expect_code(0);
        assert!(!outcome.stdout_text().contains("secret"), "{}", outcome.stdout_text());
        assert!(outcome.stdout_text().contains("bin\n"), "the guest's own root is above");
        fs::remove_dir_all(shared.path().join("sub")).expect("the guest made it");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn directories_exchanged_for_links_while_a_guest_looks_lead_nowhere() {
    let Some(shared) = Shared::new() else { return };
    let outside = shared.debian.lab().temporary();
    fs::write(outside.path().join("secret"), "outside\n").expect("a file outside");
    let (sub, away) = (shared.path().join("sub"), shared.path().join("away"));
    fs::create_dir(&sub).expect("a folder");
    shared.write("sub/secret", "inside\n");
    let script = "for i in {1..300}; do cat /data/sub/secret; echo x > /data/sub/new; done";
    for runtime in Runtime::BOTH {
        let done = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    fs::rename(&sub, &away).expect("renamed");
                    symlink(outside.path(), &sub).expect("a link");
                    fs::remove_file(&sub).expect("the link is removed");
                    fs::rename(&away, &sub).expect("renamed back");
                }
            });
            let outcome = shared.run(runtime, script);
            done.store(true, Ordering::Relaxed);
            outcome
        });
        assert!(!outcome.stdout_text().contains("outside"), "{runtime:?}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn files_belong_to_the_container_s_user() {
    let Some(shared) = Shared::new() else { return };
    shared.write("file", "");
    let volume = format!("{}:/data", shared.path().display());
    for user in ["0", "1000:100", "www-data"] {
        let script =
            "touch /data/new && stat -c '%u:%g %a' /data /data/file /data/new; id -u; id -g";
        let outcome = shared.ours(&["--user", user, "--volume", &volume], script).expect_code(0);
        let text = outcome.stdout_text();
        let lines: Vec<_> = text.lines().collect();
        let owner = format!("{}:{}", lines[3], lines[4]);
        assert_eq!(lines[..2], [format!("{owner} 755"), format!("{owner} 755")], "{user}");
        assert_eq!(fs::remove_file(shared.path().join("new")).ok(), Some(()), "{user}");
    }
}

#[test]
fn mounts_lie_in_each_other_and_where_nothing_is_yet() {
    let Some(shared) = Shared::new() else { return };
    let inner = shared.debian.lab().temporary();
    fs::write(inner.path().join("file"), "inner").expect("a file");
    let outer = format!("{}:/new/place", shared.path().display());
    let inner = format!("{}:/new/place/deep/inner", inner.path().display());
    let script = "cat /new/place/deep/inner/file; mv /new/place/deep/inner/file /new/place 2>&1; \
        ls /new/place";
    let outcome = shared.ours(&["-v", &outer, "-v", &inner], script).expect_code(0);
    assert_eq!(outcome.stdout_text(), "innerdeep\nfile\n");
}

#[test]
fn a_single_file_is_seen_alone_and_stays_where_it_is() {
    let Some(shared) = Shared::new() else { return };
    shared.write("sibling", "not shared\n");
    for target in ["/new/place/file", "/etc/hostname"] {
        shared.write("file", "from the host\n");
        let volume = format!("{}:{target}", shared.path().join("file").display());
        let script = format!(
            "f={target}; cat $f; echo appended >> $f; stat -c '%F %s' $f; (cd ${{f%/*}}; ls *file* sibling)
             rm $f; mv $f $f.away; ln $f $f.linked; cat $f/../sibling $f/sibling; true"
        );
        let outcome = shared.ours(&["--volume", &volume], &script).expect_code(0);
        let text = outcome.stdout_text();
        assert!(text.starts_with("from the host\nregular file 23\n"), "{text}");
        assert!(!text.contains("not shared") && !text.contains("sibling"), "{text}");
        let errors = outcome.stderr_text();
        assert_eq!(errors.matches("Device or resource busy").count(), 2, "{errors}");
        assert_eq!(errors.matches("Invalid cross-device link").count(), 1, "{errors}");
        assert_eq!(shared.read("file"), "from the host\nappended\n");
    }
    assert_eq!(fs::read_dir(shared.path()).unwrap().count(), 2);
}

#[test]
fn a_single_file_is_mapped_truncated_and_read_only_if_asked_for() {
    let Some(shared) = Shared::new() else { return };
    symlink("real", shared.path().join("link")).expect("a link");
    shared.write("real", "0123456789");
    let volume = |mode: &str| format!("{}:/data:{mode}", shared.path().join("link").display());
    let program = "import mmap
with open('/data', 'r+b') as f:
    print(mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE)[3:6])
    f.truncate(5); f.seek(2); f.write(b'x')
print(open('/data').read())";
    let run_with = |mode: &str| {
        let mut command = shared.debian.lab().lithify();
        command.args(["run", "-v", &volume(mode)]).arg(shared.debian.ours());
        run(command.args(["python3", "-c", program]))
    };
    let refused = run_with("ro").expect_code(1);
    assert!(refused.stderr_text().contains("Read-only file system"), "{}", refused.stderr_text());
    assert_eq!(run_with("rw").expect_code(0).stdout_text(), "b'345'\n01x34\n");
    assert_eq!(shared.read("real"), "01x34");
}

#[test]
fn wrong_mounts_are_explained() {
    let Some(shared) = Shared::new() else { return };
    let file = shared.path().join("file");
    shared.write("file", "");
    for (code, option, parts) in [
        (2, "nothing".to_owned(), ["mount `nothing`", "HOST:GUEST[:ro]"]),
        (2, ".:data".into(), ["mount `.:data`", "must start with /"]),
        (2, ".:/".into(), ["mount `.:/`", "root cannot be replaced"]),
        (125, "/no/such:/data".into(), ["/no/such", "No such file or directory"]),
        (125, "/dev/null:/data".into(), ["/dev/null", "expected a directory or a regular file"]),
        (125, format!("{}:/etc", file.display()), ["host file on /etc", "is a directory"]),
        (125, format!("{}:/etc/hostname", shared.path().display()), ["/etc/hostname", "directory"]),
    ] {
        let outcome = shared.ours(&["--volume", &option], "true").expect_code(code);
        for part in parts {
            assert!(outcome.stderr_text().contains(part), "{}", outcome.stderr_text());
        }
    }
}

/// Runs the ledger until it has committed `rows`, then kills the runner; returns what the check
/// said and the last row that was committed for sure.
fn keep_ledger(shared: &Shared, runtime: Runtime, rows: usize) -> (String, u64) {
    let mut child = shared
        .command(runtime, &["python3", "-c", LEDGER, "/data/ledger"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the runtime starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut line = || lines.next().expect("the ledger goes on").expect("text");
    let check = line();
    (1..rows).for_each(|_| drop(line()));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let rest = lines.map_while(Result::ok).filter_map(|line| line.parse().ok());
    (check, rest.max().unwrap_or(0))
}

#[track_caller]
fn databases_survive(kills: usize) {
    let Some(shared) = Shared::new() else { return };
    let mut committed = 0;
    for kill in 0..kills {
        let runtime = Runtime::BOTH[kill % 2];
        let (check, last) = keep_ledger(&shared, runtime, 1 + kill % 7);
        let fields: Vec<_> = check.split(' ').collect();
        assert_eq!(fields[0], "ok", "kill {kill}: {check}");
        let [count, max, whole] = [1, 2, 3].map(|field| fields[field].parse::<u64>().unwrap());
        assert!(count == max && whole == count, "kill {kill}: {check}");
        assert!(max >= committed, "kill {kill}: {max} rows are left of {committed}");
        committed = committed.max(last).max(max);
    }
}

#[test]
fn databases_survive_the_death_of_the_runner() {
    databases_survive(4);
}

#[test]
#[ignore = "slow: a hundred starts"]
fn databases_survive_a_hundred_deaths_of_the_runner() {
    databases_survive(100);
}
