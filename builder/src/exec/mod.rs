//! Applies the instructions of the stages that a target needs.
//!
//! A stage's state is a merged tree, a configuration and layers; each instruction that changes files
//! makes one layer in the store. What RUN needs, executing a command, is the trait [`Executor`].

mod archive;
mod base;
mod copier;
mod mode;
mod owner;
mod run;
mod settings;
mod state;
mod time;
mod transfer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use lithify_image::Store;

use crate::Options;
use crate::context::LocalContext;
use crate::dockerfile::Step;
use crate::error::{Error, Hint};
use crate::instruction::Instruction;
use crate::plan::{Origin, Plan, PlanError};
use crate::progress::{Event, Progress, StepId, Warning};
use base::OpenedContext;
pub(crate) use run::{Command, Ended, Executor, Job, Stream};
pub(crate) use state::StageState;

/// Why an instruction cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// RUN without [`Options::machine`].
    #[error("RUN needs a machine to execute in, and this build was given none")]
    NoMachine,
    /// A flag of RUN that is understood and cannot be done.
    #[error("RUN {flag}: not yet supported")]
    RunFlag {
        /// The flag with its value.
        flag: String,
    },
    /// RUN's command failed.
    #[error("process {process:?} did not complete successfully: exit code: {code}")]
    Command {
        /// Program and arguments.
        process: String,
        /// Its exit code; 128 and the signal if one killed it.
        code: u32,
    },
    /// RUN's command could not be started.
    #[error("process {process:?} could not be started: {message}")]
    NotStarted {
        /// Program and arguments.
        process: String,
        /// Why.
        message: String,
    },
    /// What a RUN step changed makes no sense.
    #[error("the step's change of `{}` is damaged: {problem}", path.display())]
    BadChange {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// An image that would have to be pulled.
    #[error(
        "{keyword}{image}: no registry access in this version; \
         pass --build-context {image}=oci-layout://DIR"
    )]
    Registry {
        /// What names the image: `FROM ` or `--from=`.
        keyword: &'static str,
        /// The image.
        image: String,
    },
    /// A directory where an image is needed.
    #[error("FROM {name}: the build context of that name is a directory, not an image")]
    NotAnImage {
        /// The context's name.
        name: String,
    },
    /// An image for another machine.
    #[error("{name} is an image for {found}, and this build is for {wanted}")]
    WrongPlatform {
        /// The context's name.
        name: String,
        /// The image's platform.
        found: String,
        /// The build's platform.
        wanted: String,
    },
    /// A base image whose trigger is no instruction.
    #[error("the base's trigger `ONBUILD {trigger}`: {problem}")]
    Trigger {
        /// The trigger.
        trigger: String,
        /// What is wrong with it.
        problem: String,
    },
    /// ADD of something that would have to be fetched.
    #[error("ADD {source_text}: nothing is fetched in this version; download it and ADD the file")]
    Remote {
        /// The source.
        source_text: String,
    },
    /// A source that does not exist.
    #[error("`{path}` does not exist in {place}{hint}")]
    SourceMissing {
        /// The source.
        path: String,
        /// The context, stage or image.
        place: String,
        /// The nearest name beside it.
        hint: Hint,
    },
    /// A source that a `.dockerignore` hides.
    #[error("`{path}` is left out of the build context by .dockerignore")]
    SourceIgnored {
        /// The source.
        path: String,
    },
    /// A source pattern that is none.
    #[error("bad pattern `{pattern}`: {problem}")]
    SourcePattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// No source is left after expanding variables.
    #[error("{keyword} has an empty source or destination after expanding its variables")]
    EmptyPath {
        /// The instruction.
        keyword: &'static str,
    },
    /// Several sources and a file as destination.
    #[error("the destination `{}` of several files is not a directory; end it with `/`", path.display())]
    DestinationNotDirectory {
        /// The destination.
        path: PathBuf,
    },
    /// A directory over something else, or the other way round.
    #[error("cannot put {new} at `{}`: {existing} is there", path.display())]
    Conflict {
        /// Where.
        path: PathBuf,
        /// What should be put there.
        new: &'static str,
        /// What is there.
        existing: &'static str,
    },
    /// A name that means something in layers.
    #[error("`{}`: names that begin with `.wh.` mean deleted files in image layers", path.display())]
    ReservedName {
        /// The path.
        path: PathBuf,
    },
    /// A user or group that the image does not have.
    #[error("{what} `{name}` is not in the image's {file}{hint}")]
    UnknownOwner {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// Where it was looked for.
        file: &'static str,
        /// The nearest name.
        hint: Hint,
    },
    /// `--chown` without a user.
    #[error("--chown={value}: expected USER[:GROUP]")]
    BadOwner {
        /// The value.
        value: String,
    },
    /// `--chmod` that is no mode.
    #[error(
        "--chmod={value}: expected an octal mode up to 7777 or a symbolic one such as u+x,go-w"
    )]
    BadMode {
        /// The value.
        value: String,
    },
    /// An archive that cannot be unpacked.
    #[error("unpack `{path}`: {problem}")]
    Archive {
        /// The archive.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A port that is none.
    #[error("EXPOSE {port}: expected PORT[-PORT][/tcp|udp|sctp]")]
    BadPort {
        /// What was given.
        port: String,
    },
    /// A signal that is none.
    #[error("STOPSIGNAL {signal}: expected a signal's name or number{hint}")]
    BadSignal {
        /// What was given.
        signal: String,
        /// The nearest signal.
        hint: Hint,
    },
    /// A value that is empty after its variables were expanded.
    #[error("{keyword} is empty after expanding its variables")]
    Empty {
        /// The instruction.
        keyword: &'static str,
    },
    /// An environment that outgrows what a process can be given.
    #[error("the environment has more than {limit} bytes")]
    EnvironmentTooLarge {
        /// The cap.
        limit: usize,
    },
    /// `SOURCE_DATE_EPOCH` that is no time.
    #[error("SOURCE_DATE_EPOCH={value}: expected seconds since 1970, below 2^32")]
    BadEpoch {
        /// What was given.
        value: String,
    },
}

/// Applies a plan.
pub(crate) struct Applier<'a> {
    plan: &'a Plan,
    options: &'a Options,
    store: &'a Store,
    context: &'a LocalContext,
    executor: Option<Box<dyn Executor>>,
    progress: &'a mut dyn Progress,
    /// Seconds since the epoch; the time of everything that the build makes.
    epoch: u32,
    states: BTreeMap<usize, StageState>,
    building: BTreeSet<usize>,
    contexts: BTreeMap<String, OpenedContext>,
    warnings: Vec<Warning>,
    steps: StepId,
}

impl<'a> Applier<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        options: &'a Options,
        store: &'a Store,
        context: &'a LocalContext,
        executor: Option<Box<dyn Executor>>,
        progress: &'a mut dyn Progress,
    ) -> Result<Self, Error> {
        Ok(Self {
            plan,
            options,
            store,
            context,
            executor,
            progress,
            epoch: time::epoch(options)?,
            states: BTreeMap::new(),
            building: BTreeSet::new(),
            contexts: BTreeMap::new(),
            warnings: Vec::new(),
            steps: 0,
        })
    }

    /// Builds the target; also gives the warnings that came up on the way.
    pub(crate) fn run(mut self) -> Result<(StageState, Vec<Warning>), Error> {
        let target = *self.plan.order.last().expect("the target is always needed");
        for stage in &self.plan.order {
            self.ensure(*stage)?;
        }
        let state = self.states.remove(&target).expect("the target was built");
        Ok((state, self.warnings))
    }

    /// Builds a stage unless it is built. A base's trigger can name a stage that the plan does not
    /// know to be needed, or one that is under way.
    fn ensure(&mut self, stage: usize) -> Result<(), Error> {
        if self.states.contains_key(&stage) {
            return Ok(());
        }
        if !self.building.insert(stage) {
            let label = self.plan.label(stage);
            return Err(PlanError::Cycle { path: vec![label.clone(), label] }.into());
        }
        let state = self.stage(stage)?;
        self.states.insert(stage, state);
        Ok(())
    }

    fn stage(&mut self, index: usize) -> Result<StageState, Error> {
        let plan = self.plan;
        let stage = &plan.stages[index];
        let label = plan.label(index);
        // The triggers are known only once the base is there, so its step counts the file's own.
        let id = self.step_started(&label, 1, stage.steps.len() + 1, &stage.text);
        let mut state =
            self.base_state(&stage.base).map_err(|error| error.or_at(&plan.source, stage.span))?;
        self.progress.event(Event::StepDone { id });
        let triggers = self
            .triggers(&mut state, stage.span)
            .map_err(|error| Error::at(&plan.source, stage.span, error))?;
        let total = triggers.len() + stage.steps.len() + 1;
        for (number, step) in (2..).zip(triggers.iter().chain(&stage.steps)) {
            let id = self.step_started(&label, number, total, &step.text);
            self.apply(&mut state, step).map_err(|error| error.or_at(&plan.source, step.span))?;
            self.progress.event(Event::StepDone { id });
        }
        Ok(state)
    }

    fn step_started(&mut self, stage: &str, index: usize, total: usize, text: &str) -> StepId {
        self.steps += 1;
        self.progress.event(Event::StepStarted { id: self.steps, stage, index, total, text });
        self.steps
    }

    fn warn(&mut self, warning: Warning) {
        self.progress.event(Event::Warning(&warning));
        self.warnings.push(warning);
    }

    fn apply(&mut self, state: &mut StageState, step: &Step) -> Result<(), Error> {
        match &step.instruction {
            Instruction::Transfer(transfer) => self.transfer(state, transfer, step),
            Instruction::Workdir(path) => self.workdir(state, path, step),
            Instruction::Run(run) => self.run_command(state, run, step),
            _ => self.setting(state, step),
        }
    }

    /// Expands a word with the stage's variables; unknown ones become a warning.
    fn expand(&mut self, state: &StageState, word: &str, step: &Step) -> Result<String, Error> {
        Ok(self.expand_words(state, word, step)?.0)
    }

    /// As [`Self::expand`], also split into words.
    fn expand_words(
        &mut self,
        state: &StageState,
        word: &str,
        step: &Step,
    ) -> Result<(String, Vec<String>), Error> {
        let rules = crate::expand::Rules::arguments(self.plan.escape);
        let expanded = crate::expand::expand(word, rules, &|name| state.variable(name))?;
        for name in &expanded.unset {
            let hint = Hint::nearest(name, state.variable_names());
            let message = format!("the variable `{name}` is not set{hint}");
            self.warn(Warning::new("UndefinedVar", message, Some(step.span)));
        }
        Ok((expanded.text, expanded.words))
    }

    /// The place an origin names, for messages.
    fn place(&self, origin: &Origin) -> String {
        match origin {
            Origin::Scratch => "scratch".to_owned(),
            Origin::Stage(index) => format!("the stage `{}`", self.plan.label(*index)),
            Origin::Context(name) => format!("the build context `{name}`"),
            Origin::Image(name) => format!("the image `{name}`"),
        }
    }
}
