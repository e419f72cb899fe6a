//! What runs, as whom, where and with which words: the image's wish and the user's.

use crate::support::{Artifact, Image, Lab, Outcome, Runtime, run};

fn ours(artifact: &Artifact, options: &[&str], args: &[&str]) -> Outcome {
    let mut command = artifact.lab().lithify();
    command.arg("run").args(options).arg(artifact.ours()).args(args);
    run(&mut command)
}

#[test]
fn entrypoint_and_cmd_combine_by_docker_s_rules() {
    let Some(lab) = Lab::get() else { return };
    for (target, args, expected) in [
        ("exec-form", &[][..], "[entry][one][two]"),
        ("exec-form", &["three"], "[entry][three]"),
        ("exec-form", &["--", "-i"], "[entry][--][-i]"),
        ("entrypoint-resets-cmd", &[], "[again]"),
        ("shell-form", &[], "[entry][hello]"),
        ("shell-form-cmd", &[], "[hello]"),
        ("shell-form-cmd", &["show", "$GREETING"], "[$GREETING]"),
    ] {
        let artifact = Artifact::of(lab, Image::Shell(target));
        for runtime in Runtime::BOTH {
            let outcome = runtime.run(&artifact, args).expect_code(0);
            assert_eq!(outcome.stdout_text(), expected, "{target} {args:?} {runtime:?}");
        }
    }
}

#[test]
fn another_entrypoint_drops_cmd() {
    let Some(lab) = Lab::get() else { return };
    let artifact = Artifact::of(lab, Image::Shell("exec-form"));
    for (entrypoint, args, expected) in
        [("show", &[][..], ""), ("show", &["x", "y"], "[x][y]"), ("", &["show", "z"], "[z]")]
    {
        let outcome = ours(&artifact, &["--entrypoint", entrypoint], args).expect_code(0);
        assert_eq!(outcome.stdout_text(), expected, "{entrypoint:?} {args:?}");
    }
    let outcome = ours(&artifact, &["--entrypoint", ""], &[]).expect_code(125);
    assert!(outcome.stderr_text().contains("no command specified"), "{}", outcome.stderr_text());
}

#[test]
fn words_arrive_as_they_are() {
    let Some(lab) = Lab::get() else { return };
    let artifact = Artifact::of(lab, Image::Shell("shell"));
    let words = ["show", "", " a  b ", "*", "$HOME", "\"'\\", "line\nbreak", "grün", "--help"];
    let expected: String = words[1..].iter().map(|word| format!("[{word}]")).collect();
    for runtime in Runtime::BOTH {
        let outcome = runtime.run(&artifact, &words).expect_code(0);
        assert_eq!(outcome.stdout_text(), expected, "{runtime:?}");
    }
}

#[test]
fn thousand_arguments_arrive() {
    let Some(lab) = Lab::get() else { return };
    let artifact = Artifact::of(lab, Image::Shell("shell"));
    let numbers: Vec<String> = (1..=1000).map(|n| n.to_string()).collect();
    let args: Vec<&str> = ["show"].into_iter().chain(numbers.iter().map(String::as_str)).collect();
    let expected: String = numbers.iter().map(|number| format!("[{number}]")).collect();
    for runtime in Runtime::BOTH {
        let outcome = runtime.run(&artifact, &args).expect_code(0);
        assert_eq!(outcome.stdout_text(), expected, "{runtime:?}");
    }
}

#[test]
fn variables_are_merged_over_the_image_s() {
    let Some(lab) = Lab::get() else { return };
    let artifact = Artifact::of(lab, Image::Shell("shell"));
    for runtime in Runtime::BOTH {
        let env = ["GREETING=good day", "EMPTY=", "EQUALS=a=b"];
        let outcome = run(&mut runtime.command(&artifact, &env, &["env"])).expect_code(0);
        let text = outcome.stdout_text();
        let mut lines: Vec<&str> =
            text.lines().filter(|line| !line.starts_with("HOSTNAME=")).collect();
        lines.sort_unstable();
        let expected = [
            "EMPTY=",
            "EQUALS=a=b",
            "GREETING=good day",
            "HOME=/root",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ];
        assert_eq!(lines, expected, "{runtime:?}");
    }
}

#[test]
fn variable_of_64_kib_arrives() {
    let Some(lab) = Lab::get() else { return };
    let artifact = Artifact::of(lab, Image::Shell("shell"));
    let value = "0123456789abcdef".repeat(4096);
    let variable = format!("LARGE={value}");
    for runtime in Runtime::BOTH {
        let args = ["sh", "-c", "printf %s \"$LARGE\""];
        let outcome = run(&mut runtime.command(&artifact, &[&variable], &args)).expect_code(0);
        assert!(outcome.stdout_text() == value, "{runtime:?}");
    }
}

/// The values of a line of `/proc/self/status`.
fn status<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of status");
    line.split_whitespace().collect()
}

#[test]
fn image_says_user_and_folder() {
    let Some(lab) = Lab::get() else { return };
    let artifact = Artifact::of(lab, Image::Shell("user-and-folder"));
    for runtime in Runtime::BOTH {
        let text = runtime.run(&artifact, &[]).expect_code(0).stdout_text();
        assert_eq!(text.lines().next(), Some("/srv/app"), "{runtime:?}");
        assert_eq!(status(&text, "Uid:"), ["33"; 4], "{runtime:?}");
        assert_eq!(status(&text, "Gid:"), ["34"; 4], "{runtime:?}");
        assert_eq!(status(&text, "Groups:"), ["29", "34"], "{runtime:?}");
        assert_eq!(status(&text, "CapEff:"), ["0000000000000000"], "{runtime:?}");
        assert_eq!(status(&text, "Pid:"), ["2"], "{runtime:?}");
        assert!(text.lines().any(|line| line == "HOME=/srv"), "{runtime:?}: {text}");
    }
}

#[test]
fn user_says_user_and_folder() {
    let Some(lab) = Lab::get() else { return };
    let artifact = Artifact::of(lab, Image::Shell("user-and-folder"));
    let text = ours(&artifact, &["-u", "4242:audio", "-w", "/made/anew"], &[]).expect_code(0);
    let text = text.stdout_text();
    assert_eq!(text.lines().next(), Some("/made/anew"));
    assert_eq!(status(&text, "Uid:"), ["4242"; 4]);
    assert_eq!(status(&text, "Gid:"), ["29"; 4]);
    for (options, message) in [
        (["-u", "ghost"], "lithify: user \"ghost\" has no entry in the image's /etc/passwd\n"),
        (
            ["-u", "web:ghosts"],
            "lithify: group \"ghosts\" has no entry in the image's /etc/group\n",
        ),
        (["-w", "/bin/show"], "lithify: enter working directory \"/bin/show\": not a directory\n"),
    ] {
        let outcome = ours(&artifact, &options, &[]).expect_code(125);
        assert_eq!(outcome.stderr_text(), message);
    }
}
