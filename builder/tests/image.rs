//! Stages, bases and the configuration that a build makes.

mod support;

use std::sync::Mutex;

use lithify_builder::{Event, Progress};
use lithify_image::{ImageConfig, Layer, LayoutWriter, Platform};
use support::{Fixture, list};

/// A base image with a file `/base`, as an OCI layout beside the context.
fn add_base(
    fixture: &mut Fixture,
    name: &str,
    platform: &Platform,
    change: impl Fn(&mut ImageConfig),
) {
    let saved = fixture.options.clone();
    fixture.options.platform = platform.clone();
    fixture.write("base", "b");
    let built = fixture.build("FROM scratch\nCOPY base /base\n");
    fixture.options = saved;
    let mut config = built.config.clone();
    change(&mut config);
    let dir = fixture.beside("layout");
    let mut layout = LayoutWriter::create(&dir).unwrap();
    layout.add_image(&config, &built.layers(), Some("1")).unwrap();
    fixture.options.contexts.insert(name.into(), format!("oci-layout://{}:1", dir.display()));
}

fn riscv64() -> Platform {
    Platform::linux("riscv64")
}

#[test]
fn settings_end_up_in_the_configuration() {
    let mut fixture = Fixture::new();
    let config = fixture
        .build(
            "FROM scratch\nARG V=1\nENV A=$V B=\"x y\" C='$V'\nENV A=2 D=$A\nENV OLD old value\nLABEL k=$A \"l m\"=n\n\
             USER app:$A\nWORKDIR /w\nWORKDIR sub/../x\nEXPOSE 80 90-91/udp\nVOLUME /v [x\nVOLUME [\"/a b\"]\n\
             STOPSIGNAL SIGINT\nSHELL [\"/bin/bash\", \"-c\"]\nENTRYPOINT run $A\nCMD [\"a\", \"$A\"]\n\
             HEALTHCHECK --interval=30s --retries=2 CMD check\nONBUILD COPY . /\nMAINTAINER me\n"
                .replace("USER app:$A\n", "")
                .as_str(),
        )
        .config;
    let run = &config.config;
    assert_eq!(
        run.env,
        [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "A=2",
            "B=x y",
            "C=$V",
            "D=1",
            "OLD=old value",
        ]
    );
    assert_eq!(run.labels.iter().collect::<Vec<_>>().len(), 2);
    assert_eq!(run.labels["k"], "2");
    assert_eq!(run.labels["l m"], "n");
    assert_eq!(run.working_dir, "/w/x");
    assert_eq!(run.exposed_ports.iter().collect::<Vec<_>>(), ["80/tcp", "90/udp", "91/udp"]);
    assert_eq!(run.volumes.iter().collect::<Vec<_>>(), ["/a b", "/v", "[x"]);
    assert_eq!(run.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(run.entrypoint.as_deref().unwrap(), ["/bin/bash", "-c", "run $A"]);
    assert_eq!(run.cmd.as_deref().unwrap(), ["a", "$A"]);
    let check = run.healthcheck.as_ref().unwrap();
    assert_eq!(check.test, ["CMD-SHELL", "check"]);
    assert_eq!((check.interval, check.retries), (Some(30_000_000_000), Some(2)));
    assert_eq!(run.on_build, ["COPY . /"]);
    assert_eq!(config.author.as_deref(), Some("me"));
    assert_eq!(config.created.as_deref(), Some("1970-01-01T00:00:00Z"));
    assert_eq!((config.os.as_str(), config.architecture.as_str()), ("linux", "riscv64"));
}

#[test]
fn env_beats_arg_and_build_arguments_beat_defaults() {
    let mut fixture = Fixture::new();
    fixture.options.build_args.insert("GIVEN".into(), "given".into());
    let config = fixture
        .build(
            "ARG GLOBAL=global\nARG GIVEN=default\nFROM scratch\nARG GLOBAL\nARG GIVEN=other\nARG TARGETARCH\n\
             ARG E=arg\nENV E=env\nARG E=again\nARG UNSET\nENV R=$GLOBAL/$GIVEN/$TARGETARCH/$E/${UNSET-unset}\n",
        )
        .config;
    assert_eq!(config.config.env.last().unwrap(), "R=global/given/riscv64/env/unset");
}

#[test]
fn global_arguments_reach_only_the_stages_that_declare_them() {
    let mut fixture = Fixture::new();
    let built = fixture.build("ARG G=global\nFROM scratch AS a\nARG G\nFROM a\nENV A=$G\nFROM scratch\nENV B=$G\nLABEL x=$PATHH\n");
    assert_eq!(built.config.config.env.last().unwrap(), "B=");
    let messages: Vec<_> = built.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(
        messages,
        ["the variable `G` is not set", "the variable `PATHH` is not set (did you mean `PATH`?)"]
    );
}

#[test]
fn stages_inherit_and_copy_from_each_other() {
    let mut fixture = Fixture::with(&[("f", "x"), ("passwd", "u:x:5:6::/:/bin/sh\n")]);
    let built = fixture.build(
        "FROM scratch AS build\nENV A=1\nCOPY --chown=5:6 --chmod=600 f /out/f\nFROM build AS more\nENV B=$A\nCMD [\"x\"]\n\
         FROM more\nCOPY --from=build /out /copied\nCOPY --from=0 /out/f /zero\n",
    );
    assert_eq!(
        list(built.tree().unwrap()),
        [
            "755 5:6 /copied/",
            "600 5:6 /copied/f \"x\"",
            "755 5:6 /out/",
            "600 5:6 /out/f \"x\"",
            "600 5:6 /zero \"x\"",
        ]
    );
    assert_eq!(built.config.config.env[1..], ["A=1", "B=1"]);
    assert_eq!(built.config.config.cmd.as_deref().unwrap(), ["x"]);
    assert_eq!(built.layers().len(), 3);
    assert_eq!(built.config.rootfs.diff_ids.len(), 3);
    let layers = built.config.history.iter().filter(|entry| !entry.empty_layer).count();
    assert_eq!(layers, 3);
}

#[test]
fn an_entrypoint_drops_the_command_of_the_base_only() {
    let mut fixture = Fixture::new();
    let mut cmd = |text: &str| fixture.build(text).config.config.cmd;
    assert_eq!(cmd("FROM scratch AS a\nCMD [\"x\"]\nFROM a\nENTRYPOINT [\"y\"]\n"), None);
    assert_eq!(cmd("FROM scratch\nCMD [\"x\"]\nENTRYPOINT [\"y\"]\n"), Some(vec!["x".to_owned()]));
}

#[test]
fn images_stand_in_for_their_names() {
    let mut fixture = Fixture::with(&[("f", "x")]);
    add_base(&mut fixture, "debian:trixie-slim", &riscv64(), |config| {
        config.config.env = vec!["PATH=/own".into(), "BASE=1".into()];
    });
    let built = fixture.build(
        "ARG V=trixie-slim\nFROM docker.io/library/debian:$V AS d\nCOPY f /f\nENV X=$BASE\nFROM scratch\n\
         COPY --from=d / /\nCOPY --from=debian:trixie-slim base /again\n",
    );
    assert_eq!(
        list(built.tree().unwrap()),
        ["644 0:0 /again \"b\"", "644 0:0 /base \"b\"", "644 0:0 /f \"x\""]
    );
    let based = fixture.build("FROM debian:trixie-slim\nENV X=$BASE\n");
    assert_eq!(based.config.config.env, ["PATH=/own", "BASE=1", "X=1"]);
    assert_eq!(based.layers().len(), 1);
}

#[test]
fn triggers_of_the_base_run_first_and_vanish() {
    let mut fixture = Fixture::with(&[("f", "x")]);
    add_base(&mut fixture, "base", &riscv64(), |config| {
        config.config.on_build = vec!["ENV T=1".into(), "COPY f /triggered".into()];
    });
    let built = fixture.build("FROM base\nENV U=$T\n");
    assert_eq!(list(built.tree().unwrap()), ["644 0:0 /base \"b\"", "644 0:0 /triggered \"x\""]);
    assert_eq!(built.config.config.env[1..], ["T=1", "U=1"]);
    assert!(built.config.config.on_build.is_empty());

    for (trigger, problem) in [
        ("ONBUILD ENV A=1", "expected one instruction, and none of FROM, ONBUILD, MAINTAINER"),
        ("FROM scratch", "expected one instruction, and none of FROM, ONBUILD, MAINTAINER"),
        ("ENVV A=1", "unknown instruction `ENVV` (did you mean `ENV`?)"),
    ] {
        let mut fixture = Fixture::new();
        add_base(&mut fixture, "base", &riscv64(), |config| {
            config.config.on_build = vec![trigger.into()];
        });
        assert_eq!(
            fixture.error("FROM base\n"),
            format!("Dockerfile:1: the base's trigger `ONBUILD {trigger}`: {problem}")
        );
    }
}

#[test]
fn triggers_that_copy_from_their_own_stage_are_refused() {
    let mut fixture = Fixture::new();
    add_base(&mut fixture, "base", &riscv64(), |config| {
        config.config.on_build = vec!["COPY --from=me /x /".into()];
    });
    assert_eq!(
        fixture.error("FROM base AS me\n"),
        "Dockerfile:1: stages need each other: me -> me"
    );
}

#[test]
fn images_for_other_machines_are_refused() {
    let mut fixture = Fixture::new();
    add_base(&mut fixture, "base", &Platform::linux("amd64"), |_| {});
    let error = fixture.error("FROM base\n");
    assert!(error.contains("linux/amd64") && error.contains("linux/riscv64"), "{error}");
}

#[test]
fn directories_given_by_name_are_sources_but_no_bases() {
    let mut fixture = Fixture::new();
    let other = fixture.beside("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("g"), "y").unwrap();
    std::fs::write(other.join("h"), "y").unwrap();
    std::fs::write(other.join(".dockerignore"), "h\n").unwrap();
    fixture.options.contexts.insert("other".into(), other.display().to_string());
    let list = fixture.list("FROM scratch\nCOPY --from=other g /\n");
    assert!(list[0].ends_with("/g \"y\""));
    assert_eq!(
        fixture.error("FROM scratch\nCOPY --from=other h /\n"),
        "Dockerfile:2: `h` is left out of the build context by .dockerignore"
    );
    assert_eq!(
        fixture.error("FROM other\n"),
        "Dockerfile:1: FROM other: the build context of that name is a directory, not an image"
    );
}

#[test]
fn what_this_version_lacks_is_named() {
    let mut fixture = Fixture::new();
    assert_eq!(
        fixture.error("FROM debian:trixie-slim\n"),
        "Dockerfile:1: FROM debian:trixie-slim: nothing is pulled; \
         pass --build-context debian:trixie-slim=oci-layout://DIR"
    );
    assert_eq!(
        fixture.error("FROM scratch\nCOPY --from=busybox /bin /\n"),
        "Dockerfile:2: --from=busybox: nothing is pulled; \
         pass --build-context busybox=oci-layout://DIR"
    );
    assert_eq!(
        fixture.error("FROM scratch\nRUN true\n"),
        "Dockerfile:2: RUN needs a machine to execute in, and this build was given none"
    );
}

#[test]
fn only_what_the_target_needs_is_built() {
    let mut fixture = Fixture::new();
    fixture.options.target = Some("b".into());
    let built =
        fixture.build("FROM scratch AS a\nRUN never\nFROM scratch AS b\nENV X=1\nFROM nowhere\n");
    assert_eq!(built.config.config.env.last().unwrap(), "X=1");
}

#[test]
fn workdirs_are_made_for_the_user_in_effect() {
    let mut fixture = Fixture::with(&[("etc/passwd", "app:x:7:8::/:/bin/sh\n")]);
    let built = fixture
        .build("FROM scratch\nCOPY etc /etc\nWORKDIR /a/b\nUSER app\nWORKDIR /a/c\nWORKDIR /a/b\n");
    let list = list(built.tree().unwrap());
    assert_eq!(list[..3], ["755 0:0 /a/", "755 0:0 /a/b/", "755 7:8 /a/c/"]);
    assert_eq!(built.layers().len(), 3);
    assert_eq!(built.config.history.len(), 5);
}

#[test]
fn equal_input_gives_equal_images_whatever_the_times() {
    let build = |seconds: u64| {
        let mut fixture = Fixture::with(&[("d/a", "1"), ("d/b", "2")]);
        for name in ["d/a", "d/b", "d"] {
            let path = fixture.context().join(name);
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            std::fs::File::open(path).unwrap().set_modified(time).unwrap();
        }
        let built = fixture.build("FROM scratch\nCOPY d /d\nWORKDIR /w\nENV A=1\n");
        let digests: Vec<_> = built.layers().iter().map(|layer: &Layer| layer.digest).collect();
        (built.config.to_json(), digests)
    };
    assert_eq!(build(1_700_000_000), build(1_600_000_000));
}

#[test]
fn source_date_epoch_is_the_time_of_all_that_is_made() {
    let mut fixture = Fixture::with(&[("f", "x")]);
    fixture.options.build_args.insert("SOURCE_DATE_EPOCH".into(), "86400".into());
    let built = fixture.build("FROM scratch\nCOPY f /d/f\n");
    assert_eq!(built.config.created.as_deref(), Some("1970-01-02T00:00:00Z"));
    let mtimes: Vec<_> =
        built.tree().unwrap().walk().skip(1).map(|entry| entry.node.meta.mtime).collect();
    assert_eq!(mtimes, [86_400, 86_400]);
    fixture.options.build_args.insert("SOURCE_DATE_EPOCH".into(), "soon".into());
    assert_eq!(
        fixture.error("FROM scratch\n"),
        "SOURCE_DATE_EPOCH=soon: expected seconds since 1970, below 2^32"
    );
}

#[test]
fn variables_that_double_without_end_are_stopped() {
    let mut fixture = Fixture::new();
    let mut text = String::from("FROM scratch\nENV A=0123456789\n");
    text.push_str(&"ENV A=$A$A\n".repeat(40));
    assert!(fixture.error(&text).ends_with("the word expands to more than 1048576 bytes"));
    let mut text = String::from("FROM scratch\n");
    for n in 0..100 {
        text.push_str(&format!("ENV A{n}={}\n", "x".repeat(60_000)));
    }
    assert!(fixture.error(&text).ends_with("the environment has more than 2097152 bytes"));
}

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Progress for Recorder {
    fn event(&self, event: Event<'_>) {
        self.0.lock().unwrap().push(match event {
            Event::StepStarted { id, stage, index, total, text } => {
                format!("#{id} [{stage} {index}/{total}] {text}")
            }
            Event::StepDone { id } => format!("#{id} DONE"),
            Event::Warning(warning) => format!("WARNING {}", warning.rule),
            _ => "other".to_owned(),
        });
    }
}

#[test]
fn progress_names_every_step() {
    let mut fixture = Fixture::new();
    let text = "FROM scratch AS a\nENV A=$X\nFROM a\nCMD b \\\n  c\n";
    fixture.options.dockerfile = lithify_builder::DockerfileInput::Bytes(text.into());
    let recorder = Recorder::default();
    lithify_builder::build(&fixture.options, &fixture.store, &recorder).unwrap();
    assert_eq!(
        *recorder.0.lock().unwrap(),
        [
            "WARNING JSONArgsRecommended",
            "#1 [a 1/2] FROM scratch AS a",
            "#1 DONE",
            "#2 [a 2/2] ENV A=$X",
            "WARNING UndefinedVar",
            "#2 DONE",
            "#3 [stage-1 1/2] FROM a",
            "#3 DONE",
            "#4 [stage-1 2/2] CMD b   c",
            "#4 DONE",
        ]
    );
}

#[test]
fn missing_contexts_and_dockerfiles_are_named() {
    let mut fixture = Fixture::new();
    fixture.options.dockerfile = lithify_builder::DockerfileInput::InContext;
    let build = |fixture: &Fixture| {
        lithify_builder::build(&fixture.options, &fixture.store, &()).unwrap_err().to_string()
    };
    assert!(build(&fixture).contains("context/Dockerfile: No such file"), "{}", build(&fixture));
    fixture.options.context = fixture.beside("nowhere");
    let error = fixture.error("FROM scratch\n");
    assert!(error.contains("build context") && error.contains("nowhere"), "{error}");
    fixture.options.context = fixture.beside("file");
    std::fs::write(fixture.context(), "").unwrap();
    let error = fixture.error("FROM scratch\n");
    assert!(error.contains("ot a directory"), "{error}");
}

#[test]
fn the_check_directive_reaches_warnings_of_the_build_itself() {
    const FILE: &str =
        "FROM scratch\nWORKDIR w\nENV A=$NONE\nCOPY [\"*.none\", \"/\"]\nEXPOSE 8080:80\n";
    let rules = |head: &str| {
        let mut fixture = Fixture::new();
        let built = fixture.build(&format!("{head}{FILE}"));
        assert!(built.config.config.exposed_ports.contains("80/tcp"));
        built.warnings.iter().map(|warning| warning.rule).collect::<Vec<_>>()
    };
    let all = ["ExposeInvalidFormat", "WorkdirRelativePath", "UndefinedVar", "NoMatch"];
    assert_eq!(rules(""), all);
    assert_eq!(rules("# check=skip=undefinedvar,NoMatch\n"), &all[..2]);
    assert_eq!(rules("# check=skip=all\n"), [""; 0]);
    let error = Fixture::new().error("# check=error=true\nFROM scratch\nENV A=$NONE\n");
    assert!(error.ends_with("makes warnings errors: UndefinedVar (line 3)"), "{error}");
}
