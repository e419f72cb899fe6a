//! The `check` directive: `# check=skip=RULE,RULE;error=true;experimental=RULE`.

use std::collections::BTreeSet;

/// Which rules are off, on, or fatal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    skip: BTreeSet<String>,
    experimental: BTreeSet<String>,
    /// Any warning fails the build.
    pub(crate) fatal: bool,
}

impl Choice {
    /// Reads the directive's value; options that it does not know are ignored.
    pub(in crate::plan) fn parse(text: &str) -> Self {
        let mut choice = Self::default();
        for option in text.split(';') {
            let Some((name, value)) = option.split_once('=') else { continue };
            let rules = || value.split(',').map(|rule| rule.trim().to_lowercase()).collect();
            match name.trim() {
                "skip" => choice.skip = rules(),
                "experimental" => choice.experimental = rules(),
                "error" => choice.fatal = value.trim() == "true",
                _ => {}
            }
        }
        choice
    }

    /// Whether warnings of a rule are not shown.
    pub(crate) fn skips(&self, rule: &str) -> bool {
        holds(&self.skip, rule)
    }

    pub(super) fn tries(&self, rule: &str) -> bool {
        holds(&self.experimental, rule)
    }
}

fn holds(rules: &BTreeSet<String>, rule: &str) -> bool {
    rules.contains("all") || rules.contains(&rule.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_named_in_lists_or_all_at_once() {
        let choice =
            Choice::parse("skip=UndefinedVar, stagenamecasing;error=true;experimental=all");
        assert!(choice.skips("UndefinedVar") && choice.skips("StageNameCasing"));
        assert!(!choice.skips("FromAsCasing"));
        assert!(choice.fatal && choice.tries("InvalidDefinitionDescription"));
        assert!(Choice::parse("skip=all").skips("Anything"));
        assert_eq!(Choice::parse("other=x;error=false"), Choice::default());
    }
}
