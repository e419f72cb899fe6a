//! Applies the instructions of the stages that a target needs.
//!
//! A stage's state is a configuration and files; each instruction that changes files makes one layer in
//! the store, unless the cache has it. What RUN needs, executing a command, is the trait [`Executor`].
//! Stages are tasks of a [`Schedule`]; one instruction follows the other within a stage.

mod archive;
mod base;
mod copier;
mod error;
mod files;
mod inputs;
mod mode;
mod owner;
mod remote;
mod run;
mod settings;
mod state;
mod time;
mod transfer;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lithify_image::{Digest, Store};
use lithify_rootfs::LayerBuilder;

use crate::Options;
use crate::cache::{Cache, FileDigests, Hit, Key, StepRecord};
use crate::cancel::Cancel;
use crate::context::LocalContext;
use crate::dockerfile::Step;
use crate::error::{Error, Hint};
use crate::instruction::Instruction;
use crate::machine::MachineError;
use crate::plan::{Origin, Plan, PlanError};
use crate::progress::{Event, Progress, StepId, Warning};
use crate::schedule::{Schedule, Unavailable};
use crate::source::Span;
pub(crate) use archive::unpack as read_archive;
use base::OpenedContext;
pub use error::ExecError;
pub(crate) use files::Files;
#[cfg(test)]
pub(crate) use run::Command;
pub use run::MountProblem;
pub(crate) use run::{Ended, Executor, Finished, Job, JobMount, JobMountKind, JobNetwork, Stream};
pub(crate) use state::StageState;

/// Applies a plan. All threads share it.
pub(crate) struct Applier<'a> {
    plan: &'a Plan,
    options: &'a Options,
    store: &'a Store,
    context: &'a LocalContext,
    executor: Option<Box<dyn Executor>>,
    progress: &'a dyn Progress,
    cache: Cache,
    digests: FileDigests,
    /// The build's wish to stop, which an error in any stage causes as well.
    cancel: Cancel,
    /// Seconds since the epoch; the time of everything that the build makes.
    epoch: u32,
    stages: Schedule<Arc<StageState>>,
    contexts: Mutex<BTreeMap<String, Arc<OpenedContext>>>,
    warnings: Mutex<Vec<Warning>>,
    steps: AtomicUsize,
}

/// How an instruction's result came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Cached,
}

/// An instruction under way.
#[derive(Debug, Clone, Copy)]
struct Current<'a> {
    step: &'a Step,
    id: StepId,
    /// The stage that it is applied to.
    stage: usize,
}

impl<'a> Applier<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        options: &'a Options,
        store: &'a Store,
        context: &'a LocalContext,
        executor: Option<Box<dyn Executor>>,
        progress: &'a dyn Progress,
    ) -> Result<Self, Error> {
        Ok(Self {
            plan,
            options,
            store,
            context,
            executor,
            progress,
            cache: Cache::new(store, &options.cache, |name| plan.stage_meant(name))?,
            digests: FileDigests::load(store, context.root()),
            cancel: options.cancel.below(),
            epoch: time::epoch(options)?,
            stages: Schedule::new(plan.stages.len()),
            contexts: Mutex::default(),
            warnings: Mutex::default(),
            steps: AtomicUsize::new(0),
        })
    }

    /// Builds the target; also gives the warnings that came up on the way, by their lines.
    pub(crate) fn run(self) -> Result<(StageState, Vec<Warning>), Error> {
        let target = *self.plan.order.last().expect("the target is always needed");
        let needs = |stage| self.plan.needs(stage).unwrap_or_default();
        let made = |stage| {
            let made = self.stage(stage).map(Arc::new);
            if made.is_err() {
                self.cancel.cancel();
            }
            made
        };
        self.stages.run(&self.plan.order, needs, self.options.threads, made)?;
        let state = self.stages.get(target).expect("the target was built");
        self.cache.export(&self.options.cache.export, &self.plan.bases(target))?;
        self.digests.save();
        let mut warnings = self.warnings.into_inner().unwrap_or_else(PoisonError::into_inner);
        warnings.sort_by_key(|warning| warning.span);
        self.plan.check_fatal(&warnings)?;
        Ok((StageState::clone(&state), warnings))
    }

    /// A stage that the stage `by` needs. A base's trigger can name one that the plan does not know
    /// to be needed, or one that is under way.
    fn stage_for(&self, by: usize, stage: usize) -> Result<Arc<StageState>, Error> {
        match self.stages.ensure(by, stage, || self.stage(stage).map(Arc::new)) {
            Ok(state) => state,
            Err(Unavailable::Failed) => Err(MachineError::Canceled.into()),
            Err(Unavailable::Cycle) => {
                let path = vec![self.plan.label(stage), self.plan.label(by)];
                Err(PlanError::Cycle { path }.into())
            }
        }
    }

    fn stage(&self, index: usize) -> Result<StageState, Error> {
        let plan = self.plan;
        let stage = &plan.stages[index];
        let label = plan.label(index);
        // The triggers are known only once the base is there, so its step counts the file's own.
        let id = self.step_started(&label, 1, stage.steps.len() + 1, &stage.text);
        let mut state = self
            .base_state(index, &stage.base)
            .map_err(|error| error.or_at(&plan.source, stage.span))?;
        self.progress.event(Event::StepDone { id });
        let triggers = self
            .triggers(&mut state, stage.span)
            .map_err(|error| Error::at(&plan.source, stage.span, error))?;
        let total = triggers.len() + stage.steps.len() + 1;
        for (number, step) in (2..).zip(triggers.iter().chain(&stage.steps)) {
            if self.cancel.is_canceled() {
                return Err(MachineError::Canceled.into());
            }
            let id = self.step_started(&label, number, total, &step.text);
            let outcome = self
                .apply(&mut state, Current { step, id, stage: index })
                .map_err(|error| error.or_at(&plan.source, step.span))?;
            self.progress.event(match outcome {
                Outcome::Done => Event::StepDone { id },
                Outcome::Cached => Event::StepCached { id },
            });
        }
        Ok(state)
    }

    fn step_started(&self, stage: &str, index: usize, total: usize, text: &str) -> StepId {
        let id = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        self.progress.event(Event::StepStarted { id, stage, index, total, text });
        id
    }

    fn warn(&self, rule: &'static str, message: String, span: Span) {
        if self.plan.choice.skips(rule) {
            return;
        }
        let warning = Warning::new(rule, message, Some(span));
        self.progress.event(Event::Warning(&warning));
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    fn apply(&self, state: &mut StageState, current: Current<'_>) -> Result<Outcome, Error> {
        match &current.step.instruction {
            Instruction::Transfer(transfer) => self.transfer(state, transfer, current),
            Instruction::Workdir(path) => self.workdir(state, path, current),
            Instruction::Run(run) => self.run_command(state, run, current),
            _ => self.setting(state, current.step).map(|()| Outcome::Done),
        }
    }

    /// Takes what an earlier step with the same key made.
    fn take(
        &self,
        state: &mut StageState,
        hit: Hit,
        current: Current<'_>,
    ) -> Result<Outcome, Error> {
        state.take(hit.layer, &current.step.text, self.epoch)?;
        Ok(Outcome::Cached)
    }

    /// Takes `changes` as the layer of an instruction, and remembers it under `keys`.
    fn commit(
        &self,
        state: &mut StageState,
        changes: &LayerBuilder,
        current: Current<'_>,
        keys: &[Digest],
        unmatched: Vec<String>,
    ) -> Result<Outcome, Error> {
        // A RUN has a layer also if it changes nothing, as in BuildKit.
        let is_empty =
            changes.is_empty() && !matches!(current.step.instruction, Instruction::Run(_));
        let layer = if is_empty { None } else { Some(changes.store(self.store)?) };
        let record = StepRecord { layer: layer.as_ref().map(|layer| layer.diff_id), unmatched };
        for key in keys {
            self.cache.add(current.stage, key, &record)?;
        }
        state.take(layer, &current.step.text, self.epoch)?;
        Ok(Outcome::Done)
    }

    /// A key that holds what all instructions depend on.
    fn key(&self, kind: &str, state: &StageState) -> Key {
        Key::new(kind)
            .text(&self.options.platform.to_string())
            .number(self.epoch.into())
            .digest(state.files.chain())
    }

    /// Expands a word with the stage's variables; unknown ones become a warning.
    fn expand(&self, state: &StageState, word: &str, step: &Step) -> Result<String, Error> {
        Ok(self.expand_words(state, word, step)?.0)
    }

    /// As [`Self::expand`], also split into words.
    fn expand_words(
        &self,
        state: &StageState,
        word: &str,
        step: &Step,
    ) -> Result<(String, Vec<String>), Error> {
        let rules = crate::expand::Rules::arguments(self.plan.escape);
        let expanded = crate::expand::expand(word, rules, &|name| state.variable(name))?;
        for name in &expanded.unset {
            let hint = Hint::nearest(name, state.variable_names());
            self.warn("UndefinedVar", format!("the variable `{name}` is not set{hint}"), step.span);
        }
        Ok((expanded.text, expanded.words))
    }

    /// Expands a word that must then be something.
    fn expand_some(
        &self,
        state: &StageState,
        word: &str,
        step: &Step,
        empty: ExecError,
    ) -> Result<String, Error> {
        let value = self.expand(state, word, step)?;
        if value.is_empty() { Err(empty.into()) } else { Ok(value) }
    }

    /// The place an origin names, for messages.
    fn place(&self, origin: Option<&Origin>) -> String {
        match origin {
            None => "the build context".to_owned(),
            Some(Origin::Scratch) => "scratch".to_owned(),
            Some(Origin::Stage(index)) => format!("the stage `{}`", self.plan.label(*index)),
            Some(Origin::Context(name)) => format!("the build context `{name}`"),
            Some(Origin::Image(name)) => format!("the image `{name}`"),
        }
    }
}
