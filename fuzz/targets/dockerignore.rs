//! Patterns of a `.dockerignore` against a matcher that backtracks, written after moby's rules.
#![no_main]
#![allow(dead_code, unreachable_pub, missing_docs, reason = "a module of another crate")]

#[path = "../../builder/src"]
mod builder {
    pub(crate) mod ignore;
}

use std::path::Path;

use builder::ignore;
use libfuzzer_sys::fuzz_target;
use lithify_fuzz::{Choices, path};

const LETTERS: [char; 12] = ['a', 'b', '.', '/', '/', '*', '*', '*', '?', '!', '\n', 'c'];

fuzz_target!(|bytes: &[u8]| {
    // Any text is read without a crash; the model knows fewer letters.
    let _ = ignore::Matcher::from_file_text(&String::from_utf8_lossy(bytes), "any");
    let mut choices = Choices::new(bytes);
    let path = path(&mut choices);
    let mut text = String::new();
    while !choices.is_over() && text.len() < 60 {
        text.push(LETTERS[choices.below(LETTERS.len())]);
    }
    let Ok(matcher) = ignore::Matcher::from_file_text(&text, "model") else { return };
    assert_eq!(matcher.excludes(Path::new(&path)), model(&text, &path), "{text:?} on {path}");
});

/// The last line that matches the path or a directory above it decides.
fn model(text: &str, path: &str) -> bool {
    let mut excluded = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (keeps, pattern) =
            line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
        let pattern = cleaned(pattern);
        let mut above = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]);
        if above.any(|path| matches_pattern(&pattern, path)) {
            excluded = !keeps;
        }
    }
    excluded
}

/// Go's `filepath.Clean`, without the slash in front.
fn cleaned(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match (part, parts.last()) {
            ("..", None) if pattern.starts_with('/') => {}
            ("..", Some(last)) if *last != ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn matches_pattern(pattern: &str, path: &str) -> bool {
    match pattern.strip_prefix("**") {
        Some(end) if !end.contains(['*', '?']) && !end.starts_with('/') => path.ends_with(end),
        _ => matches(pattern.as_bytes(), path.as_bytes()),
    }
}

fn matches(pattern: &[u8], path: &[u8]) -> bool {
    match pattern {
        [] => path.is_empty(),
        [b'*', b'*', rest @ ..] => {
            let rest = rest.strip_prefix(b"/").unwrap_or(rest);
            let behind_slash = |at: &usize| *at == 0 || path[at - 1] == b'/';
            rest.is_empty()
                || (0..=path.len()).filter(behind_slash).any(|at| matches(rest, &path[at..]))
        }
        [b'*', rest @ ..] => {
            let run = path.iter().take_while(|byte| **byte != b'/').count();
            (0..=run).any(|at| matches(rest, &path[at..]))
        }
        [b'?', rest @ ..] => {
            path.first().is_some_and(|byte| *byte != b'/') && matches(rest, &path[1..])
        }
        [letter, rest @ ..] => path.first() == Some(letter) && matches(rest, &path[1..]),
    }
}
