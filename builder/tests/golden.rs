//! Every `cases/*.dockerfile` parses to its `.golden` text: the typed instructions, or the error as shown.
//!
//! `BLESS=1 cargo test -p lithify-builder --test golden` writes the golden files anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use lithify_builder::Dockerfile;

fn dump(bytes: Vec<u8>) -> String {
    let parsed = match Dockerfile::parse("Dockerfile", bytes) {
        Ok(parsed) => parsed,
        Err(error) => return error.render(),
    };
    let mut out = String::new();
    let directives = &parsed.directives;
    if directives.escape != '\\' || directives.syntax.is_some() || directives.check.is_some() {
        writeln!(out, "{directives:?}").unwrap();
    }
    for step in &parsed.steps {
        writeln!(out, "{}-{} {:?}", step.span.first, step.span.last, step.instruction).unwrap();
    }
    for warning in &parsed.warnings {
        writeln!(out, "warning {}: {}", warning.rule, warning.message).unwrap();
    }
    out
}

fn cases() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "dockerfile")).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn every_case_gives_its_golden_text() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = String::new();
    for case in cases() {
        let actual = dump(fs::read(&case).unwrap());
        let golden = case.with_extension("golden");
        if bless {
            fs::write(&golden, &actual).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if actual != expected {
            writeln!(wrong, "{}\nexpected:\n{expected}actual:\n{actual}", case.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The same for every case with one byte replaced by each character that means something.
#[test]
fn damaged_files_end_in_a_tree_or_an_error() {
    for case in cases() {
        let bytes = fs::read(&case).unwrap();
        for at in 0..bytes.len() {
            for byte in *b"\\\"'${<\n [#" {
                let mut damaged = bytes.clone();
                damaged[at] = byte;
                assert!(!dump(damaged).is_empty(), "{} byte {at}", case.display());
            }
        }
    }
}

/// Any bytes end in a tree or an error, never in a panic: every case cut at every byte.
#[test]
fn truncated_files_end_in_a_tree_or_an_error() {
    for case in cases() {
        let bytes = fs::read(&case).unwrap();
        for end in 0..bytes.len() {
            let text = dump(bytes[..end].to_vec());
            assert!(!text.is_empty(), "{} cut at {end}", case.display());
        }
    }
}
