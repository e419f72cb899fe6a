//! ADD: archives are unpacked, files fetched by whoever builds.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lithify_builder::{Cancel, RemoteFiles};
use lithify_image::Digest;
use support::Fixture;

fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o640);
        header.set_uid(7);
        header.set_gid(8);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn local_archives_are_unpacked_with_their_owners() {
    let mut fixture = Fixture::new();
    fixture.write("x.tar", archive(&[("d/a", "1"), ("b", "2")]));
    fixture.write("plain", "p");
    assert_eq!(
        fixture.list("FROM scratch\nADD x.tar plain /to/\n"),
        [
            "755 0:0 /to/",
            "640 7:8 /to/b \"2\"",
            "755 0:0 /to/d/",
            "640 7:8 /to/d/a \"1\"",
            "644 0:0 /to/plain \"p\"",
        ]
    );
}

#[test]
fn unpacking_can_be_switched_off_and_copy_never_does_it() {
    let mut fixture = Fixture::new();
    let tar = archive(&[("a", "1")]);
    fixture.write("x.tar", &tar);
    for line in ["ADD --unpack=false x.tar /x", "COPY x.tar /x"] {
        let list = fixture.list(&format!("FROM scratch\n{line}\n"));
        assert!(list[0].starts_with("644 0:0 /x "), "{line}: {list:?}");
    }
}

#[test]
fn archives_replace_what_is_in_their_way() {
    let mut fixture = Fixture::new();
    fixture.write("x.tar", archive(&[("f/inner", "1"), ("d", "2")]));
    fixture.write("below/f", "file");
    fixture.write("below/d/x", "dir");
    assert_eq!(
        fixture.list("FROM scratch\nCOPY below /\nADD x.tar /\n"),
        ["640 7:8 /d \"2\"", "755 0:0 /f/", "640 7:8 /f/inner \"1\""]
    );
}

#[test]
fn archives_cannot_escape_the_image() {
    let mut fixture = Fixture::new();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..7].copy_from_slice(b"../evil");
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append(&header, std::io::empty()).unwrap();
    fixture.write("x.tar", tar.into_inner().unwrap());
    let error = fixture.error("FROM scratch\nADD x.tar /to/\n");
    assert!(error.starts_with("Dockerfile:2: unpack `x.tar`: "), "{error}");
}

#[test]
fn nothing_is_fetched() {
    let mut fixture = Fixture::new();
    for source in ["https://example.org/x", "git@example.org:x/y.git"] {
        assert_eq!(
            fixture.error(&format!("FROM scratch\nADD {source} /\n")),
            format!(
                "Dockerfile:2: ADD {source}: this is not fetched here; download it and ADD the file"
            )
        );
    }
}

/// Serves two files, and counts how often.
#[derive(Debug, Default)]
struct Shelf(AtomicUsize);

impl RemoteFiles for Shelf {
    fn fetch(
        &self,
        url: &str,
        out: &mut dyn std::io::Write,
        _: &Cancel,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        match url.rsplit('/').next() {
            Some("text") => Ok(out.write_all(b"text")?),
            Some("a.tar") => Ok(out.write_all(&tar_of("inside", b"in"))?),
            _ => Err("404 Not Found".into()),
        }
    }
}

fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, content).unwrap();
    tar.into_inner().unwrap()
}

#[test]
fn files_are_fetched_and_checked() {
    let shelf = Arc::new(Shelf::default());
    let mut fixture = Fixture::with(&[("local", "l")]);
    fixture.options.remote = Some(Arc::clone(&shelf) as Arc<dyn RemoteFiles>);
    for (add, expected) in [
        ("ADD http://h/text /", "600 0:0 /text \"text\""),
        ("ADD --chmod=644 https://h/text /t", "644 0:0 /t \"text\""),
        ("ADD --chown=7 local http://h/text /d/", "600 7:7 /d/text \"text\""),
        ("ADD --unpack http://h/a.tar /u/", "644 0:0 /u/inside \"in\""),
    ] {
        let list = fixture.list(&format!("FROM scratch\n{add}\n"));
        assert!(list.iter().any(|line| line == expected), "{add}: {list:?}");
    }
    let list = fixture.list("FROM scratch\nADD http://h/a.tar /u/\n");
    assert!(list[1].starts_with("600 0:0 /u/a.tar "), "{list:?}");

    let right = Digest::of(b"text");
    let add = |digest: &str| format!("FROM scratch\nADD --checksum={digest} http://h/text /\n");
    let before = shelf.0.load(Ordering::SeqCst);
    fixture.build(&add(&right.to_string()));
    assert_eq!(shelf.0.load(Ordering::SeqCst), before, "the store has it already");
    let wrong = Digest::of(b"other").to_string();
    for (text, expected) in [
        (add(&wrong), format!("the digest {right}, and --checksum says {wrong}")),
        (add("sha256:12"), "expected sha256:".to_owned()),
        (add(&wrong).replace("http://h/text", "local"), "one source by http".to_owned()),
        ("FROM scratch\nADD http://h/none /\n".to_owned(), "http://h/none: 404".to_owned()),
        ("FROM scratch\nADD http://h/ /\n".to_owned(), "names no file".to_owned()),
    ] {
        let error = fixture.error(&text);
        assert!(error.starts_with("Dockerfile:2: ") && error.contains(&expected), "{error}");
    }
}
