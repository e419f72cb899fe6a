//! Publishing and fetching by name, with Debian's docker-registry and skopeo as the others.

mod home;
mod support;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use home::Home;
use support::{Door, Server, User, has, module, text};

fn login(user: &User, server: &Server, password: &str) -> std::process::Output {
    let mut child = user
        .lithify(&["login", "-u", "me", "--password-stdin", &server.name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn an_artifact_is_pushed_removed_and_run_by_its_name() {
    if !has(&["docker-registry"]) {
        return;
    }
    let server = Server::start(Door::Open);
    let name = format!("{}/team/app:1", server.name());
    let user = User::new();
    let artifact = user.add("app", &module(7));
    user.succeeds(&["tag", "app", &name]);
    let pushed = user.succeeds(&["push", &name]);
    assert_eq!(pushed, format!("{name}@{}\n", artifact.digest));

    let other = User::new();
    let run = |words: &[&str]| other.lithify(words).output().unwrap().status.code();
    other.fails(&["run", "--pull", "never", &name], &["not in the local store"]);
    assert_eq!(run(&["run", &name]), Some(7));
    assert!(other.succeeds(&["images"]).contains(&name));

    // Another artifact under the same name.
    user.add(&name, &module(8));
    user.succeeds(&["push", "-q", &name]);
    assert_eq!(run(&["run", &name]), Some(7), "what is here is used");
    assert_eq!(run(&["run", "--pull", "always", &name]), Some(8));
    let by_digest = format!("{}/team/app@{}", server.name(), artifact.digest);
    assert_eq!(run(&["run", &by_digest]), Some(7));
    assert_eq!(other.succeeds(&["rm", &name]), format!("{name}\n"));
    other.fails(&["rm", &name], &["not in the local store"]);
    other.check_store();
}

#[test]
fn a_file_wins_over_a_name_and_hints_are_given() {
    let user = User::new();
    user.add("app:v1", &module(7));
    let run = |word: &str| user.lithify(&["run", "--pull", "never", word]).output().unwrap();
    assert_eq!(run("app:v1").status.code(), Some(7));
    std::fs::write(user.home().join("app:v1"), module(9)).unwrap();
    assert_eq!(run("app:v1").status.code(), Some(9));
    user.fails(
        &["run", "--pull", "never", "ap:v1"],
        &["ap:v1: not in the local store (did you mean `app:v1`?)"],
    );
    user.fails(&["push", "apq:v1"], &["(did you mean `app:v1`?)"]);
    user.fails(&["run", "missing.wasm"], &["missing.wasm"]);
}

#[test]
fn other_tools_see_the_same_digests() {
    if !has(&["docker-registry", "skopeo"]) {
        return;
    }
    let server = Server::start(Door::Open);
    let (name, copy) = (format!("{}/app:1", server.name()), format!("{}/copy:1", server.name()));
    let user = User::new();
    let artifact = user.add(&name, &module(7));
    user.succeeds(&["push", "-q", &name]);
    let folder = user.home().join("layout");
    let layout = format!("oci:{}:x", folder.display());
    for (from, to) in
        [(format!("docker://{name}"), layout.clone()), (layout, format!("docker://{copy}"))]
    {
        let output = Command::new("skopeo")
            .args([
                "--insecure-policy",
                "copy",
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
            ])
            .args([from, to])
            .env("XDG_RUNTIME_DIR", user.home())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    let other = User::new();
    assert_eq!(other.succeeds(&["pull", &copy]), format!("{copy}@{}\n", artifact.digest));
    assert_eq!(other.lithify(&["run", &copy]).output().unwrap().status.code(), Some(7));
}

#[test]
fn login_is_asked_for_kept_and_forgotten() {
    if !has(&["docker-registry"]) {
        return;
    }
    let server = Server::start(Door::Password);
    let name = format!("{}/app:1", server.name());
    let user = User::new();
    user.add(&name, &module(7));
    user.fails(&["push", &name], &["denied", &format!("lithify login {}", server.name())]);
    let refused = login(&user, &server, "wrong");
    assert_eq!(refused.status.code(), Some(125));
    assert!(text(&refused).contains("does not accept the user name and password"));
    assert!(login(&user, &server, "secret\n").status.success());
    let config = user.home().join(".docker/config.json");
    assert_eq!(config.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    user.succeeds(&["push", "-q", &name]);
    user.succeeds(&["pull", "-q", &name]);
    user.succeeds(&["logout", &server.name()]);
    user.fails(&["pull", &name], &["denied"]);
}

#[test]
fn a_credential_helper_keeps_the_password() {
    if !has(&["docker-registry"]) {
        return;
    }
    let server = Server::start(Door::Password);
    let name = format!("{}/app:1", server.name());
    let user = User::new();
    user.add(&name, &module(7));
    let bin = user.home().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let helper = bin.join("docker-credential-test");
    let script = "#!/bin/sh\nkept=$HOME/kept\nnone() { echo 'credentials not found in native \
         keychain'; exit 1; }\ncase $1 in\nget) cat $kept 2>/dev/null || none;;\nstore) cat > \
         $kept;;\nerase) rm $kept 2>/dev/null || none;;\nesac\n";
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let run = |words: &[&str]| {
        let mut command = user.lithify(words);
        let mut child = command
            .env("PATH", &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(b"secret");
        child.wait_with_output().unwrap()
    };
    std::fs::create_dir(user.home().join(".docker")).unwrap();
    let config = user.home().join(".docker/config.json");
    for document in [
        r#"{"credsStore":"test"}"#.to_owned(),
        format!(r#"{{"credHelpers":{{"{}":"test"}},"credsStore":"missing"}}"#, server.name()),
    ] {
        std::fs::write(&config, document).unwrap();
        let outcome = run(&["login", "-u", "me", "--password-stdin", &server.name()]);
        assert!(outcome.status.success(), "{}", text(&outcome));
        assert!(!std::fs::read_to_string(&config).unwrap().contains("auth\""));
        let outcome = run(&["push", "-q", &name]);
        assert!(outcome.status.success(), "{}", text(&outcome));
        assert!(text(&run(&["logout", &server.name()])).contains("logged out of"));
        assert!(text(&run(&["logout", &server.name()])).contains("was not logged in to"));
    }
    std::fs::write(&config, r#"{"credsStore":"missing"}"#).unwrap();
    let outcome = text(&run(&["pull", &name]));
    assert!(outcome.contains("credential helper docker-credential-missing"), "{outcome}");
}

#[test]
fn a_registry_s_certificate_must_be_trusted() {
    if !has(&["docker-registry", "openssl"]) {
        return;
    }
    let server = Server::start(Door::Tls);
    let name = format!("{}/app:1", server.name());
    let authority = server.folder().join("ca.pem").display().to_string();
    let user = User::new();
    user.add(&name, &module(7));
    user.fails(&["push", &name], &["https://", "ertificate"]);
    user.succeeds(&["push", "-q", "--ca-file", &authority, &name]);
    user.succeeds(&["pull", "-q", "--insecure", &name]);
    user.fails(&["pull", "--plain-http", &name], &["http://"]);
    // Where docker's users keep it.
    let folder = user.home().join(".config/docker/certs.d").join(server.name());
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(&authority, folder.join("ca.crt")).unwrap();
    user.succeeds(&["pull", "-q", &name]);
}

#[test]
fn native_code_of_a_registry_is_used_only_if_it_is_trusted_and_listed() {
    if !has(&["docker-registry"]) {
        return;
    }
    let server = Server::start(Door::Open);
    let name = format!("{}/app:1", server.name());
    let user = User::new();
    user.add(&name, &module(7));
    user.succeeds(&["push", "-q", "--compiled", &name]);

    let code = |user: &User, words: &[&str]| user.lithify(words).output().unwrap().status.code();
    let blobs =
        |user: &User| std::fs::read_dir(user.store_path().join("blobs/sha256")).unwrap().count();
    let careful = User::new();
    assert_eq!(code(&careful, &["run", &name]), Some(7));
    assert_eq!(blobs(&careful), 3, "manifest, config, module");
    let trusting = User::new();
    assert_eq!(code(&trusting, &["run", "--trust-compiled", &name]), Some(7));
    assert_eq!(blobs(&trusting), 4, "and the native code");
    assert!(!trusting.home().join("cache/lithify/compiled").exists(), "nothing was compiled");

    // An artifact that lists none gets none.
    user.add(&name, &module(8));
    user.succeeds(&["push", "-q", &name]);
    let late = User::new();
    assert_eq!(code(&late, &["run", "--trust-compiled", &name]), Some(8));
    assert_eq!(blobs(&late), 3);
}

#[test]
fn ctrl_c_ends_a_pull_with_130_and_a_whole_store() {
    // A registry that accepts and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("127.0.0.1:{}/app", listener.local_addr().unwrap().port());
    let user = User::new();
    let child = user
        .lithify(&["pull", "--plain-http", &name])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _connection = listener.accept().unwrap();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    assert!(text(&output).contains("error: canceled"));
}

/// Runs `lithify` again and again, with these words, and kills all but the last run at some moment.
fn killed_again_and_again(
    user: &User,
    worker: u64,
    rounds: u64,
    words: impl Fn(u64) -> Vec<String>,
) {
    for round in 0..rounds {
        let words = words(round);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = user.lithify(&words);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let pause = (worker * 7919 + round * 104_729) % 90;
        std::thread::sleep(std::time::Duration::from_millis(pause));
        let is_last = round + 1 == rounds;
        if !is_last {
            child.kill().unwrap();
        }
        let output = child.wait_with_output().unwrap();
        assert!(!is_last || output.status.success(), "{words:?}: {}", text(&output));
    }
}

/// Artifacts with the same megabytes of data and their own code; returns their names.
fn publish_overlapping(server: &Server) -> Vec<String> {
    let publisher = User::new();
    let names: Vec<String> = (0..4).map(|n| format!("{}/app:{n}", server.name())).collect();
    for (number, name) in (0..).zip(&names) {
        let mut bytes = module(number);
        // A custom section (core specification 5.5.3), 8 MiB long.
        bytes.extend([0, 0x85, 0x80, 0x80, 0x04, 4]);
        bytes.extend(b"data");
        bytes.extend(vec![number as u8; 8 << 20]);
        publisher.add(name, &bytes);
        publisher.succeeds(&["push", "-q", name]);
    }
    names
}

/// Build contexts with a file of their own and one that all have.
fn add_contexts(user: &User) {
    for number in 0..4_u8 {
        let folder = user.home().join(format!("context{number}"));
        std::fs::create_dir(&folder).unwrap();
        let dockerfile = "FROM scratch\nCOPY common /common\nCOPY own /own\nCOPY common /again\n";
        std::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
        std::fs::write(folder.join("common"), vec![7; 4 << 20]).unwrap();
        std::fs::write(folder.join("own"), vec![number; 1 << 20]).unwrap();
    }
}

/// Four workers pull and four build in one store; every image and artifact is whole at the end.
fn killed_workers_leave_a_whole_store(rounds: u64) {
    if !has(&["docker-registry"]) {
        return;
    }
    let server = Server::start(Door::Open);
    let names = publish_overlapping(&server);
    let user = User::new();
    add_contexts(&user);
    let boot = Home::new();
    boot.boot_files();
    let boot = boot.path().join("boot").display().to_string();
    std::thread::scope(|scope| {
        for worker in 0..8_u64 {
            let (user, names, boot) = (&user, &names, &boot);
            scope.spawn(move || {
                killed_again_and_again(user, worker, rounds, |round| {
                    let number = (worker + round) % 4;
                    match worker % 2 {
                        0 => vec!["pull".into(), "-q".into(), names[number as usize].clone()],
                        _ => build(boot, worker, number),
                    }
                });
            });
        }
    });
    user.check_store();
    check_pulled(&user, &names);
    let fresh = User::new();
    add_contexts(&fresh);
    for number in 0..4 {
        let words = build(&boot, 8, number);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(user.succeeds(&words), fresh.succeeds(&words), "context {number}");
        user.succeeds(&["run", "--pull", "never", &format!("built:{number}")]);
    }
}

/// The words that build the context of this number into a file of this worker's.
fn build(boot: &str, worker: u64, number: u64) -> Vec<String> {
    let (output, tag) = (format!("{worker}.wasm"), format!("built:{number}"));
    let context = format!("context{number}");
    ["build", "-q", "--boot-files", boot, "--translate=off", "-o", &output, "-t", &tag, &context]
        .map(str::to_owned)
        .into()
}

fn check_pulled(user: &User, names: &[String]) {
    let store = user.store();
    for named in store.names().unwrap() {
        let artifact = store.artifact(&named.descriptor).unwrap().unwrap();
        store.get_reading_all(&artifact.module.digest).unwrap();
    }
    for (number, name) in (0..).zip(names) {
        assert_eq!(user.lithify(&["run", name]).output().unwrap().status.code(), Some(number));
    }
}

#[test]
fn pulls_and_builds_that_are_killed_leave_a_whole_store() {
    killed_workers_leave_a_whole_store(6);
}

#[test]
#[ignore = "slow: hundreds of runs"]
fn many_pulls_and_builds_that_are_killed_leave_a_whole_store() {
    killed_workers_leave_a_whole_store(60);
}
