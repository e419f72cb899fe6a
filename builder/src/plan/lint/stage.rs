//! Rules about stages: those about FROM hold for all of them, the others for those that are built.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use lithify_image::Platform;

use super::Found;
use crate::dockerfile::Step;
use crate::ignore::Matcher;
use crate::instruction::{ArgDeclaration, CommandLine, Instruction, Pairs, Transfer};
use crate::plan::{Origin, Plan, Stage};
use crate::source::Span;

/// Words that make the name of a variable look like a secret's.
const SECRET_WORDS: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];

pub(super) fn check_all(plan: &Plan, found: &mut Found) {
    let mut names = BTreeSet::new();
    for stage in &plan.stages {
        if let Some(name) = stage.name.as_deref().filter(|name| !names.insert(*name)) {
            let message = format!("another stage is named `{name}` too");
            found.add("DuplicateStageName", stage.span, message);
        }
        check_platform(stage, found);
    }
}

fn check_platform(stage: &Stage, found: &mut Found) {
    let Some(written) = stage.platform.as_deref() else { return };
    if matches!(written, "$TARGETPLATFORM" | "${TARGETPLATFORM}") {
        let message = format!("--platform={written} is the default and can be left out");
        found.add("RedundantTargetPlatform", stage.span, message);
    }
    // A stage that is named after its platform is meant for that one only.
    let named_so = written.parse::<Platform>().is_ok_and(|platform| {
        let named = |word: &str| stage.name.as_deref().is_some_and(|name| name.contains(word));
        named(&platform.architecture) || named(&platform.os)
    });
    if !written.contains('$') && !named_so {
        let message = format!("--platform={written} should be a variable, not one fixed platform");
        found.add("FromPlatformFlagConstDisallowed", stage.span, message);
    }
}

/// The rules for a stage that is built.
pub(super) fn check_built(plan: &Plan, index: usize, ignore: &Matcher, found: &mut Found) {
    let mut last = LastOnes::default();
    let mut has_shell = inherits_shell(plan, index);
    for step in &plan.stages[index].steps {
        match &step.instruction {
            Instruction::Cmd(line) => {
                last.cmd(step.span, found);
                check_form("CMD", line, has_shell, step.span, found);
            }
            Instruction::Entrypoint(line) => {
                last.entrypoint(step.span, found);
                check_form("ENTRYPOINT", line, has_shell, step.span, found);
            }
            Instruction::HealthCheck(_) => last.healthcheck(step.span, found),
            Instruction::Shell(_) => has_shell = true,
            Instruction::Env(pairs) => {
                check_pairs("ENV", pairs, step.span, found);
                let names = pairs.pairs.iter().map(|pair| pair.name.as_str());
                check_secrets("ENV", names, step.span, found);
            }
            Instruction::Label(pairs) => check_pairs("LABEL", pairs, step.span, found),
            Instruction::Arg(arguments) => {
                let names = arguments.iter().map(|ArgDeclaration { name, .. }| name.as_str());
                check_secrets("ARG", names, step.span, found);
            }
            Instruction::Expose(ports) => check_ports(ports, step.span, found),
            Instruction::Transfer(transfer) => check_ignored(transfer, step, ignore, found),
            _ => {}
        }
    }
}

/// Whether a stage below this one chose its shell, which then is meant to run commands.
fn inherits_shell(plan: &Plan, index: usize) -> bool {
    let mut stage = &plan.stages[index];
    while let Origin::Stage(base) = stage.base {
        stage = &plan.stages[base];
        if stage.steps.iter().any(|step| matches!(step.instruction, Instruction::Shell(_))) {
            return true;
        }
    }
    false
}

/// Where the instructions stand of which a stage uses the last only.
#[derive(Debug, Default)]
struct LastOnes([Option<Span>; 3]);

impl LastOnes {
    fn cmd(&mut self, span: Span, found: &mut Found) {
        self.again(0, "CMD", span, found);
    }

    fn entrypoint(&mut self, span: Span, found: &mut Found) {
        self.again(1, "ENTRYPOINT", span, found);
    }

    fn healthcheck(&mut self, span: Span, found: &mut Found) {
        self.again(2, "HEALTHCHECK", span, found);
    }

    /// The warning is about the earlier one, which has no effect.
    fn again(&mut self, which: usize, keyword: &str, span: Span, found: &mut Found) {
        if let Some(earlier) = self.0[which].replace(span) {
            let message = format!("only the last {keyword} of a stage counts");
            found.add("MultipleInstructionsDisallowed", earlier, message);
        }
    }
}

fn check_form(keyword: &str, line: &CommandLine, has_shell: bool, span: Span, found: &mut Found) {
    if matches!(line, CommandLine::Shell(text) if !text.is_empty()) && !has_shell {
        let message =
            format!("{keyword} should be a JSON array, so that signals reach the program");
        found.add("JSONArgsRecommended", span, message);
    }
}

fn check_pairs(keyword: &str, pairs: &Pairs, span: Span, found: &mut Found) {
    if pairs.old_form {
        let message = format!("`{keyword} name=value` should be used instead of `name value`");
        found.add("LegacyKeyValueFormat", span, message);
    }
}

fn check_secrets<'a>(
    keyword: &str,
    names: impl Iterator<Item = &'a str>,
    span: Span,
    found: &mut Found,
) {
    for name in names.filter(|name| sounds_secret(name)) {
        let message = format!("{keyword} stays in the image: use a secret mount for `{name}`");
        found.add("SecretsUsedInArgOrEnv", span, message);
    }
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let has = |words: &[&str]| name.split('_').any(|part| words.contains(&part));
    has(&SECRET_WORDS) && !has(&["public"])
}

fn check_ports(ports: &[String], span: Span, found: &mut Found) {
    // A colon in a variable's modifier is no mapping.
    for port in ports.iter().filter(|port| !port.contains('$')) {
        let (numbers, protocol) = port.split_once('/').unwrap_or((port, ""));
        if protocol.chars().any(char::is_uppercase) {
            let message = format!("the protocol of `{port}` should be lower-case");
            found.add("ExposeProtoCasing", span, message);
        }
        if numbers.contains(':') {
            let message = format!("`{port}`: EXPOSE takes neither an address nor a host's port");
            found.add("ExposeInvalidFormat", span, message);
        }
    }
}

fn check_ignored(transfer: &Transfer, step: &Step, ignore: &Matcher, found: &mut Found) {
    if transfer.from.is_some() {
        return;
    }
    for source in transfer.sources.iter().filter(|source| !source.contains("://")) {
        let path = Path::new(source);
        let names_any = path.components().any(|part| matches!(part, Component::Normal(_)));
        if names_any && ignore.excludes(path) {
            let message = format!("`{source}` is left out of the build context by .dockerignore");
            found.add("CopyIgnoredFile", step.span, message);
        }
    }
}
