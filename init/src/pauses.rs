//! Freezes and thaws in the middle of a container's run.

use crate::control::ControlPort;
use crate::error::Error;
use crate::hooks::{self, Hooks};
use crate::network;
use crate::processes::Processes;
use crate::readiness::{NotifySocket, Watch};
use crate::renew::Devices;
use crate::spawn::Child;
use crate::standstill::{self, Thawed};
use lithify_control::{Frame, Readiness, Renewal, WindowSize};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Between two looks whether the program is ready: much longer than a look takes.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// When the container is to stand still, and what is to be done after it has.
#[derive(Debug)]
pub(crate) struct Pauses<'a> {
    devices: &'a Devices,
    watch: Option<Watch>,
    is_asked: bool,
    hooks: Option<Hooks>,
}

/// What the relay has to do after a pause.
#[derive(Debug)]
pub(crate) struct Resumed {
    /// The terminal's new size.
    pub(crate) terminal: Option<WindowSize>,
    /// What the host said while the container stood still.
    pub(crate) frames: Vec<Frame>,
}

impl<'a> Pauses<'a> {
    /// One pause when the program is as `freeze_at` says, others when the host asks for them.
    pub(crate) fn new(
        devices: &'a Devices,
        freeze_at: Option<Readiness>,
        notify: Option<NotifySocket>,
    ) -> Self {
        let watch = freeze_at.map(|readiness| Watch::new(readiness, notify));
        Self { devices, watch, is_asked: false, hooks: None }
    }

    /// The host asks for a pause.
    pub(crate) fn ask(&mut self) {
        self.is_asked = true;
    }

    /// Whether it is time for a pause.
    pub(crate) fn is_due(&mut self, child: &Child) -> bool {
        self.hooks.is_none()
            && (self.is_asked || self.watch.as_ref().is_some_and(|watch| watch.is_met(child.pid())))
    }

    /// How long nobody needs to ask that, if nothing else happens.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.watch.as_ref().map(|_| LOOK_AGAIN)
    }

    /// What can be read when the hooks have ended.
    pub(crate) fn hooks(&self) -> Option<BorrowedFd<'_>> {
        self.hooks.as_ref().map(AsFd::as_fd)
    }

    /// Lets the machine freeze, and renews the thawed one. `flush` hands on what was printed so far.
    /// The inner error is the container's own.
    ///
    /// # Errors
    /// If the kernel refuses, or the host stops listening.
    pub(crate) fn pause(
        &mut self,
        child: &Child,
        control: &mut ControlPort,
        flush: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Result<Resumed, String>, Error> {
        let processes = Processes::of_container(child.pid());
        let thawed = standstill::until_thawed(&processes, control, flush)?;
        let Thawed { renewal, frames, sole } = thawed;
        self.is_asked = false;
        self.watch = renewal.freeze_at.clone().map(|readiness| Watch::new(readiness, None));
        let resumed = match self.renew(child, &renewal) {
            Ok(hooks) => {
                self.hooks = hooks;
                Ok(Resumed { terminal: renewal.terminal, frames })
            }
            Err(failure) => Err(failure),
        };
        drop(sole);
        Ok(resumed)
    }

    fn renew(&self, child: &Child, renewal: &Renewal) -> Result<Option<Hooks>, String> {
        let renewed = self.devices.renew(renewal.realtime_ns, renewal.entropy);
        let connected = network::set(renewal.network);
        renewed.and(connected).map_err(|error| error.to_string())?;
        hooks::start(child, renewal)
    }

    /// Lets the container go on after its hooks.
    ///
    /// # Errors
    /// What a hook that failed has to say.
    pub(crate) fn end_hooks(&mut self) -> Result<(), String> {
        self.hooks.take().map_or(Ok(()), Hooks::finish)
    }
}
