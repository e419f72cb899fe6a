//! Words with variables: any text without a crash, and generated words whose value is known.
#![no_main]
#![allow(dead_code, unreachable_pub, missing_docs, reason = "a module of another crate")]

#[path = "../../builder/src"]
mod builder {
    pub(crate) mod expand;
}

use builder::expand::{self, Quotes, Rules};
use libfuzzer_sys::fuzz_target;
use lithify_fuzz::Choices;

/// Variables with their values; `NONE` has none.
const VARIABLES: [(&str, Option<&str>); 4] =
    [("A", Some("x")), ("EMPTY", Some("")), ("NONE", None), ("LONG_1", Some("two words"))];
const MAX_DEPTH: usize = 5;

fn value(name: &str) -> Option<String> {
    let found = VARIABLES.iter().find(|(known, _)| *known == name);
    found.and_then(|(_, value)| value.map(str::to_owned))
}

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for escape in ['\\', '`'] {
        let _ = expand::expand(&text, Rules::arguments(escape), &value);
    }
    let _ = expand::expand(&text, Rules::heredoc(), &value);
    let keep = Rules { keep_escapes: true, quotes: Quotes::Keep, keep_unset: true, escape: '\\' };
    let _ = expand::expand(&text, keep, &value);

    let (mut word, mut expected) = (String::new(), String::new());
    let mut choices = Choices::new(bytes);
    while !choices.is_over() && word.len() < 500 {
        let (piece, meaning) = piece(&mut choices, 0);
        word.push_str(&piece);
        expected.push_str(&meaning);
    }
    let expanded = expand::expand(&word, Rules::arguments('\\'), &value).expect("a valid word");
    assert_eq!(expanded.text, expected, "{word:?}");
});

/// A piece of a word, and what it expands to.
fn piece(choices: &mut Choices<'_>, depth: usize) -> (String, String) {
    let (name, set) = VARIABLES[choices.below(VARIABLES.len())];
    let value = set.unwrap_or_default();
    match choices.below(if depth < MAX_DEPTH { 9 } else { 5 }) {
        0 => ("lit ".into(), "lit ".into()),
        1 => (format!("${{{name}}}"), value.into()),
        2 => (format!("${name}."), format!("{value}.")),
        3 => ("\\$\\\"".into(), "$\"".into()),
        4 => ("'$A \"'".into(), "$A \"".into()),
        5 => modified(choices, depth, name, ":-", value, !value.is_empty()),
        6 => modified(choices, depth, name, "-", value, set.is_some()),
        7 => modified(choices, depth, name, ":+", "", value.is_empty()),
        _ => modified(choices, depth, name, "+", "", set.is_none()),
    }
}

/// `${name operator word}`, which means `kept` or else the word.
fn modified(
    choices: &mut Choices<'_>,
    depth: usize,
    name: &str,
    operator: &str,
    kept: &str,
    keeps: bool,
) -> (String, String) {
    let (word, meaning) = piece(choices, depth + 1);
    let meaning = if keeps { kept.to_owned() } else { meaning };
    (format!("${{{name}{operator}{word}}}"), meaning)
}
