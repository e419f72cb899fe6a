//! Warnings that need no build: the rules of BuildKit's linter, under its names.
//!
//! As there, rules about how the file is written look at all of it; rules about what an instruction does
//! look only at the stages that are built. `UndefinedVar` and `WorkdirRelativePath` come up while
//! instructions are applied, since they depend on the base.

mod choice;
mod file;
mod stage;

use std::collections::BTreeSet;

use super::Plan;
use crate::ignore::Matcher;
use crate::progress::Warning;
use crate::source::Span;

pub(crate) use choice::Choice;
pub(super) use file::check as check_file;

/// Warnings found so far.
#[derive(Debug, Default)]
struct Found(Vec<Warning>);

impl Found {
    fn add(&mut self, rule: &'static str, span: Span, message: String) {
        self.0.push(Warning::new(rule, message, Some(span)));
    }
}

/// Adds what a planned build shows, in the order of lines, without what the file's `check` skips.
pub(super) fn check(plan: &mut Plan, ignore: &Matcher) {
    let mut found = Found(std::mem::take(&mut plan.warnings));
    stage::check_all(plan, &mut found);
    let built: BTreeSet<usize> = plan.order.iter().copied().collect();
    for stage in built {
        stage::check_built(plan, stage, ignore, &mut found);
    }
    check_build_args(plan, &mut found);
    let mut warnings = found.0;
    warnings.retain(|warning| !plan.choice.skips(warning.rule));
    // Those about no line come last.
    warnings.sort_by_key(|warning| (warning.span.is_none(), warning.span));
    plan.warnings = warnings;
}

fn check_build_args(plan: &Plan, found: &mut Found) {
    let declared: BTreeSet<&str> = plan.declared.iter().map(String::as_str).collect();
    for name in plan.args.unused(&declared) {
        let message = format!("build argument `{name}` is not declared by any ARG");
        found.0.push(Warning::new("UnusedBuildArg", message, None));
    }
}

#[cfg(test)]
mod tests;
