//! Every Dockerfile here parses to its golden text: the typed instructions, or the error as shown.
//!
//! `cases/*.dockerfile` are files of their own, with a `.golden` beside each; `topics/*.dockerfiles` hold
//! several, each below a line `=== what it shows`, and their golden text has the same lines.
//!
//! `BLESS=1 cargo test -p lithify-builder --test golden` writes the golden files anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use lithify_builder::{Directives, Dockerfile};

fn dump(bytes: Vec<u8>) -> String {
    let parsed = match Dockerfile::parse("Dockerfile", bytes) {
        Ok(parsed) => parsed,
        Err(error) => return error.render(),
    };
    let mut out = String::new();
    let directives = &parsed.directives;
    if directives.escape != '\\' || directives.syntax.is_some() || directives.check.is_some() {
        let Directives { escape, syntax, check, .. } = directives;
        writeln!(out, "escape {escape} syntax {syntax:?} check {check:?}").unwrap();
    }
    for step in &parsed.steps {
        writeln!(out, "{}-{} {:?}", step.span.first, step.span.last, step.instruction).unwrap();
    }
    for warning in &parsed.warnings {
        writeln!(out, "warning {}: {}", warning.rule, warning.message).unwrap();
    }
    out
}

/// Starts a Dockerfile in a file of several.
const MARK: &str = "=== ";

/// The files of a folder of this one with an extension, in order.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The titles and texts of a file of several Dockerfiles.
fn sections(text: &str) -> Vec<(&str, &str)> {
    let start = text.strip_prefix(MARK).expect("a title stands before the first Dockerfile");
    start.split("\n=== ").map(|section| section.split_once('\n').unwrap_or((section, ""))).collect()
}

/// Every Dockerfile with its name.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let mut corpus = Vec::new();
    for case in files("cases", "dockerfile") {
        corpus.push((case.display().to_string(), fs::read(&case).unwrap()));
    }
    for topic in files("topics", "dockerfiles") {
        let text = fs::read_to_string(&topic).unwrap();
        for (title, text) in sections(&text) {
            corpus.push((format!("{}: {title}", topic.display()), format!("{text}\n").into()));
        }
    }
    corpus
}

fn compare(path: &Path, actual: &str, wrong: &mut String) {
    let golden = path.with_extension("golden");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&golden, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    if actual != expected {
        writeln!(wrong, "{}\nexpected:\n{expected}actual:\n{actual}", path.display()).unwrap();
    }
}

#[test]
fn every_case_gives_its_golden_text() {
    let mut wrong = String::new();
    for case in files("cases", "dockerfile") {
        compare(&case, &dump(fs::read(&case).unwrap()), &mut wrong);
    }
    for topic in files("topics", "dockerfiles") {
        let text = fs::read_to_string(&topic).unwrap();
        let mut actual = String::new();
        for (title, text) in sections(text.trim_end_matches('\n')) {
            write!(actual, "{MARK}{title}\n{}", dump(format!("{text}\n").into())).unwrap();
        }
        compare(&topic, &actual, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_corpus_covers_what_is_accepted_and_what_is_refused() {
    let corpus = corpus();
    let parses = |(_, bytes): &&(String, Vec<u8>)| Dockerfile::parse("x", bytes.clone()).is_ok();
    let accepted = corpus.iter().filter(parses).count();
    assert!(accepted >= 150, "{accepted} accepted");
    assert!(corpus.len() - accepted >= 60, "{} refused", corpus.len() - accepted);
}

/// The same for every case with one byte replaced by each character that means something.
#[test]
fn damaged_files_end_in_a_tree_or_an_error() {
    for (name, bytes) in corpus() {
        for at in 0..bytes.len() {
            for byte in *b"\\\"'${<\n [#" {
                let mut damaged = bytes.clone();
                damaged[at] = byte;
                assert!(!dump(damaged).is_empty(), "{name} byte {at}");
            }
        }
    }
}

/// Any bytes end in a tree or an error, never in a panic: every case cut at every byte.
#[test]
fn truncated_files_end_in_a_tree_or_an_error() {
    for (name, bytes) in corpus() {
        for end in 0..bytes.len() {
            let text = dump(bytes[..end].to_vec());
            assert!(!text.is_empty(), "{name} cut at {end}");
        }
    }
}
