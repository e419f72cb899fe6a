//! Cross-checks with two published parsers, on the cases that each of them gets right, and any folder of
//! other people's Dockerfiles.
//!
//! The lists name the cases that a parser is known to get wrong; a case that it gets right after all
//! must leave its list.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lithify_builder::{Dockerfile, Instruction};

/// Keywords in order and the bases of FROM.
type Outline = (Vec<String>, Vec<String>);

fn ours(text: &str) -> Option<Outline> {
    let parsed = Dockerfile::parse("Dockerfile", text.into()).ok()?;
    let keyword = |text: &str| text.split_whitespace().next().unwrap().to_uppercase();
    let keywords = parsed.steps.iter().map(|step| keyword(&step.text)).collect();
    let bases = parsed.steps.iter().filter_map(|step| match &step.instruction {
        Instruction::From(from) => Some(from.base.clone()),
        _ => None,
    });
    Some((keywords, bases.collect()))
}

/// The variant's name, which is the keyword.
fn variant(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split('(').next().unwrap().to_uppercase()
}

fn parse_dockerfile(text: &str) -> Option<Outline> {
    let parsed = parse_dockerfile::parse(text).ok()?;
    let keywords = parsed.instructions.iter().map(variant).collect();
    let bases = parsed.instructions.iter().filter_map(|instruction| match instruction {
        parse_dockerfile::Instruction::From(from) => Some(from.image.value.to_string()),
        _ => None,
    });
    Some((keywords, bases.collect()))
}

fn dockerfile_parser(text: &str) -> Option<Outline> {
    use dockerfile_parser::Instruction;
    let parsed = dockerfile_parser::Dockerfile::parse(text).ok()?;
    let keyword = |instruction: &Instruction| match instruction {
        Instruction::Misc(misc) => misc.instruction.content.to_uppercase(),
        other => variant(other),
    };
    let keywords = parsed.instructions.iter().map(keyword).collect();
    let bases = parsed.instructions.iter().filter_map(|instruction| match instruction {
        Instruction::From(from) => Some(from.image.content.clone()),
        _ => None,
    });
    Some((keywords, bases.collect()))
}

fn cases() -> BTreeMap<String, String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let cases = paths.filter(|path| path.extension().is_some_and(|e| e == "dockerfile"));
    cases
        .filter_map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            Some((name, fs::read_to_string(path).ok()?))
        })
        .collect()
}

fn check(foreign: impl Fn(&str) -> Option<Outline>, known_wrong: &[&str]) {
    let wrong: Vec<String> = cases()
        .into_iter()
        .filter(|(_, text)| ours(text).is_some_and(|ours| foreign(text).as_ref() != Some(&ours)))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(wrong, known_wrong);
}

#[test]
fn outlines_agree_with_parse_dockerfile() {
    check(
        parse_dockerfile,
        &[
            "cmd-exec-empty",
            "continuation-double-backslash",
            "copy-dash-dash",
            "heredoc-redirect",
            "heredoc-several",
            "heredoc-with-continuation",
        ],
    );
}

#[test]
fn outlines_agree_with_dockerfile_parser() {
    check(
        dockerfile_parser,
        &[
            "arg-forms",
            "bom",
            "cmd-exec",
            "cmd-json-broken-is-shell",
            "continuation-blank",
            "continuation-double-backslash",
            "continuation-in-word",
            "copy-heredoc",
            "copy-heredoc-crlf",
            "copy-heredoc-empty",
            "copy-json",
            "env-continued",
            "env-forms",
            "escape-backtick",
            "from-platform",
            "heredoc-redirect",
            "heredoc-run",
            "heredoc-several",
            "heredoc-shebang",
            "heredoc-with-continuation",
            "label-forms",
            "onbuild-heredoc",
            "utf8",
        ],
    );
}

/// The files below a folder, in order.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    files.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy().to_lowercase();
        name.contains("dockerfile") && !name.ends_with(".dockerignore")
    });
    files.sort();
    files
}

/// Prints a line for each file; those below a folder with `negative` in its name must be refused, and
/// the others must parse.
///
/// `LITHIFY_DOCKERFILES=DIR cargo test -p lithify-builder --test foreign -- --ignored --nocapture`
#[test]
#[ignore = "needs a folder of Dockerfiles in LITHIFY_DOCKERFILES"]
fn a_folder_of_dockerfiles_parses() {
    let Some(folder) = std::env::var_os("LITHIFY_DOCKERFILES").map(PathBuf::from) else {
        println!("skipped: LITHIFY_DOCKERFILES names no folder");
        return;
    };
    let mut failed = 0;
    let files = files_below(&folder);
    for path in &files {
        let name = path.strip_prefix(&folder).unwrap();
        let negative = name.parent().unwrap().to_string_lossy().contains("negative");
        let parsed = Dockerfile::parse(&name.to_string_lossy(), fs::read(path).unwrap());
        let (good, what) = match &parsed {
            Ok(parsed) => (!negative, format!("{} instructions", parsed.steps.len())),
            Err(error) => (negative, error.to_string()),
        };
        failed += usize::from(!good);
        println!("{} {} ({what})", if good { "pass" } else { "FAIL" }, name.display());
    }
    println!("{} of {} files pass", files.len() - failed, files.len());
    assert!(!files.is_empty(), "no Dockerfile below {}", folder.display());
    assert_eq!(failed, 0);
}
