//! FROM: where a stage starts, and the triggers that its base brings.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use lithify_image::{Image, Reference, open_image};

use super::{Applier, ExecError, StageState};
use crate::context::{Choice, IMAGE_SCHEME, LocalContext, NamedContext, root_ignore};
use crate::dockerfile::Step;
use crate::error::Error;
use crate::instruction::instruction;
use crate::machine::MachineError;
use crate::parser;
use crate::plan::Origin;
use crate::source::Span;

/// A named context, opened once per build.
#[derive(Debug)]
pub(super) enum OpenedContext {
    Directory(LocalContext),
    Image(Box<StageState>),
}

impl Applier<'_> {
    /// Where the stage `stage` starts.
    pub(super) fn base_state(&self, stage: usize, base: &Origin) -> Result<StageState, Error> {
        match base {
            Origin::Scratch => Ok(StageState::scratch(&self.options.platform, self.store)),
            Origin::Stage(index) => Ok(self.stage_for(stage, *index)?.derived()),
            Origin::Context(name) => match &*self.named_context(name)? {
                OpenedContext::Image(state) => Ok(state.derived()),
                OpenedContext::Directory(_) => {
                    Err(ExecError::NotAnImage { name: name.clone() }.into())
                }
            },
            Origin::Image(name) => match &*self.image("FROM ", name)? {
                OpenedContext::Image(state) => Ok(state.derived()),
                OpenedContext::Directory(_) => unreachable!("an image source gives images"),
            },
        }
    }

    pub(super) fn named_context(&self, name: &str) -> Result<Arc<OpenedContext>, Error> {
        // Held while it is opened: the second stage that asks waits for the first.
        let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = contexts.get(name) {
            return Ok(Arc::clone(context));
        }
        let opened = Arc::new(self.open_context(name)?);
        contexts.insert(name.to_owned(), Arc::clone(&opened));
        Ok(opened)
    }

    /// An image that no context stands in for; `keyword` says in errors who wants it.
    pub(super) fn image(
        &self,
        keyword: &'static str,
        name: &str,
    ) -> Result<Arc<OpenedContext>, Error> {
        let Some(images) = &self.options.images else {
            return Err(ExecError::NoImages { keyword, image: name.to_owned() }.into());
        };
        let reference: Reference = name.parse()?;
        // No context has such a name: schemes are for what is behind names.
        let key = format!("{IMAGE_SCHEME}{reference}");
        let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = contexts.get(&key) {
            return Ok(Arc::clone(context));
        }
        let image = images.image(&reference, &self.options.platform, self.store);
        if self.options.cancel.is_canceled() {
            return Err(MachineError::Canceled.into());
        }
        let image = image.map_err(|error| {
            let message = error.to_string();
            ExecError::Pull { keyword, image: name.to_owned(), message }
        })?;
        let opened = Arc::new(self.image_state(name, image)?);
        contexts.insert(key, Arc::clone(&opened));
        Ok(opened)
    }

    fn open_context(&self, name: &str) -> Result<OpenedContext, Error> {
        match NamedContext::parse(name, &self.options.contexts[name])? {
            NamedContext::Directory(path) => {
                let ignore = root_ignore(&path)?;
                Ok(OpenedContext::Directory(LocalContext::open(&path, &ignore)?))
            }
            NamedContext::Image(path, choice) => self.open_image(name, &path, choice.as_ref()),
            NamedContext::Named(image) => self.open_named(name, &image),
        }
    }

    fn open_image(
        &self,
        name: &str,
        path: &Path,
        choice: Option<&Choice>,
    ) -> Result<OpenedContext, Error> {
        let selection = Choice::selection(choice, &self.options.platform);
        self.image_state(name, open_image(path, &selection, self.store)?)
    }

    /// `docker-image://`: an image in place of another.
    fn open_named(&self, name: &str, reference: &Reference) -> Result<OpenedContext, Error> {
        let image = reference.familiar();
        let Some(images) = &self.options.images else {
            return Err(ExecError::NoImages { keyword: "", image }.into());
        };
        let found = images.image(reference, &self.options.platform, self.store);
        let found = found.map_err(|error| {
            let message = error.to_string();
            ExecError::Pull { keyword: "", image, message }
        })?;
        self.image_state(name, found)
    }

    fn image_state(&self, name: &str, image: Image) -> Result<OpenedContext, Error> {
        let wanted = &self.options.platform;
        let found = image.config.platform();
        if !wanted.accepts(&found) {
            return Err(ExecError::WrongPlatform {
                name: name.to_owned(),
                found: found.to_string(),
                wanted: wanted.to_string(),
            }
            .into());
        }
        Ok(OpenedContext::Image(Box::new(StageState::from_image(image, self.store))))
    }

    /// Takes the triggers out of the base's configuration, as steps that stand at the FROM line.
    pub(super) fn triggers(
        &self,
        state: &mut StageState,
        span: Span,
    ) -> Result<Vec<Step>, ExecError> {
        let triggers = std::mem::take(&mut state.config.config.on_build);
        triggers.into_iter().map(|text| trigger(text, span)).collect()
    }
}

fn trigger(text: String, span: Span) -> Result<Step, ExecError> {
    let parsed = parser::parse(&text).map_err(|(error, _)| error.to_string());
    let typed = parsed.and_then(|tree| match &tree.nodes[..] {
        [node] if !matches!(node.keyword.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") => {
            instruction(node, tree.directives.escape).map_err(|error| error.to_string())
        }
        _ => Err("expected one instruction, and none of FROM, ONBUILD, MAINTAINER".to_owned()),
    });
    match typed {
        Ok(instruction) => Ok(Step { instruction, span, text: format!("ONBUILD {text}") }),
        Err(problem) => Err(ExecError::Trigger { trigger: text, problem }),
    }
}
