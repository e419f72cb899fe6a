//! Rules about how a file is written, whatever of it is built.

use super::{Choice, Found};
use crate::dockerfile::{Dockerfile, Step};
use crate::instruction::{From, Instruction};
use crate::progress::Warning;

/// What stands out in the whole file.
pub(in crate::plan) fn check(file: &Dockerfile, choice: &Choice) -> Vec<Warning> {
    let mut found = Found::default();
    for step in &file.steps {
        match &step.instruction {
            Instruction::From(from) => check_from(step, from, &mut found),
            Instruction::Maintainer(_) => found.add(
                "MaintainerDeprecated",
                step.span,
                "MAINTAINER is deprecated: use LABEL org.opencontainers.image.authors".to_owned(),
            ),
            _ => {}
        }
        if choice.tries("InvalidDefinitionDescription") {
            check_description(file, step, &mut found);
        }
    }
    check_casing(&file.steps, &mut found);
    found.0
}

fn check_from(step: &Step, from: &From, found: &mut Found) {
    let Some(name) = &from.written_name else { return };
    if name.chars().any(char::is_uppercase) {
        let message = format!("stage name `{name}` should be lower-case");
        found.add("StageNameCasing", step.span, message);
    }
    if let Some(reserved) =
        ["context", "scratch"].into_iter().find(|word| from.name.as_deref() == Some(word))
    {
        let message = format!("`{reserved}` has a meaning of its own and should name no stage");
        found.add("ReservedStageName", step.span, message);
    }
    let words: Vec<&str> = step.text.split_whitespace().collect();
    let ([keyword, ..], [.., word, _]) = (&words[..], &words[..]) else { return };
    if is_upper(keyword) != is_upper(word) {
        let message = format!("`{word}` and `{keyword}` should be written in the same case");
        found.add("FromAsCasing", step.span, message);
    }
}

fn is_upper(word: &str) -> bool {
    word == word.to_uppercase()
}

fn is_lower(word: &str) -> bool {
    word == word.to_lowercase()
}

/// Keywords should be in the case that most of them have; ARG before the first FROM does not count.
fn check_casing(steps: &[Step], found: &mut Found) {
    let stages = || {
        let global = |step: &&Step| !matches!(step.instruction, Instruction::From(_));
        steps.iter().skip_while(global).map(|step| (step, keyword(step)))
    };
    let lower = stages().filter(|(_, word)| is_lower(word)).count();
    let upper = stages().filter(|(_, word)| is_upper(word)).count();
    let (fits, case): (fn(&str) -> bool, _) =
        if lower > upper { (is_lower, "lower") } else { (is_upper, "upper") };
    for (step, word) in stages().filter(|(_, word)| !fits(word)) {
        let message = format!("`{word}` should be in {case} case like most instructions here");
        found.add("ConsistentInstructionCasing", step.span, message);
    }
}

fn keyword(step: &Step) -> &str {
    step.text.split_whitespace().next().unwrap_or_default()
}

/// A comment right above a stage or an argument is its description and starts with its name.
fn check_description(file: &Dockerfile, step: &Step, found: &mut Found) {
    let names: Vec<&str> = match &step.instruction {
        Instruction::From(from) => from.name.as_deref().into_iter().collect(),
        Instruction::Arg(arguments) => arguments.iter().map(|arg| arg.name.as_str()).collect(),
        _ => return,
    };
    let Some(above) = step.span.first.checked_sub(2) else { return };
    let line = file.source.text().lines().nth(above as usize).unwrap_or_default();
    let Some(comment) = line.trim().strip_prefix('#').map(str::trim) else { return };
    let first = comment.split_whitespace().next();
    if above < file.directives.lines || first.is_none_or(|first| names.contains(&first)) {
        return;
    }
    if let Some(name) = names.first() {
        let message = format!(
            "the comment above should read `# {name} description`, or an empty line should follow it"
        );
        found.add("InvalidDefinitionDescription", step.span, message);
    }
}
