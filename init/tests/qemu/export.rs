//! What a container changed comes out as a layer.

use crate::files::{ETC_MTIME, Files, files};
use crate::machine::{End, Machine, request, text};
use lithify_control::{Frame, StartRequest};
use std::io::Read;
use std::path::Path;

/// Runs the probe with each line's words as one change.
fn changed(files: &Files, image: &Path, changes: &[&str]) -> End {
    let probe = if image == files.image { "/bin/probe" } else { "/probe" };
    let words: Vec<&str> =
        changes.iter().flat_map(|change| ["change"].into_iter().chain(change.split(' '))).collect();
    let request = StartRequest { export: true, ..request(&[&[probe], words.as_slice()].concat()) };
    Machine::boot(&files.boot, image).run(request, Vec::new())
}

/// Each member as one line: type, mode, owner, path, target, data, attributes.
pub(crate) fn members(end: &End) -> Vec<String> {
    assert_eq!(end.code(), 0, "stderr: {}", text(&end.stderr));
    assert!(end.export.ends_with(&[0; 1024]), "{} bytes", end.export.len());
    let mut archive = tar::Archive::new(end.export.as_slice());
    let entries = archive.entries().expect("an archive");
    entries.map(|entry| describe(entry.expect("a member"))).collect()
}

fn describe(mut entry: tar::Entry<'_, impl Read>) -> String {
    let header = entry.header();
    let kind = char::from(header.entry_type().as_byte());
    let number = |value: std::io::Result<u64>| value.expect("a number");
    let mode = header.mode().expect("a number");
    let (uid, gid) = (number(header.uid()), number(header.gid()));
    let mut line = format!("{kind} {mode:o} {uid}:{gid} {}", text(&entry.path_bytes()));
    if let Some(target) = entry.link_name_bytes() {
        line += &format!(" -> {}", text(&target));
    }
    let records = entry.pax_extensions().expect("records");
    let mut real_size = None;
    for record in records.into_iter().flatten().map(|record| record.expect("a record")) {
        if record.key() == Ok("GNU.sparse.realsize") {
            real_size = Some(text(record.value_bytes()));
        } else if let Some(name) = record.key().expect("utf-8").strip_prefix("SCHILY.xattr.") {
            line += &format!(" {name}={}", record.value_bytes().escape_ascii());
        }
    }
    if let Some(len) = real_size {
        return line + &format!(" {len} sparse bytes");
    }
    let mut data = Vec::new();
    entry.read_to_end(&mut data).expect("data");
    match data.len() {
        0 => line,
        1..100 => line + &format!(" {:?}", text(&data)),
        len => line + &format!(" {len} bytes"),
    }
}

pub(crate) fn mtime_of(end: &End, path: &str) -> u64 {
    let mut archive = tar::Archive::new(end.export.as_slice());
    let mut entries = archive.entries().expect("an archive").map(|entry| entry.expect("a member"));
    let entry = entries.find(|entry| *entry.path_bytes() == *path.as_bytes()).expect("a member");
    entry.header().mtime().expect("a number")
}

#[test]
fn a_command_that_changes_nothing_exports_an_empty_archive() {
    let Some(files) = files() else { return };
    for image in [&files.image, &files.scratch] {
        let end = changed(files, image, &[]);
        assert_eq!(end.code(), 0, "{end:?}");
        assert!(end.export == [0; 1024], "{:?}", members(&end));
    }
}

#[test]
fn nothing_is_exported_unasked_or_after_a_failure() {
    let Some(files) = files() else { return };
    let machine = || Machine::boot(&files.boot, &files.image);
    let words = ["probe", "write", "/new", "exit"];
    let unasked = machine().run(request(&[&words[..], &["0"]].concat()), Vec::new());
    let failed = request(&[&words[..], &["3"]].concat());
    let failed = machine().run(StartRequest { export: true, ..failed }, Vec::new());
    assert_eq!((unasked.code(), unasked.export.len()), (0, 0));
    assert_eq!((failed.code(), failed.export.len()), (3, 0));
}

#[test]
fn every_kind_of_change_is_a_member() {
    let Some(files) = files() else { return };
    let long = "n".repeat(120);
    let end = changed(
        files,
        &files.image,
        &[
            "mkdir /new",
            "extend /new/data 300000",
            "chown /new/data 33 34",
            "chmod /new/data 4755",
            "mtime /new/data 1234567890",
            "link /new/data /new/a",
            "link /new/data /etc/plain/z",
            "symlink /new/link ../etc/passwd",
            "xattr /new user.note x=y",
            "fifo /new/pipe",
            "socket /new/socket",
            &format!("extend /new/{long} 1"),
            "rm /etc/plain/gone",
            "rm /etc/resolv.conf",
            "rm /etc/machine-id",
            "rmtree /etc/skel",
            "mkdir /etc/skel",
            "extend /etc/skel/three 3",
            "rm /file",
            "mkdir /file",
            "chmod /bin 700",
            "extend /etc/hostname 0",
        ],
    );
    assert_eq!(
        members(&end),
        [
            "5 700 0:0 bin/",
            "5 755 0:0 etc/",
            "0 644 0:0 etc/hostname",
            "0 0 0:0 etc/.wh.machine-id",
            "5 755 0:0 etc/plain/",
            "0 0 0:0 etc/plain/.wh.gone",
            "0 4755 33:34 etc/plain/z 300000 sparse bytes",
            "0 0 0:0 etc/.wh.resolv.conf",
            "5 755 0:0 etc/skel/",
            "0 0 0:0 etc/skel/.wh..wh..opq",
            "0 644 0:0 etc/skel/three \"\\0\\0\\0\"",
            "5 755 0:0 file/",
            "5 755 0:0 new/ user.note=x=y",
            "1 4755 33:34 new/a -> etc/plain/z",
            "1 4755 33:34 new/data -> etc/plain/z",
            "2 777 0:0 new/link -> ../etc/passwd",
            &format!("0 644 0:0 new/{long} \"\\0\""),
            "6 600 0:0 new/pipe",
        ]
    );
    assert_eq!(mtime_of(&end, "etc/plain/z"), 1_234_567_890);
}

#[test]
fn a_directory_around_a_change_keeps_its_time() {
    let Some(files) = files() else { return };
    let end = changed(files, &files.image, &["chmod /etc/passwd 600"]);
    let lines = members(&end);
    assert_eq!(lines[0], "5 755 0:0 etc/");
    assert!(lines[1].starts_with("0 600 0:0 etc/passwd \"root:"), "{lines:?}");
    assert_eq!(lines.len(), 2);
    assert_eq!(mtime_of(&end, "etc/"), ETC_MTIME);
}

#[test]
fn what_init_made_appears_only_around_a_change() {
    let Some(files) = files() else { return };
    let end = changed(files, &files.scratch, &["extend /etc/mine 1"]);
    assert_eq!(members(&end), ["5 755 0:0 etc/", "0 644 0:0 etc/mine \"\\0\""]);
}

#[test]
fn a_moved_tree_under_a_replaced_directory_is_whole() {
    let Some(files) = files() else { return };
    let same = [
        "mkdir /tmp",
        "mkdir /tmp/same",
        "mtime /tmp/same 1000000000",
        "rmtree /etc/plain",
        "rename /tmp /etc/plain",
        "chmod / 711",
    ];
    let end = changed(files, &files.image, &same);
    assert_eq!(
        members(&end),
        [
            "5 711 0:0 ./",
            "5 755 0:0 etc/",
            "5 755 0:0 etc/plain/",
            "0 0 0:0 etc/plain/.wh..wh..opq",
            "5 755 0:0 etc/plain/same/",
        ]
    );
}

#[test]
fn names_that_readers_would_take_for_whiteouts_are_refused() {
    let Some(files) = files() else { return };
    let end = changed(files, &files.image, &["mkdir /new", "extend /new/.wh.x 0"]);
    let Frame::Failed { code, message } = end.frame else { panic!("{end:?}") };
    assert_eq!(code, 125);
    assert_eq!(
        text(&message),
        "export the changes: /new/.wh.x cannot be in a layer: names that begin with \".wh.\" delete files"
    );
}
