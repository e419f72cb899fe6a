//! Warnings that need no build: the checks of BuildKit's linter that are cheap, under its rule names.

use std::collections::BTreeSet;

use super::{Plan, Stage};
use crate::dockerfile::Step;
use crate::instruction::{CommandLine, Instruction};
use crate::progress::Warning;

pub(super) fn check(plan: &mut Plan) {
    let mut warnings = Vec::new();
    let mut names = BTreeSet::new();
    for stage in &plan.stages {
        if let Some(name) = stage.name.as_deref().filter(|name| !names.insert(*name)) {
            warnings.push(Warning::new(
                "DuplicateStageName",
                format!("another stage is named `{name}` too"),
                Some(stage.span),
            ));
        }
        check_from(stage, &mut warnings);
        check_steps(stage, &mut warnings);
    }
    check_build_args(plan, &mut warnings);
    plan.warnings.append(&mut warnings);
}

fn check_from(stage: &Stage, warnings: &mut Vec<Warning>) {
    let words: Vec<&str> = stage.text.split_whitespace().collect();
    let (Some(from), [.., word, name]) = (words.first(), &words[..]) else { return };
    if !word.eq_ignore_ascii_case("as") {
        return;
    }
    if name.chars().any(char::is_uppercase) {
        let message = format!("stage name `{name}` should be lower-case");
        warnings.push(Warning::new("StageNameCasing", message, Some(stage.span)));
    }
    if (**from == from.to_uppercase()) != (**word == word.to_uppercase()) {
        let message = format!("`{word}` and `{from}` should be written in the same case");
        warnings.push(Warning::new("FromAsCasing", message, Some(stage.span)));
    }
}

fn check_steps(stage: &Stage, warnings: &mut Vec<Warning>) {
    let (mut commands, mut entrypoints) = (0, 0);
    for step in &stage.steps {
        match &step.instruction {
            Instruction::Cmd(line) => {
                commands += 1;
                check_command(step, "CMD", line, commands, warnings);
            }
            Instruction::Entrypoint(line) => {
                entrypoints += 1;
                check_command(step, "ENTRYPOINT", line, entrypoints, warnings);
            }
            Instruction::Maintainer(_) => warnings.push(Warning::new(
                "MaintainerDeprecated",
                "MAINTAINER is deprecated: use LABEL org.opencontainers.image.authors",
                Some(step.span),
            )),
            Instruction::Env(pairs) | Instruction::Label(pairs) if pairs.old_form => {
                warnings.push(Warning::new(
                    "LegacyKeyValueFormat",
                    "`name=value` should be used instead of `name value`",
                    Some(step.span),
                ));
            }
            _ => {}
        }
    }
}

fn check_command(
    step: &Step,
    keyword: &str,
    line: &CommandLine,
    count: usize,
    warnings: &mut Vec<Warning>,
) {
    if matches!(line, CommandLine::Shell(_)) {
        let message =
            format!("{keyword} should be a JSON array, so that signals reach the program");
        warnings.push(Warning::new("JSONArgsRecommended", message, Some(step.span)));
    }
    if count > 1 {
        let message = format!("only the last {keyword} of a stage counts");
        warnings.push(Warning::new("MultipleInstructionsDisallowed", message, Some(step.span)));
    }
}

fn check_build_args(plan: &Plan, warnings: &mut Vec<Warning>) {
    let declared: BTreeSet<&str> = plan.declared.iter().map(String::as_str).collect();
    for name in plan.args.unused(&declared) {
        let message = format!("build argument `{name}` is not declared by any ARG");
        warnings.push(Warning::new("UnusedBuildArg", message, None));
    }
}
