//! Boots init under QEMU, a machine we did not write, and talks to it as the vm does.

mod export;
mod files;
mod machine;
mod mounts;

use files::{Files, files};
use lithify_control::{Frame, StartRequest};
use machine::{End, Machine, request, text};
use std::io::Write;

fn run(files: &Files, request: StartRequest, input: &[u8]) -> End {
    Machine::boot(&files.boot, &files.image).run(request, input.to_vec())
}

fn probe(files: &Files, words: &[&str]) -> End {
    run(files, request(&[&["probe"], words].concat()), b"")
}

/// Code and message of a container that must not start.
fn refused(files: &Files, request: StartRequest) -> (u32, String) {
    match run(files, request, b"").frame {
        Frame::Failed { code, message } => (code, text(&message)),
        other => panic!("started: {other:?}"),
    }
}

#[test]
fn exit_codes_are_the_programs_own() {
    let Some(files) = files() else { return };
    for code in [0, 7] {
        assert_eq!(probe(files, &["exit", &code.to_string()]).code(), code);
    }
}

#[test]
fn signals_reach_the_container_and_show_in_the_exit_code() {
    let Some(files) = files() else { return };
    let mut machine = Machine::boot(&files.boot, &files.image);
    machine.send(&Frame::Start(request(&["probe", "cat", "sleep"])));
    // SIGWINCH: what ends nothing by default ends nothing here.
    machine.send(&Frame::Signal(28));
    machine.stdin().write_all(b"still here\n").expect("open");
    machine.stdin().shutdown(std::net::Shutdown::Write).expect("open");
    std::thread::sleep(std::time::Duration::from_secs(3));
    // The kernel would spare PID 1 of a namespace; init does not.
    machine.send(&Frame::Signal(15));
    let end = machine.end();
    assert_eq!(text(&end.stdout), "still here\nsleeping\n");
    assert_eq!(end.code(), 143);
}

#[test]
fn stdout_and_stderr_stay_apart() {
    let Some(files) = files() else { return };
    let end = probe(files, &["both"]);
    let expected = |word: &str| (0..100).map(|n| format!("{word} {n}\n")).collect::<String>();
    assert_eq!(end.code(), 0);
    assert_eq!(text(&end.stdout), expected("out"));
    assert_eq!(text(&end.stderr), expected("err"));
}

#[test]
fn a_megabyte_passes_unchanged_and_end_of_file_ends_cat() {
    let Some(files) = files() else { return };
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(1 << 20)
    .collect();
    let end = run(files, request(&["probe", "cat"]), &bytes);
    assert_eq!(end.code(), 0);
    assert!(end.stdout == bytes, "{} bytes of {} came back", end.stdout.len(), bytes.len());
}

#[test]
fn a_container_that_ignores_its_input_ends() {
    let Some(files) = files() else { return };
    let end = run(files, request(&["probe", "sip", "exit", "3"]), &[b'x'; 512 << 10]);
    assert_eq!(end.code(), 3);
}

#[test]
fn the_first_process_takes_all_others_with_it() {
    let Some(files) = files() else { return };
    let end = probe(files, &["orphan"]);
    assert_eq!(end.code(), 0);
    assert!(text(&end.stdout).contains("parent ends\n"));
}

#[test]
fn root_has_dockers_capabilities_and_clean_signals() {
    let Some(files) = files() else { return };
    let lines = probe(files, &["status"]).lines();
    for line in [
        "Pid: 1",
        "PPid: 0",
        "Uid: 0 0 0 0",
        "Gid: 0 0 0 0",
        "Groups: 0",
        "CapInh: 0000000000000000",
        "CapPrm: 00000000a80425fb",
        "CapEff: 00000000a80425fb",
        "CapBnd: 00000000a80425fb",
        "CapAmb: 0000000000000000",
        "NoNewPrivs: 0",
        "SigBlk: 0000000000000000",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} in {lines:#?}");
    }
}

#[test]
fn users_come_from_the_images_own_files() {
    let Some(files) = files() else { return };
    let request = StartRequest {
        user: b"web".to_vec(),
        cwd: b"/new/work/dir".to_vec(),
        env: vec![b"A=1".to_vec()],
        ..request(&["probe", "status", "cwd", "env", "reopen"])
    };
    let lines = run(files, request, b"").lines();
    for line in [
        "Uid: 33 33 33 33",
        "Gid: 34 34 34 34",
        "Groups: 29 34",
        "CapEff: 0000000000000000",
        "CapBnd: 00000000a80425fb",
        "/new/work/dir",
        "A=1",
        "HOME=/var/www",
        "HOSTNAME=stone",
        "reopened",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} in {lines:#?}");
    }
}

#[test]
fn requests_that_cannot_be_served_say_why() {
    let Some(files) = files() else { return };
    let with_user = |user: &str| StartRequest { user: user.into(), ..request(&["probe"]) };
    let with_cwd = |cwd: &str| StartRequest { cwd: cwd.into(), ..request(&["probe"]) };
    for (request, code, message) in [
        (
            request(&["absent"]),
            127,
            "exec \"absent\": not found in any directory of PATH: no such file or directory",
        ),
        (request(&["/bin/absent"]), 127, "exec \"/bin/absent\": no such file or directory"),
        (
            request(&["/bin/lost"]),
            127,
            "exec \"/bin/lost\": its interpreter or dynamic loader is missing: no such file or directory",
        ),
        (request(&["/bin/plain"]), 126, "exec \"/bin/plain\": permission denied"),
        (request(&["plain"]), 126, "exec \"plain\": permission denied"),
        (request(&["/bin"]), 126, "exec \"/bin\": permission denied"),
        (
            request(&["headless"]),
            126,
            "exec \"/bin/headless\": not a program for this machine, nor a script with #!: exec format error",
        ),
        (with_user("ghost"), 125, "user \"ghost\" has no entry in the image's /etc/passwd"),
        (with_cwd("/file"), 125, "enter working directory \"/file\": not a directory"),
        (with_cwd("/file/x"), 125, "enter working directory \"/file/x\": not a directory"),
    ] {
        assert_eq!(refused(files, request), (code, message.to_owned()));
    }
}

#[test]
fn scripts_run_by_their_interpreter() {
    let Some(files) = files() else { return };
    let end = run(files, request(&["script"]), b"");
    assert!(text(&end.stdout).ends_with("script body\n"), "{end:?}");
}

#[test]
fn identity_and_randomness_are_renewed() {
    let Some(files) = files() else { return };
    let words = ["probe", "random", "file", "/etc/hostname", "file", "/proc/sys/kernel/hostname"];
    let mut first = run(files, request(&words), b"").lines();
    let other = StartRequest { hostname: b"flint".to_vec(), ..request(&words) };
    let second = run(files, other, b"").lines();
    for (first, second) in first.iter().zip(&second) {
        assert_ne!(first, second);
    }
    assert_eq!(first.split_off(3), ["stone", "stone"]);
    assert_ne!(first[1], "0123456789abcdef0123456789abcdef");
    assert_eq!(first[1].len(), 32);
}

#[test]
fn the_clock_is_the_hosts() {
    let Some(files) = files() else { return };
    let mut request = request(&["probe", "clock"]);
    request.realtime_ns = 4_000_000_000_123_000_000;
    let lines = run(files, request, b"").lines();
    let milliseconds: u64 = lines[0].parse().expect("a number");
    let since_start = milliseconds - 4_000_000_000_123;
    assert!(since_start < 5_000, "{since_start} ms");
}

#[test]
fn the_tree_is_a_containers() {
    let Some(files) = files() else { return };
    let words = [
        "list",
        "/dev",
        "list",
        "/",
        "list",
        "/sys/firmware",
        "file",
        "/etc/hosts",
        "file",
        "/etc/resolv.conf",
    ];
    let lines = probe(files, &words).lines();
    let devices =
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(lines[0], devices);
    assert_eq!(lines[1], "bin dev etc file proc sys");
    assert_eq!(lines[2], "");
    assert_eq!(lines.last().map(String::as_str), Some("127.0.1.1\tstone"));
}

#[test]
fn directories_and_files_of_either_layer_share_a_device() {
    let Some(files) = files() else { return };
    let words = ["write", "/new", "device", "/", "device", "/bin/probe", "device", "/new"];
    let lines = probe(files, &words).lines();
    assert!(lines.iter().all(|line| *line == lines[0]), "{lines:?}");
}

#[test]
fn machine_wide_settings_are_read_only_and_the_image_is_writable() {
    let Some(files) = files() else { return };
    let end = probe(
        files,
        &["write", "/bin/new", "file", "/bin/new", "write", "/proc/sys/vm/swappiness"],
    );
    assert_eq!(end.code(), 1);
    assert_eq!(text(&end.stdout), "written\n");
    assert!(text(&end.stderr).contains("ReadOnlyFilesystem"), "{}", text(&end.stderr));
}

#[test]
fn an_image_of_one_file_runs() {
    let Some(files) = files() else { return };
    let machine = Machine::boot(&files.boot, &files.scratch);
    let lines = machine.run(request(&["/probe", "list", "/", "list", "/etc"]), Vec::new()).lines();
    assert_eq!(lines, ["dev etc probe proc sys", "hostname hosts mtab resolv.conf"]);
}

#[test]
fn a_disk_that_is_no_image_ends_the_boot_with_a_message() {
    let Some(files) = files() else { return };
    let log = Machine::log_of_failed_boot(&files.boot, &files.garbage);
    assert!(
        log.contains("lithify-init: mount the image, squashfs on /dev/vda: invalid argument"),
        "{log}"
    );
}
