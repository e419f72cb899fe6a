//! ADD: archives are unpacked, nothing is fetched.

mod support;

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
                "Dockerfile:2: ADD {source}: nothing is fetched in this version; download it and ADD the file"
            )
        );
    }
}
