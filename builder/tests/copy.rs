//! COPY: what ends up where, with which owner and mode.

mod support;

use support::Fixture;

#[test]
fn a_file_becomes_the_destination_or_goes_into_it() {
    let mut fixture = Fixture::with(&[("file", "x")]);
    for (copy, expected) in [
        ("COPY file /a", "/a"),
        ("COPY file /d/", "/d/file"),
        ("COPY file d/e/f", "/d/e/f"),
        ("COPY file .", "/file"),
        ("COPY file /", "/file"),
        ("COPY ./file /a/../b", "/b"),
        ("COPY /file ../../../a", "/a"),
        ("COPY ../../file /a", "/a"),
        ("WORKDIR /w\nCOPY file .", "/w/file"),
        ("WORKDIR /w\nCOPY file sub/", "/w/sub/file"),
        ("WORKDIR /w\nCOPY file ..", "/file"),
        ("COPY [\"file\", \"/with space\"]", "/with space"),
        ("ENV D=/env\nCOPY file ${D}/f", "/env/f"),
        ("COPY f?le /a/", "/a/file"),
        ("COPY [f]ile /a/", "/a/file"),
    ] {
        let list = fixture.list(&format!("FROM scratch\n{copy}\n"));
        let file = list.iter().find(|line| line.starts_with("644")).unwrap();
        assert_eq!(file, &format!("644 0:0 {expected} \"x\""), "{copy}");
    }
}

#[test]
fn a_directory_gives_its_entries() {
    let mut fixture = Fixture::with(&[("dir/a", "1"), ("dir/sub/b", "2"), ("dir/empty/", "")]);
    fixture.chmod("dir/sub", 0o700);
    fixture.symlink("../outside", "dir/link");
    let expected = [
        "755 0:0 /to/",
        "644 0:0 /to/a \"1\"",
        "755 0:0 /to/empty/",
        "777 0:0 /to/link -> ../outside",
        "700 0:0 /to/sub/",
        "644 0:0 /to/sub/b \"2\"",
    ];
    fixture.chmod("dir", 0o755);
    fixture.chmod("dir/empty", 0o755);
    assert_eq!(fixture.list("FROM scratch\nCOPY dir /to"), expected);
    assert_eq!(fixture.list("FROM scratch\nCOPY dir/ /to/"), expected);
    assert_eq!(fixture.list("FROM scratch\nCOPY dir /tmp\nCOPY dir /to").len(), 12);
}

#[test]
fn a_directory_that_stands_keeps_its_mode_and_its_entries_take_the_new_one() {
    let mut fixture = Fixture::with(&[("one/sub/a", ""), ("two/sub/b", "")]);
    for (path, mode) in [("one", 0o755), ("one/sub", 0o755), ("two", 0o700), ("two/sub", 0o711)] {
        fixture.chmod(path, mode);
    }
    assert_eq!(
        fixture.list("FROM scratch\nCOPY one /to\nCOPY two /to"),
        ["755 0:0 /to/", "711 0:0 /to/sub/", "644 0:0 /to/sub/a \"\"", "644 0:0 /to/sub/b \"\"",]
    );
}

#[test]
fn symbolic_links_named_as_sources_are_followed_within_the_context() {
    let mut fixture = Fixture::with(&[("real/file", "x")]);
    fixture.symlink("/real", "abs");
    fixture.symlink("../../../real/file", "up");
    fixture.chmod("real", 0o755);
    assert_eq!(
        fixture.list("FROM scratch\nCOPY abs /a\nCOPY up /b/"),
        ["755 0:0 /a/", "644 0:0 /a/file \"x\"", "755 0:0 /b/", "644 0:0 /b/up \"x\""]
    );
}

#[test]
fn nothing_outside_the_context_can_be_copied() {
    let mut fixture = Fixture::new();
    std::fs::write(fixture.beside("secret"), "s").unwrap();
    fixture.symlink("../secret", "link");
    fixture.symlink("..", "up");
    fixture.symlink(fixture.beside("secret").to_str().unwrap(), "abs");
    for source in ["../secret", "link", "up/secret", "abs", "up/../secret"] {
        let error = fixture.error(&format!("FROM scratch\nCOPY {source} /x"));
        assert!(error.contains("does not exist in the build context"), "{source}: {error}");
    }
}

#[test]
fn destinations_are_resolved_within_the_image() {
    let mut fixture = Fixture::with(&[("file", "x"), ("rootfs/real/", "")]);
    fixture.symlink("/real", "rootfs/abs");
    fixture.symlink("../../../real", "rootfs/up");
    fixture.symlink("/real/target", "rootfs/onfile");
    let list = fixture.list(
        "FROM scratch\nCOPY rootfs /\nCOPY file /abs/1\nCOPY file /up/2\nCOPY file /onfile\nCOPY file /abs\n",
    );
    let in_real: Vec<_> = list.iter().filter(|line| line.contains(":0 /real/")).collect();
    assert_eq!(
        in_real,
        [
            "755 0:0 /real/",
            "644 0:0 /real/1 \"x\"",
            "644 0:0 /real/2 \"x\"",
            "644 0:0 /real/file \"x\"",
            "644 0:0 /real/target \"x\"",
        ]
    );
}

#[test]
fn a_copied_file_replaces_a_link_and_not_its_target() {
    let mut fixture = Fixture::with(&[("rootfs/target", "old"), ("new/link", "new")]);
    fixture.symlink("target", "rootfs/link");
    fixture.chmod("new", 0o755);
    assert_eq!(
        fixture.list("FROM scratch\nCOPY rootfs /\nCOPY new /\n"),
        ["644 0:0 /link \"new\"", "644 0:0 /target \"old\""]
    );
}

#[test]
fn several_sources_and_wildcards() {
    let mut fixture =
        Fixture::with(&[("a.txt", "a"), ("b.txt", "b"), ("c.md", "c"), ("d/e.txt", "e")]);
    let all = ["755 0:0 /to/", "644 0:0 /to/a.txt \"a\"", "644 0:0 /to/b.txt \"b\""];
    assert_eq!(fixture.list("FROM scratch\nCOPY a.txt b.txt /to/"), all);
    assert_eq!(fixture.list("FROM scratch\nCOPY *.txt /to/"), all);
    let list = fixture.list("FROM scratch\nCOPY */e.txt missing* /to/");
    assert_eq!(list[1..], ["644 0:0 /to/e.txt \"e\""]);
    let built = fixture.build("FROM scratch\nCOPY nothing* /to/\n");
    let rules: Vec<_> = built.warnings.iter().map(|warning| warning.rule).collect();
    assert_eq!(rules, ["NoMatch"]);
    assert_eq!(
        fixture.error("FROM scratch\nCOPY *.txt /to"),
        "Dockerfile:2: the destination `/to` of several files is not a directory; end it with `/`"
    );
}

#[test]
fn wildcards_do_not_lead_through_links_to_themselves() {
    let mut fixture = Fixture::with(&[("d/f", "x")]);
    for name in ["a", "b", "c", "e", "g", "h"] {
        fixture.symlink(".", name);
    }
    let list = fixture.list("FROM scratch\nCOPY */f* /to/\n");
    assert_eq!(list[1..], ["644 0:0 /to/f \"x\""]);
    let built = fixture.build(&format!("FROM scratch\nCOPY {}f* /to/\n", "*/".repeat(30)));
    assert_eq!(built.warnings[0].rule, "NoMatch");
    let built =
        fixture.build(&format!("FROM scratch\nCOPY --parents {}f /to/\n", "**/".repeat(30)));
    assert_eq!(built.warnings.len(), 0);
}

#[test]
fn owners_are_numbers_or_names_of_the_image() {
    let mut fixture = Fixture::with(&[
        ("f", ""),
        ("etc/passwd", "app:x:1000:1001::/:/bin/sh\n"),
        ("etc/group", "web:x:33:\n"),
    ]);
    for (chown, owner) in
        [("app", "1000:1001"), ("app:web", "1000:33"), ("5", "5:5"), ("5:6", "5:6"), ("$U", "7:7")]
    {
        let list = fixture.list(&format!(
            "FROM scratch\nARG U=7\nCOPY etc /etc\nCOPY --chown={chown} f /made/f\n"
        ));
        assert_eq!(list[list.len() - 2], format!("755 {owner} /made/"), "{chown}");
        assert_eq!(list[list.len() - 1], format!("644 {owner} /made/f \"\""), "{chown}");
    }
    assert_eq!(
        fixture.error("FROM scratch\nCOPY etc /etc\nCOPY --chown=ap f /\n"),
        "Dockerfile:3: user `ap` is not in the image's /etc/passwd (did you mean `app`?)"
    );
}

#[test]
fn modes_are_octal_or_symbolic() {
    let mut fixture = Fixture::with(&[("d/f", "")]);
    fixture.symlink("f", "d/l");
    assert_eq!(
        fixture.list("FROM scratch\nCOPY --chmod=4711 d /to\n"),
        ["4711 0:0 /to/", "4711 0:0 /to/f \"\"", "777 0:0 /to/l -> f"]
    );
    fixture.chmod("d", 0o750);
    assert_eq!(
        fixture.list("FROM scratch\nCOPY --chmod=go=rX,u+w d /to\n")[..2],
        ["755 0:0 /to/", "644 0:0 /to/f \"\""]
    );
    assert!(fixture.error("FROM scratch\nCOPY --chmod=999 d /").contains("--chmod=999: expected"));
}

#[test]
fn dockerignore_hides_and_exclude_leaves_out() {
    let mut fixture = Fixture::with(&[
        (".dockerignore", "*.log\nsecret\n!keep.log\n"),
        ("a.log", ""),
        ("keep.log", ""),
        ("b.txt", ""),
        ("c.md", ""),
        ("secret/key", ""),
    ]);
    let names = |list: Vec<String>| -> Vec<String> {
        list.iter().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect()
    };
    assert_eq!(
        names(fixture.list("FROM scratch\nCOPY . /\n")),
        ["/.dockerignore", "/b.txt", "/c.md", "/keep.log"]
    );
    assert_eq!(
        names(fixture.list("FROM scratch\nCOPY --exclude=*.md --exclude=.* . /\n")),
        ["/b.txt", "/keep.log"]
    );
    assert_eq!(
        fixture.error("FROM scratch\nCOPY secret/key /\n"),
        "Dockerfile:2: `secret/key` is left out of the build context by .dockerignore"
    );
}

#[test]
fn a_dockerignore_beside_the_dockerfile_wins() {
    let mut fixture =
        Fixture::with(&[(".dockerignore", "a\n"), ("a", ""), ("b", ""), ("x.Dockerfile", "")]);
    fixture.write("x.Dockerfile", "FROM scratch\nCOPY a* b* /\n");
    fixture.write("x.Dockerfile.dockerignore", "b\n");
    let path = fixture.context().join("x.Dockerfile");
    fixture.options.dockerfile = lithify_builder::DockerfileInput::Path(path);
    let built = lithify_builder::build(&fixture.options, &fixture.store, &()).unwrap();
    assert_eq!(support::list(built.tree().unwrap()), ["644 0:0 /a \"\""]);
}

#[test]
fn parents_are_kept_from_the_pivot_on() {
    let mut fixture = Fixture::with(&[("x/a.txt", "1"), ("y/deep/a.txt", "2"), ("y/b.txt", "3")]);
    let files = |list: Vec<String>| -> Vec<String> {
        let lines = list.iter().filter(|line| !line.ends_with('/'));
        lines.map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect()
    };
    assert_eq!(
        files(fixture.list("FROM scratch\nCOPY --parents x/a.txt y/b.txt /to/\n")),
        ["/to/x/a.txt", "/to/y/b.txt"]
    );
    assert_eq!(
        files(fixture.list("FROM scratch\nCOPY --parents ./y/./deep/a.txt /to/\n")),
        ["/to/deep/a.txt"]
    );
    assert_eq!(
        files(fixture.list("FROM scratch\nCOPY --parents **/a.txt /to/\n")),
        ["/to/x/a.txt", "/to/y/deep/a.txt"]
    );
    assert_eq!(
        files(fixture.list("FROM scratch\nCOPY --parents y /to/\n")),
        ["/to/y/b.txt", "/to/y/deep/a.txt"]
    );
}

#[test]
fn heredocs_become_files() {
    let mut fixture = Fixture::new();
    let text = "FROM scratch\nARG NAME=world\nCOPY <<EOF <<'RAW' /d/\nhello $NAME \"q\"\nEOF\nhello $NAME\nRAW\n\
                COPY <<-EOF /script.sh\n\t\tindented\n\tEOF\n";
    assert_eq!(
        fixture.list(text),
        [
            "755 0:0 /d/",
            "644 0:0 /d/EOF \"hello world \\\"q\\\"\\n\"",
            "644 0:0 /d/RAW \"hello $NAME\\n\"",
            "644 0:0 /script.sh \"indented\\n\"",
        ]
    );
}

#[test]
fn hard_links_stay_links() {
    let mut fixture = Fixture::with(&[("d/a", "x")]);
    std::fs::hard_link(fixture.context().join("d/a"), fixture.context().join("d/b")).unwrap();
    let list = fixture.list("FROM scratch\nCOPY d /to\n");
    assert_eq!(list[1..], ["644 0:0 /to/a \"x\"", "644 0:0 /to/b == /to/a"]);
}

#[test]
fn what_cannot_be_put_is_refused() {
    let mut fixture =
        Fixture::with(&[("f", ""), ("d/f/x", ""), ("e/f", ""), ("e/config", ""), (".wh.f", "")]);
    for (lines, expected) in [
        ("COPY f /f\nCOPY d /", "Dockerfile:3: cannot put a directory at `/f`: a file is there"),
        ("COPY d /\nCOPY e /", "Dockerfile:3: cannot put a file at `/f`: a directory is there"),
        (
            "COPY .wh.f /",
            "Dockerfile:2: `/.wh.f`: names that begin with `.wh.` mean deleted files in image layers",
        ),
        ("COPY f /f\nCOPY f /f/x", "Dockerfile:3: `/f` is not a directory"),
        (
            "COPY e/conf /",
            "Dockerfile:2: `e/conf` does not exist in the build context (did you mean `config`?)",
        ),
        ("COPY d/missing/f /", "Dockerfile:2: `d/missing/f` does not exist in the build context"),
        ("COPY [a /", "Dockerfile:2: bad pattern `[a`: `[` without `]`"),
        (
            "COPY $X /",
            "Dockerfile:2: COPY has an empty source or destination after expanding its variables",
        ),
    ] {
        assert_eq!(fixture.error(&format!("FROM scratch\n{lines}\n")), expected, "{lines}");
    }
}

#[test]
fn special_files_are_refused_by_name() {
    let mut fixture = Fixture::with(&[("d/f", "")]);
    let _socket = std::os::unix::net::UnixListener::bind(fixture.context().join("d/s")).unwrap();
    assert_eq!(
        fixture.error("FROM scratch\nCOPY d /\n"),
        "Dockerfile:2: `d/s` is a socket: only files, directories and symbolic links can be copied"
    );
}

#[test]
fn extended_attributes_of_the_user_come_along() {
    let mut fixture = Fixture::with(&[("file", "x"), ("plain", "x")]);
    let set = |name: &str, value: &str| {
        let file = fixture.context().join("file");
        let status = std::process::Command::new("setfattr")
            .args(["-n", name, "-v", value])
            .arg(file)
            .status();
        status.is_ok_and(|status| status.success())
    };
    if !set("user.note", "kept") {
        println!("skipped: setfattr is missing, or the file system has no extended attributes");
        return;
    }
    let of = |built: &lithify_builder::Built, path: &str| {
        let tree = built.tree().unwrap();
        let node = tree.get(path.as_ref(), lithify_rootfs::Follow::No).unwrap().unwrap();
        node.meta.xattrs.clone()
    };
    let built = fixture.build("FROM scratch\nCOPY file plain /\n");
    let expected = [(b"user.note".to_vec(), b"kept".to_vec())];
    assert_eq!(of(&built, "/file").into_iter().collect::<Vec<_>>(), expected);
    assert!(of(&built, "/plain").is_empty());
}
