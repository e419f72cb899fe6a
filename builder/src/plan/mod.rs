//! The stage graph: which stages there are, where each comes from, which ones the target needs.

mod args;
mod lint;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lithify_image::{Platform, Reference};

pub(crate) use args::Args;
pub(crate) use lint::Choice;

use crate::Options;
use crate::dockerfile::{Dockerfile, Step};
use crate::error::{Error, Hint};
use crate::expand::{Rules, expand};
use crate::ignore::Matcher;
use crate::instruction::{ArgDeclaration, From, Instruction};
use crate::progress::Warning;
use crate::source::{SourceFile, Span};

/// Why the stages do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No FROM at all.
    #[error("the Dockerfile has no FROM")]
    NoStage,
    /// An instruction before the first FROM.
    #[error("{keyword} before the first FROM: only ARG can stand there")]
    BeforeFrom {
        /// The instruction.
        keyword: String,
    },
    /// A base that expands to nothing.
    #[error("FROM {written}: the base is empty after expanding its variables")]
    EmptyBase {
        /// The base as written.
        written: String,
    },
    /// The base cannot be a reference.
    #[error("FROM {base}: neither a stage nor a valid image reference{hint}")]
    BadBase {
        /// The base.
        base: String,
        /// The nearest earlier stage.
        hint: Hint,
    },
    /// The target is no stage.
    #[error("no stage is named `{target}`{hint}")]
    UnknownTarget {
        /// What was asked for.
        target: String,
        /// The nearest stage.
        hint: Hint,
    },
    /// `--from=N` beyond the stages.
    #[error("--from={index}: there are only {count} stages, counted from 0")]
    StageIndex {
        /// The number given.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// Stages that need each other.
    #[error("stages need each other: {}", path.join(" -> "))]
    Cycle {
        /// The stages on the way round.
        path: Vec<String>,
    },
    /// A platform that cannot be built for.
    #[error("--platform={written}: this build is for {target}")]
    Platform {
        /// The platform asked for.
        written: String,
        /// The platform of the build.
        target: String,
    },
    /// `# check=error=true` and warnings.
    #[error("the `check` directive makes warnings errors: {}", rules.join(", "))]
    Warnings {
        /// The rules that warned, each with its line.
        rules: Vec<String>,
    },
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nothing.
    Scratch,
    /// A stage of this file.
    Stage(usize),
    /// A context given by name.
    Context(String),
    /// An image that would have to be pulled.
    Image(String),
}

/// A stage.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) name: Option<String>,
    pub(crate) base: Origin,
    pub(crate) span: Span,
    /// The platform as written.
    platform: Option<String>,
    /// The FROM line as written.
    pub(crate) text: String,
    pub(crate) steps: Vec<Step>,
}

/// What a build has to do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) source: Arc<SourceFile>,
    pub(crate) escape: char,
    pub(crate) args: Args,
    /// The arguments as they are when the user gives none.
    defaults: Args,
    pub(crate) stages: Vec<Stage>,
    /// Stages to build, each after the ones it needs; the target is the last.
    pub(crate) order: Vec<usize>,
    pub(crate) warnings: Vec<Warning>,
    /// What the file says about warnings.
    pub(crate) choice: Choice,
    /// Names that any ARG declares.
    declared: BTreeSet<String>,
    /// Named contexts by their normalised names.
    context_names: BTreeMap<String, String>,
}

/// Puts the stages together and orders them.
///
/// `ignore` only serves for warnings.
pub(crate) fn plan(
    dockerfile: Dockerfile,
    options: &Options,
    ignore: &Matcher,
) -> Result<Plan, Error> {
    let choice = dockerfile.directives.check.as_deref().map_or_else(Choice::default, Choice::parse);
    let written = lint::check_file(&dockerfile, &choice);
    let stage_name = options.target.as_deref().unwrap_or("default");
    let mut plan = Plan {
        source: dockerfile.source,
        escape: dockerfile.directives.escape,
        args: Args::new(&options.build_args, &options.platform, stage_name),
        defaults: Args::new(&BTreeMap::new(), &options.platform, stage_name),
        stages: Vec::new(),
        order: Vec::new(),
        warnings: [dockerfile.warnings, written].concat(),
        choice,
        declared: BTreeSet::new(),
        context_names: options.contexts.keys().map(|name| (normal(name), name.clone())).collect(),
    };
    for step in dockerfile.steps {
        plan.add(step, &options.platform)?;
    }
    let target = plan.target(options.target.as_deref())?;
    plan.order = plan.needed(target)?;
    lint::check(&mut plan, ignore);
    plan.check_fatal(&plan.warnings)?;
    Ok(plan)
}

fn with_line(warning: &Warning) -> String {
    match warning.span {
        Some(span) => format!("{} (line {})", warning.rule, span.first),
        None => warning.rule.to_owned(),
    }
}

/// Image names are compared in their full form, so `debian` and `docker.io/library/debian:latest` are one.
fn normal(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_lowercase(), |full| full.to_string())
}

impl Plan {
    /// An error if there are warnings and the file says that none may be.
    pub(crate) fn check_fatal(&self, warnings: &[Warning]) -> Result<(), Error> {
        if self.choice.fatal && !warnings.is_empty() {
            let rules = warnings.iter().map(with_line).collect();
            return Err(PlanError::Warnings { rules }.into());
        }
        Ok(())
    }

    fn add(&mut self, step: Step, platform: &Platform) -> Result<(), Error> {
        if let Instruction::Arg(declarations) = &step.instruction {
            self.declared.extend(declarations.iter().map(|declaration| declaration.name.clone()));
        }
        match &step.instruction {
            Instruction::From(from) => {
                let stage = self.stage(from, &step, platform)?;
                self.stages.push(stage);
            }
            Instruction::Arg(declarations) if self.stages.is_empty() => {
                self.global_args(declarations, step.span)?;
            }
            _ => match self.stages.last_mut() {
                Some(stage) => stage.steps.push(step),
                None => {
                    let keyword = step.text.split_whitespace().next().unwrap_or("").to_uppercase();
                    return Err(self.at(step.span, PlanError::BeforeFrom { keyword }));
                }
            },
        }
        Ok(())
    }

    fn at(&self, span: Span, error: impl Into<crate::ErrorKind>) -> Error {
        Error::at(&self.source, span, error)
    }

    fn global_args(&mut self, declarations: &[ArgDeclaration], span: Span) -> Result<(), Error> {
        for declaration in declarations {
            let default = match &declaration.default {
                Some(word) => Some(self.expand_global(word, span)?),
                None => None,
            };
            self.args.declare_global(&declaration.name, default);
            let default = declaration.default.as_deref().map(|word| self.by_default(word));
            self.defaults.declare_global(&declaration.name, default.flatten());
        }
        Ok(())
    }

    fn expand_global(&mut self, word: &str, span: Span) -> Result<String, Error> {
        let lookup = |name: &str| self.args.global(name);
        let expanded = expand(word, Rules::arguments(self.escape), &lookup)
            .map_err(|error| self.at(span, error))?;
        for name in expanded.unset {
            let message = format!("FROM uses `{name}`, which no ARG before it sets");
            self.warnings.push(Warning::new("UndefinedArgInFrom", message, Some(span)));
        }
        Ok(expanded.text)
    }

    /// A word as it would be without arguments given; `None` if it cannot be expanded then.
    fn by_default(&self, word: &str) -> Option<String> {
        let lookup = |name: &str| self.defaults.global(name);
        expand(word, Rules::arguments(self.escape), &lookup).ok().map(|expanded| expanded.text)
    }

    /// A base that is one only if arguments are given.
    fn check_default_base(&mut self, written: &str, span: Span) {
        let default = self.by_default(written);
        let usable = |base: &String| !base.is_empty() && self.base(base).is_ok();
        if written.contains('$') && !default.as_ref().is_some_and(usable) {
            let message = format!("`{written}` is no valid base without build arguments");
            self.warnings.push(Warning::new("InvalidDefaultArgInFrom", message, Some(span)));
        }
    }

    fn stage(&mut self, from: &From, step: &Step, platform: &Platform) -> Result<Stage, Error> {
        if let Some(written) = &from.platform {
            let wanted = self.expand_global(written, step.span)?;
            self.check_platform(&wanted, platform, step.span)?;
        }
        self.check_default_base(&from.base, step.span);
        let base = self.expand_global(&from.base, step.span)?;
        if base.is_empty() {
            let written = from.base.clone();
            return Err(self.at(step.span, PlanError::EmptyBase { written }));
        }
        let base = self.base(&base).map_err(|error| self.at(step.span, error))?;
        Ok(Stage {
            name: from.name.clone(),
            base,
            span: step.span,
            platform: from.platform.clone(),
            text: step.text.clone(),
            steps: Vec::new(),
        })
    }

    fn check_platform(&self, wanted: &str, target: &Platform, span: Span) -> Result<(), Error> {
        let fits = wanted.is_empty()
            || wanted.parse::<Platform>().is_ok_and(|wanted| wanted.accepts(target));
        if fits {
            return Ok(());
        }
        let (written, target) = (wanted.to_owned(), target.to_string());
        Err(self.at(span, PlanError::Platform { written, target }))
    }

    /// A base is a named context, `scratch`, an earlier stage or an image, in this order.
    fn base(&self, base: &str) -> Result<Origin, PlanError> {
        if let Some(context) = self.context_names.get(&normal(base)) {
            return Ok(Origin::Context(context.clone()));
        }
        if base == "scratch" {
            return Ok(Origin::Scratch);
        }
        if let Some(index) = self.stage_named(base) {
            return Ok(Origin::Stage(index));
        }
        if base.parse::<Reference>().is_err() {
            let hint = Hint::nearest(base, self.names());
            return Err(PlanError::BadBase { base: base.to_owned(), hint });
        }
        Ok(Origin::Image(base.to_owned()))
    }

    /// What `--from` names: a named context, a stage by name or number, or an image.
    pub(crate) fn origin(&self, from: &str) -> Result<Origin, PlanError> {
        if let Ok(index) = from.parse::<usize>() {
            let count = self.stages.len();
            return match index < count {
                true => Ok(Origin::Stage(index)),
                false => Err(PlanError::StageIndex { index, count }),
            };
        }
        self.base(from)
    }

    /// The last stage of that name; names do not depend on case.
    fn stage_named(&self, name: &str) -> Option<usize> {
        let name = name.to_lowercase();
        self.stages.iter().rposition(|stage| stage.name.as_deref() == Some(&name))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().filter_map(|stage| stage.name.as_deref())
    }

    /// A stage's name, or its number.
    pub(crate) fn label(&self, stage: usize) -> String {
        let name = self.stages.get(stage).and_then(|stage| stage.name.clone());
        name.unwrap_or_else(|| format!("stage-{stage}"))
    }

    fn target(&self, target: Option<&str>) -> Result<usize, PlanError> {
        let Some(target) = target.filter(|target| !target.is_empty()) else {
            return self.stages.len().checked_sub(1).ok_or(PlanError::NoStage);
        };
        self.stage_meant(target).ok_or_else(|| PlanError::UnknownTarget {
            target: target.to_owned(),
            hint: Hint::nearest(target, self.names()),
        })
    }

    /// A stage by name or number, as options name it.
    pub(crate) fn stage_meant(&self, text: &str) -> Option<usize> {
        let by_number = || text.parse().ok().filter(|index| *index < self.stages.len());
        self.stage_named(text).or_else(by_number)
    }

    /// A stage and those that it is based on.
    pub(crate) fn bases(&self, stage: usize) -> BTreeSet<usize> {
        let base = |stage: &usize| match self.stages[*stage].base {
            Origin::Stage(base) => Some(base),
            _ => None,
        };
        std::iter::successors(Some(stage), base).collect()
    }

    /// The stages that one stage reads, and where it says so.
    pub(crate) fn needs(&self, stage: usize) -> Result<Vec<usize>, Error> {
        let stage = &self.stages[stage];
        let mut needed = Vec::new();
        if let Origin::Stage(base) = stage.base {
            needed.push(base);
        }
        for step in &stage.steps {
            for from in sources(&step.instruction) {
                let origin = self.origin(from).map_err(|error| self.at(step.span, error))?;
                if let Origin::Stage(index) = origin {
                    needed.push(index);
                }
            }
        }
        Ok(needed)
    }

    /// Depth-first order from the target, without recursion: a file can chain thousands of stages.
    fn needed(&self, target: usize) -> Result<Vec<usize>, Error> {
        let mut order = Vec::new();
        let mut done = BTreeSet::new();
        let mut path: Vec<(usize, Vec<usize>)> = vec![(target, self.needs(target)?)];
        while let Some((stage, ahead)) = path.last_mut() {
            let stage = *stage;
            match ahead.pop() {
                Some(next) if done.contains(&next) => {}
                Some(next) => {
                    if let Some(start) = path.iter().position(|(on_path, _)| *on_path == next) {
                        let round = path[start..].iter().map(|(stage, _)| *stage).chain([next]);
                        let path = round.map(|stage| self.label(stage)).collect();
                        return Err(self.at(self.stages[stage].span, PlanError::Cycle { path }));
                    }
                    path.push((next, self.needs(next)?));
                }
                None => {
                    done.insert(stage);
                    order.push(stage);
                    path.pop();
                }
            }
        }
        Ok(order)
    }
}

/// What an instruction reads files from.
fn sources(instruction: &Instruction) -> Vec<&str> {
    match instruction {
        Instruction::Transfer(transfer) => transfer.from.as_deref().into_iter().collect(),
        Instruction::Run(run) => run.mounts.iter().filter_map(|m| m.from.as_deref()).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
