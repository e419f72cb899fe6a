//! A guest whose disk comes with the request, and what is mounted in its container.

use crate::export::members;
use crate::files::{ETC_MTIME, Files, files};
use crate::machine::{End, Machine, request, text};
use lithify_control::{Frame, Mount, MountKind, StartRequest, Volume};
use std::fs;

const FILE: &str = "/run/made/for/a/file";

/// Both images on one disk: volume 0 is the full one, volume 1 the one with `/probe` alone.
fn disk(files: &Files) -> (tempfile::NamedTempFile, Vec<Volume>) {
    let disk = tempfile::NamedTempFile::new().expect("a file");
    let (mut bytes, mut volumes) = (Vec::new(), Vec::new());
    for image in [&files.image, &files.scratch] {
        let image = fs::read(image).expect("an image");
        let len = image.len().next_multiple_of(4096);
        volumes.push(Volume { offset: bytes.len() as u64, len: len as u64 });
        bytes.extend(image);
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
    }
    fs::write(disk.path(), bytes).expect("written");
    (disk, volumes)
}

fn mounts() -> Vec<Mount> {
    let secret = MountKind::File { content: b"hush\n".to_vec(), mode: 0o400, uid: 33, gid: 34 };
    [
        ("/bound", MountKind::Bind { volume: 1, file: None, writable: false }),
        ("/etc/plain/bound", MountKind::Bind { volume: 1, file: None, writable: true }),
        ("/tool", MountKind::Bind { volume: 1, file: Some(b"probe".to_vec()), writable: false }),
        ("/cache", MountKind::Cache { volume: 1 }),
        ("/cache/deep/tmp", MountKind::Tmpfs { size: Some(8192) }),
        (FILE, secret),
        (
            "/etc/resolv.conf",
            MountKind::File {
                content: b"nameserver 1.2.3.4\n".to_vec(),
                mode: 0o644,
                uid: 0,
                gid: 0,
            },
        ),
    ]
    .map(|(target, kind)| Mount { target: target.into(), kind })
    .to_vec()
}

fn run(files: &Files, change: impl FnOnce(&mut StartRequest), words: &[&str]) -> End {
    let (disk, volumes) = disk(files);
    let words = [&["/bin/probe"], words].concat();
    let mut request = StartRequest { volumes, export: true, ..request(&words) };
    change(&mut request);
    Machine::boot_without_root(&files.boot, disk.path()).run(request, Vec::new())
}

#[test]
fn each_kind_of_mount_shows_what_it_should() {
    let Some(files) = files() else { return };
    let words = [
        "list",
        "/bound",
        "list",
        "/etc/plain",
        "list",
        "/cache",
        "file",
        FILE,
        "file",
        "/etc/resolv.conf",
        "write",
        "/etc/plain/bound/lost",
        "list",
        "/etc/plain/bound",
        "write",
        "/cache/deep/tmp/x",
        "file",
        "/cache/deep/tmp/x",
    ];
    let end = run(files, |request| request.mounts = mounts(), &words);
    assert_eq!(
        end.lines(),
        [
            "probe",
            "bound gone kept same",
            "deep probe",
            "hush",
            "nameserver 1.2.3.4",
            "lost probe",
            "written"
        ]
    );
    assert_eq!(end.archives, 2);
    assert_eq!(end.export, [0; 2048], "mount points and their content are no changes");
}

#[test]
fn changes_of_a_cache_are_an_archive_of_their_own_also_after_a_failure() {
    let Some(files) = files() else { return };
    let words = ["write", "/cache/new", "change", "rm", "/cache/probe", "write", "/other", "exit"];
    for (code, archives) in [("0", 2), ("3", 1)] {
        let words = [&words[..], &[code]].concat();
        let mut end = run(files, |request| request.mounts = mounts(), &words);
        assert_eq!((end.code().to_string().as_str(), end.archives), (code, archives));
        if archives == 2 {
            let is_end = |block: usize| end.export[512 * block..].starts_with(&[0; 1024]);
            let border = (0..end.export.len() / 512).find(|block| is_end(*block)).expect("an end");
            end.export.drain(..512 * border + 1024);
        }
        let frame = Frame::Exit(0);
        let mut cache = members(&End { frame, ..end });
        // Making the mount point `deep` changed the root of the cache; that time is put back.
        cache.retain(|line| !line.ends_with(" ./"));
        assert_eq!(cache, ["0 644 0:0 new \"written\\n\"", "0 0 0:0 .wh.probe"]);
    }
}

#[test]
fn a_read_only_bind_refuses_writes() {
    let Some(files) = files() else { return };
    let end = run(files, |request| request.mounts = mounts(), &["write", "/bound/new"]);
    assert_eq!(end.code(), 1);
    assert!(text(&end.stderr).contains("ReadOnlyFilesystem"), "{}", text(&end.stderr));
}

#[test]
fn made_mount_points_leave_no_trace_around_a_change() {
    let Some(files) = files() else { return };
    let end = run(
        files,
        |request| request.mounts = mounts(),
        &["change", "chmod", "/etc/passwd", "600", "exit", "0"],
    );
    let border = end.export.len() - 1024;
    let root = End { export: end.export[..border].to_vec(), ..end };
    let lines = members(&root);
    assert_eq!(lines[0], "5 755 0:0 etc/");
    assert!(lines[1].starts_with("0 600 0:0 etc/passwd"), "{lines:?}");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(crate::export::mtime_of(&root, "etc/"), ETC_MTIME);
}

#[test]
fn privileges_are_kept_only_if_asked_for() {
    let Some(files) = files() else { return };
    for (privileged, expected) in
        [(false, "CapEff: 00000000a80425fb"), (true, "CapEff: 000001ffffffffff")]
    {
        let end = run(files, |request| request.privileged = privileged, &["status"]);
        assert!(end.lines().iter().any(|line| line == expected), "{:?}", end.lines());
    }
}

#[test]
fn what_cannot_be_mounted_is_told() {
    let Some(files) = files() else { return };
    let bind = |volume| MountKind::Bind { volume, file: None, writable: false };
    let mount = |target: &str, kind| Mount { target: target.into(), kind };
    for (mount, expected) in [
        (mount("/etc/passwd", bind(1)), "make the mount point /etc/passwd: not a directory"),
        (mount("/etc/passwd/x", bind(1)), "make the mount point /etc/passwd/x: not a directory"),
        (mount("/x", bind(7)), "open /volumes/7: no such file or directory"),
    ] {
        let end = run(files, |request| request.mounts = vec![mount], &["exit", "0"]);
        let Frame::Failed { code: 125, message } = &end.frame else { panic!("{end:?}") };
        assert_eq!(text(message), expected);
    }
    let end = run(files, |request| request.volumes[0].len <<= 30, &["exit", "0"]);
    let Frame::Failed { message, .. } = &end.frame else { panic!("{end:?}") };
    assert!(text(message).starts_with("the disk has "), "{}", text(message));
}
