//! What a build puts out and takes in, and what the store then shows.

mod home;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use home::{Home, entries, text};
use lithify_image::Digest;
use serde_json::Value;

const DOCKERFILE: &str = "FROM scratch\nCOPY hello /etc/\nWORKDIR /w\nCMD [\"x\"]\n";

fn home() -> Home {
    let home = Home::with(DOCKERFILE);
    home.write("context/hello", "hello");
    home
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn an_unchanged_build_is_cached_to_the_artifact() {
    let home = home();
    let first = home.builds(&["-o", "1.wasm", "context"]);
    assert!(!first.contains("CACHED"), "{first}");
    let second = home.builds(&["-o", "2.wasm", "context"]);
    assert_eq!(second.matches("CACHED").count(), 3, "{second}");
    assert!(!second.contains("freeze") && second.contains("artifact\n"), "{second}");
    assert!(home.read("1.wasm") == home.read("2.wasm"));

    home.write("context/hello", "other");
    let third = home.builds(&["-o", "3.wasm", "context"]);
    assert!(!third.contains("CACHED") && third.contains("freeze"), "{third}");
    let memory = home.builds(&["-o", "4.wasm", "--memory", "128m", "context"]);
    assert_eq!(memory.matches("CACHED").count(), 2, "another machine, the same image: {memory}");
    let anew = home.builds(&["-o", "5.wasm", "--no-cache", "context"]);
    assert!(!anew.contains("WORKDIR /w\n#3 CACHED"), "{anew}");
    let words = ["build", "--progress=json", "-o", "6.wasm", "context"];
    let events = text(&home.run(&words).stderr);
    assert!(events.lines().any(|line| json(line.as_bytes())["event"] == "cached"), "{events}");
}

#[test]
fn caches_travel_in_folders() {
    let first = home();
    first.builds(&["--cache-to", "type=local,dest=shared,mode=max", "-o", "a.wasm", "context"]);
    let second = home();
    fs::rename(first.path().join("shared"), second.path().join("shared")).unwrap();
    let shown =
        second.builds(&["--cache-from", "type=local,src=shared", "-o", "a.wasm", "context"]);
    assert_eq!(shown.matches("CACHED").count(), 2, "{shown}");
    assert!(first.read("a.wasm") == second.read("a.wasm"));
}

#[test]
fn several_outputs_come_from_one_build() {
    let home = home();
    let printed = home.succeeds(&[
        "build",
        "-q",
        "-o",
        "app.wasm",
        "-o",
        "type=oci,dest=oci.tar",
        "-o",
        "type=docker,dest=docker.tar",
        "-o",
        "files.tar",
        "-o",
        "type=local,dest=files",
        "--iidfile",
        "iid",
        "--metadata-file",
        "meta.json",
        "-t",
        "app:1",
        "context",
    ]);
    let artifact = Digest::of(&home.read("app.wasm")).to_string();
    assert_eq!(printed.trim(), artifact);
    assert_eq!(home.read("files/etc/hello"), b"hello");
    let mode = fs::metadata(home.path().join("app.wasm")).unwrap().permissions().mode();
    assert_eq!(mode & 0o600, 0o600);

    let listed =
        Command::new("tar").arg("-tf").arg(home.path().join("files.tar")).output().unwrap();
    assert_eq!(text(&listed.stdout), "etc/\netc/hello\nw/\n");

    let meta = json(&home.read("meta.json"));
    assert_eq!(meta["lithify.artifact"]["digest"], artifact.as_str());
    assert_eq!(meta["image.name"], "docker.io/library/app:1");
    assert_eq!(meta["containerimage.digest"], text(&home.read("iid")).as_str());
    assert_eq!(meta["containerimage.descriptor"]["digest"], meta["containerimage.digest"]);
    let shown = home.succeeds(&["images", "--format", "json"]);
    assert_eq!(json(shown.as_bytes())["digest"], meta["containerimage.digest"]);
    home.check_store();
}

/// The archives as a foreign tool understands them.
#[test]
fn archives_are_read_by_skopeo() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        println!("skipped: skopeo is not installed");
        return;
    }
    let home = home();
    let words = ["-t", "app:1", "--label", "l=1", "--annotation", "a=2", "context"];
    for (kind, transport) in [("oci", "oci-archive:"), ("docker", "docker-archive:")] {
        let dest = format!("type={kind},dest={kind}.tar");
        home.builds(&[&["-o", &dest], &words[..]].concat());
        let name = if kind == "oci" { "1" } else { "docker.io/library/app:1" };
        let source = format!("{transport}{}/{kind}.tar:{name}", home.path().display());
        let skopeo = |words: &[&str]| {
            let output = Command::new("skopeo")
                .args(["--insecure-policy", "--override-arch", "riscv64"])
                .args(words)
                .env("XDG_RUNTIME_DIR", home.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
            output.stdout
        };
        let config = json(&skopeo(&["inspect", "--config", &source]));
        assert_eq!(config["config"]["Labels"]["l"], "1");
        assert_eq!(config["architecture"], "riscv64");
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
        // Copies every layer and checks every digest.
        skopeo(&["copy", "--quiet", &source, &format!("dir:{}/{kind}", home.path().display())]);
    }
    let index = Command::new("tar")
        .args(["-xOf", "oci.tar", "index.json"])
        .current_dir(home.path())
        .output()
        .unwrap();
    let manifest = json(&index.stdout)["manifests"][0]["digest"].as_str().unwrap()[7..].to_owned();
    let member = format!("blobs/sha256/{manifest}");
    let manifest = Command::new("tar")
        .args(["-xOf", "oci.tar", &member])
        .current_dir(home.path())
        .output()
        .unwrap();
    assert_eq!(json(&manifest.stdout)["annotations"]["a"], "2");
}

#[test]
fn standard_output_takes_any_single_output() {
    let home = home();
    home.builds(&["-o", "app.wasm", "-o", "files.tar", "context"]);
    for (dest, file) in [("type=wasm,dest=-", "app.wasm"), ("-", "files.tar")] {
        let output = home.run(&["build", "-q", "-o", dest, "context"]);
        assert!(output.stdout == home.read(file), "{dest}: {}", text(&output.stderr));
    }
}

#[test]
fn contexts_come_by_standard_input() {
    let home = home();
    home.builds(&["-o", "folder.wasm", "context"]);
    for option in ["-cf", "-czf"] {
        let tar = Command::new("tar")
            .args([option, "-", "-C", "context", "."])
            .current_dir(home.path())
            .output()
            .unwrap();
        let output = home.feed(&["build", "-q", "-o", "stdin.wasm", "-"], &tar.stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(home.read("folder.wasm") == home.read("stdin.wasm"), "{option}");
        let named = home.feed(&["build", "-q", "-f", "Nope", "-o", "x.wasm", "-"], &tar.stdout);
        assert!(text(&named.stderr).contains("the archive has no `Nope`"), "{named:?}");
    }
    let dockerfile = b"FROM scratch\nCOPY <<E /text\nhi\nE\n";
    for words in [["-f", "Dockerfile", "-"], ["-o", "a.tar", "-"]] {
        let words = [&["build", "-q", "-t", "x"], &words[..]].concat();
        let output = home.feed(&words, dockerfile);
        assert_eq!(output.status.success(), words.contains(&"-o"), "{output:?}");
    }
    assert!(text(&home.read("a.tar")).contains("hi\n"));
    let output = home.feed(&["build", "-q", "-f", "-", "-o", "b.wasm", "context"], dockerfile);
    assert!(output.status.success(), "{}", text(&output.stderr));
    home.check_store();
}

/// A tar whose links lead out of it: neither the Dockerfile nor what it copies is the host's.
#[test]
fn hostile_contexts_stay_within_themselves() {
    let home = home();
    home.write("secret", "FROM scratch\nCOPY secret /\n");
    let context = home.path().join("hostile");
    fs::create_dir(&context).unwrap();
    for (name, target) in [("link", "/secret"), ("up", "../secret"), (".dockerignore", "../secret")]
    {
        std::os::unix::fs::symlink(target, context.join(name)).unwrap();
    }
    let tar = |context: &str| {
        let mut tar = Command::new("tar");
        tar.args(["-cf", "-", "-C", context, "."]);
        tar.current_dir(home.path()).output().unwrap().stdout
    };
    let files = ["link", "up"];
    for file in files {
        fs::write(context.join("Dockerfile"), format!("FROM scratch\nCOPY {file}/x /\n")).unwrap();
        let output = home.feed(&["build", "-q", "-o", "x.wasm", "-"], &tar("hostile"));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("does not exist"), "{output:?}");
    }
    fs::remove_file(context.join("Dockerfile")).unwrap();
    std::os::unix::fs::symlink("../../../../../../secret", context.join("Dockerfile")).unwrap();
    let output = home.feed(&["build", "-q", "-o", "x.wasm", "-"], &tar("hostile"));
    assert!(text(&output.stderr).contains("the archive has no `Dockerfile`"), "{output:?}");
}

#[test]
fn names_are_listed_and_pruned() {
    let home = home();
    home.builds(&["-t", "app:1", "-t", "example.org/team/app", "-o", "a.wasm", "context"]);
    let table = home.succeeds(&["images"]);
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "DIGEST", "PLATFORM", "CREATED", "SIZE"]);
    assert_eq!((lines[1][0], lines[1][2]), ("app:1", "wasip1/wasm"));
    assert_eq!(lines[2][0], "example.org/team/app:latest");
    assert_eq!(lines[1][1].len(), 12);
    assert!(home.succeeds(&["images", "--digests"]).contains("sha256:"));

    let kept = home.succeeds(&["prune", "-f", "--filter", "until=1h"]);
    assert!(kept.contains("Cached results removed: 0\n"), "{kept}");
    let pruned = home.succeeds(&["prune", "-f"]);
    assert!(pruned.contains("deleted: sha256:") && !pruned.contains("untagged"), "{pruned}");
    assert_eq!(home.succeeds(&["images", "-q"]).lines().count(), 2);
    home.check_store();
    // The artifact is still there, what led to it is made again.
    let again = home.builds(&["-o", "b.wasm", "context"]);
    assert!(!again.contains("CACHED"), "{again}");
    assert!(home.read("a.wasm") == home.read("b.wasm"));
    let pruned = home.succeeds(&["prune", "-f", "-a"]);
    assert!(pruned.contains("untagged: docker.io/library/app:1"), "{pruned}");
    assert!(entries(&home.store().join("blobs/sha256")).is_empty());
    assert_eq!(home.succeeds(&["images", "-q"]), "");
}

/// A server of one file, on loopback, for as long as the test runs.
fn serve(content: &'static [u8]) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The request fits into one read, and says nothing that matters.
            let _ = stream.read(&mut [0; 4096]);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                content.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(content));
        }
    });
    port
}

#[test]
fn files_are_fetched_by_http() {
    let port = serve(b"fetched");
    let home = Home::with(&format!("FROM scratch\nADD http://127.0.0.1:{port}/dir/file /to/\n"));
    home.builds(&["-o", "type=local,dest=files", "context"]);
    assert_eq!(home.read("files/to/file"), b"fetched");
    let again = home.builds(&["-o", "type=local,dest=files", "context"]);
    assert!(again.contains("CACHED"), "what is fetched is the same: {again}");
}
