use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lithify_image::{Blob, Store};
use lithify_rootfs::Follow;

use super::*;
use crate::machine::MachineError;
use crate::{Built, DockerfileInput, Options, Progress};

/// What a [`Fake`] does when it is asked to execute.
#[derive(Clone)]
enum Answer {
    /// Changes described by this tar.
    Tar(Vec<u8>),
    Exit(u32),
    NotStarted,
}

/// A command, and the script that came with it.
type Asked = (Command, Option<Vec<u8>>);

/// Executes nothing and remembers what it was asked.
struct Fake {
    answer: Answer,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Executor for Fake {
    fn execute(
        &self,
        job: &Job<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Finished, MachineError> {
        output(Stream::Stdout, b"one\ntw");
        output(Stream::Stderr, b"three");
        let script = job.mounts.iter().find(|mount| mount.target == SCRIPT);
        let script = script.map(|script| match &script.kind {
            JobMountKind::File { content, mode: 0o755, .. } => content.clone(),
            _ => panic!("a script is an executable file"),
        });
        self.asked.lock().unwrap().push((job.command.clone(), script));
        let ended = match &self.answer {
            Answer::Tar(bytes) => Ended::Changed(blob(bytes)),
            Answer::Exit(code) => Ended::Failed { code: *code },
            Answer::NotStarted => Ended::NotStarted { message: "no such file".into() },
        };
        Ok(Finished { ended, caches: Vec::new() })
    }
}

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Progress for Log {
    fn event(&self, event: Event<'_>) {
        if let Event::StepOutput { id, line } = event {
            self.0.lock().unwrap().push(format!("#{id} {line}"));
        }
    }
}

fn blob(bytes: &[u8]) -> Blob {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Blob::whole(file, bytes.len() as u64, "the step's layer".into())
}

struct Outcome {
    built: Result<Built, Error>,
    asked: Vec<Asked>,
    log: Vec<String>,
}

fn run_with(answer: Answer, dockerfile: &str, args: &[(&str, &str)]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let mut options = Options::new(folder.path());
    options.source_date_epoch = 1000;
    options.dockerfile = DockerfileInput::Bytes(dockerfile.into());
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    options.build_args = args.iter().map(own).collect();
    let asked = Arc::new(Mutex::default());
    let fake = Fake { answer, asked: Arc::clone(&asked) };
    let log = Log::default();
    let built = crate::build_with(Some(Box::new(fake)), &options, &store, &log);
    Outcome {
        built,
        asked: std::mem::take(&mut asked.lock().unwrap()),
        log: log.0.into_inner().unwrap(),
    }
}

fn asked(dockerfile: &str, args: &[(&str, &str)]) -> Asked {
    let outcome = run_with(Answer::Tar(vec![0; 1024]), dockerfile, args);
    outcome.built.unwrap_or_else(|error| panic!("{}", error.render()));
    outcome.asked.into_iter().next_back().expect("a command was executed")
}

fn argv(dockerfile: &str) -> Vec<String> {
    asked(dockerfile, &[]).0.argv
}

#[test]
fn forms_of_the_command_are_docker_s() {
    let table: [(&str, &[&str]); 6] = [
        ("RUN echo $HOME && \\\n  ls", &["/bin/sh", "-c", "echo $HOME &&   ls"]),
        ("RUN [\"/bin/a\", \"b c\", \"$D\"]", &["/bin/a", "b c", "$D"]),
        ("SHELL [\"bash\", \"-ec\"]\nRUN x", &["bash", "-ec", "x"]),
        ("RUN <<EOF\na $B\n c\nEOF", &["/bin/sh", "-c", "a $B\n c\n"]),
        ("RUN <<-EOF\n\ta\n\t\tb\n\tEOF", &["/bin/sh", "-c", "a\nb\n"]),
        (
            "RUN cat <<A <<-'B' > /x\n1\nA\n\t2\n\tB",
            &["/bin/sh", "-c", "cat <<A <<-'B' > /x\n1\nA\n\t2\nB"],
        ),
    ];
    for (dockerfile, expected) in table {
        assert_eq!(argv(&format!("FROM scratch\n{dockerfile}\n")), expected, "{dockerfile}");
    }
}

#[test]
fn script_with_an_interpreter_becomes_a_file_for_its_step_only() {
    let dockerfile = "FROM scratch\nRUN <<EOF\n#!/usr/bin/python3\nprint()\nEOF\n";
    let outcome = run_with(Answer::Tar(vec![0; 1024]), dockerfile, &[]);
    let (command, script) = &outcome.asked[0];
    assert_eq!(command.argv, ["/bin/sh", "-c", SCRIPT]);
    assert_eq!(script.as_deref(), Some(&b"#!/usr/bin/python3\nprint()\n"[..]));
    let built = outcome.built.unwrap();
    let tree = built.tree().unwrap();
    let paths: Vec<_> = tree.walk().map(|entry| entry.path).collect();
    assert_eq!(paths, [Path::new("/")]);
}

#[test]
fn environment_is_env_then_arg_then_proxies() {
    let dockerfile = "FROM scratch\nENV A=env PATH=/bin\nARG A=arg\nARG B\nARG C\nWORKDIR /w\n\
                      USER 1:2\nRUN x\n";
    let args = [("B", "given"), ("HTTP_PROXY", "http://proxy"), ("SOURCE_DATE_EPOCH", "5")];
    let (command, script) = asked(dockerfile, &args);
    assert_eq!(command.env, ["PATH=/bin", "A=env", "B=given", "HTTP_PROXY=http://proxy"]);
    assert_eq!((&*command.cwd, &*command.user, script), ("/w", "1:2", None));
}

#[test]
fn arguments_end_with_their_stage() {
    let dockerfile = "FROM scratch AS a\nARG A=1\nRUN x\nFROM scratch\nCOPY --from=a / /\nRUN y\n";
    assert!(!asked(dockerfile, &[]).0.env.iter().any(|entry| entry.starts_with("A=")));
}

fn tar_of_everything() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, target: &str, data: &[u8], mtime: u64| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o4755);
        header.set_uid(7);
        header.set_mtime(mtime);
        header.set_size(data.len() as u64);
        if target.is_empty() {
            tar.append_data(&mut header, path, data).unwrap();
        } else {
            tar.append_link(&mut header, path, target).unwrap();
        }
    };
    add("z", tar::EntryType::Regular, "", b"zz", 999);
    add("a", tar::EntryType::Link, "z", b"", 0);
    add("d/", tar::EntryType::Directory, "", b"", 2000);
    add("d/.wh..wh..opq", tar::EntryType::Regular, "", b"", 0);
    add("d/new", tar::EntryType::Regular, "", b"", 1001);
    add("l", tar::EntryType::Symlink, "../../x", b"", 5);
    add(".wh.gone", tar::EntryType::Regular, "", b"", 0);
    tar.into_inner().unwrap()
}

#[test]
fn changes_become_a_layer_with_clamped_times() {
    let dockerfile = "FROM scratch\nCOPY <<1 <<old <<gone /d/\nx\n1\nold\ngone\nCOPY <<gone /\n\
                      gone\nRUN x\n";
    let build = || run_with(Answer::Tar(tar_of_everything()), dockerfile, &[]).built.unwrap();
    let built = build();
    let walked: Vec<_> = built
        .tree()
        .unwrap()
        .walk()
        .map(|entry| (entry.path.display().to_string(), entry.node.meta.mtime))
        .collect();
    let expected = [("/", 0), ("/a", 999), ("/d", 1000), ("/d/new", 1000), ("/l", 5), ("/z", 999)];
    assert_eq!(walked, expected.map(|(path, mtime)| (path.to_owned(), mtime)));
    let file = built.tree().unwrap().get(Path::new("/z"), Follow::No).unwrap().unwrap();
    assert_eq!((file.meta.mode, file.meta.uid), (0o4755, 7));
    let layers =
        |built: &Built| built.layers().iter().map(|layer| layer.digest).collect::<Vec<_>>();
    assert_eq!(layers(&built), layers(&build()));
}

#[test]
fn command_that_changes_nothing_makes_an_empty_layer() {
    let built = run_with(Answer::Tar(vec![0; 1024]), "FROM scratch\nRUN x\n", &[]).built.unwrap();
    // `head -c 1024 /dev/zero | sha256sum`: the layer that BuildKit makes of such a step as well.
    let empty = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    assert_eq!(built.layers()[0].diff_id.to_string(), empty);
    assert_eq!(built.config.rootfs.diff_ids.len(), 1);
    assert!(!built.config.history[0].empty_layer);
}

#[test]
fn output_arrives_in_lines_of_its_step() {
    let outcome = run_with(Answer::Exit(0), "FROM scratch\nUSER 1\nRUN x\n", &[]);
    assert_eq!(outcome.log, ["#3 one", "#3 tw", "#3 three"]);
}

#[test]
fn failures_are_located_and_say_what_buildkit_says() {
    let fails =
        |answer, dockerfile: &str| run_with(answer, dockerfile, &[]).built.unwrap_err().to_string();
    assert_eq!(
        fails(Answer::Exit(7), "FROM scratch\nRUN echo \"a\"; exit 7\n"),
        "Dockerfile:2: process \"/bin/sh -c echo \\\"a\\\"; exit 7\" did not complete \
         successfully: exit code: 7"
    );
    assert_eq!(
        fails(Answer::NotStarted, "FROM scratch\nRUN [\"/no\"]\n"),
        "Dockerfile:2: process \"/no\" could not be started: no such file"
    );
    let refusals = [
        ("--network=host", "RUN --network=host has to be allowed: pass --allow network.host"),
        (
            "--security=insecure",
            "RUN --security=insecure has to be allowed: pass --allow security.insecure",
        ),
        ("--device=d", "RUN --device=d: the machine that executes RUN has no devices of the host"),
        (
            "--mount=type=bind,source=nothing,target=/t",
            "`nothing` does not exist in the build context",
        ),
        (
            "--mount=type=secret,id=a,required",
            "--mount=type=secret,id=a,required: the secret `a` is required and was not given; \
             pass --secret id=a,src=FILE",
        ),
        (
            "--mount=type=ssh,required",
            "--mount=type=ssh,required: the ssh agent `default` is required and was not given; \
             pass --ssh default=SOCKET",
        ),
        (
            "--mount=type=cache,target=/c,source=/x",
            "--mount=type=cache,target=/c,source=/x: `source` of a cache needs a `from`",
        ),
        (
            "--mount=type=tmpfs,target=$UNSET/",
            "--mount=type=tmpfs,target=/: the target cannot be `/`",
        ),
    ];
    for (flag, problem) in refusals {
        let message = fails(Answer::Exit(0), &format!("FROM scratch\nRUN {flag} x\n"));
        assert_eq!(message, format!("Dockerfile:2: {problem}"));
    }
    asked("FROM scratch\nRUN --network=none x\nRUN --network=default x\n", &[]);
}

#[test]
fn agents_have_places_and_only_the_first_is_the_command_s() {
    let env = |dockerfile: &str| asked(&format!("FROM scratch\n{dockerfile}\n"), &[]).0.env;
    let set = |env: Vec<String>| {
        let mut set = env.into_iter().filter(|entry| entry.starts_with(AGENT_VARIABLE));
        (set.next(), set.next())
    };
    let only = |place: &str| (Some(format!("{AGENT_VARIABLE}{place}")), None);
    let default = only("/run/buildkit/ssh_agent.0");
    assert_eq!(set(env("RUN x")), (None, None));
    assert_eq!(set(env("RUN --mount=type=ssh --mount=type=ssh,id=a,target=/a x")), default);
    assert_eq!(set(env("WORKDIR /w\nRUN --mount=type=ssh,target=a x")), only("/w/a"));
    assert_eq!(set(env("ENV SSH_AUTH_SOCK=/mine\nRUN --mount=type=ssh x")), only("/mine"));
    let many = "--mount=type=ssh ".repeat(lithify_net::MAX_FORWARDED + 1);
    let outcome = run_with(Answer::Exit(0), &format!("FROM scratch\nRUN {many}x\n"), &[]);
    let message = outcome.built.unwrap_err().to_string();
    assert_eq!(message, "Dockerfile:2: --mount=type=ssh: a step has more than 64 ssh mounts");
}

#[test]
fn damaged_changes_are_refused() {
    let mut tar = tar_of_everything();
    let cut = tar.len() - 2048;
    tar.truncate(cut + 100);
    assert!(run_with(Answer::Tar(tar), "FROM scratch\nRUN x\n", &[]).built.is_err());
    for path in [".wh.", "d/.wh..", "d/.wh..."] {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, &b""[..]).unwrap();
        let outcome =
            run_with(Answer::Tar(tar.into_inner().unwrap()), "FROM scratch\nRUN x\n", &[]);
        let message = outcome.built.unwrap_err().to_string();
        assert!(message.contains("it hides no name"), "{message}");
    }
}
