//! The two ways from the boot to a container's end.

use crate::container::{self, Failure};
use crate::control::ControlPort;
use crate::error::Error;
use crate::export::Exports;
use crate::image::{self, Overlay};
use crate::mounts::Mounts;
use crate::pauses::Pauses;
use crate::readiness::NotifySocket;
use crate::relay::{self, Relay};
use crate::renew::Devices;
use crate::streams::TheirEnds;
use crate::{freeze, network, spawn, volumes};
use lithify_control::{Frame, ROOT_AT_START, Readiness, StartRequest};

/// Where the image is mounted that the disk holds as a whole.
const IMAGE: &str = "/image";

/// The name of the view that is the container's root.
const ROOT: &str = "root";

/// Whether the kernel's command line says that the disk comes with the start request: what the
/// kernel does not know of that line becomes init's environment.
pub(crate) fn root_comes_at_start() -> bool {
    let (name, value) = ROOT_AT_START.split_once('=').unwrap_or((ROOT_AT_START, ""));
    std::env::var(name).is_ok_and(|found| found == value)
}

/// What both ways begin with.
pub(crate) struct Guest {
    pub(crate) control: ControlPort,
    pub(crate) thaw: Devices,
    pub(crate) streams: TheirEnds,
    pub(crate) relay: Relay,
    pub(crate) notify: Option<NotifySocket>,
}

impl Guest {
    /// An artifact's way: whatever does not depend on the request happens before the freeze.
    ///
    /// # Errors
    /// If the image cannot be mounted or the host stops listening.
    pub(crate) fn make_container_then_freeze(mut self) -> Result<(), Error> {
        image::mount_squashfs(image::DISK, IMAGE)?;
        let root = Overlay::mount(IMAGE, ROOT)?;
        network::configure()?;
        let mut exports = Exports::open(&root, &[])?;
        let (mut failure, mut freeze_at) = (None, None);
        let child = spawn::container(&mut || {
            let control = &mut self.control;
            let request = container::freeze(&root, control, &self.thaw, &self.streams);
            let run = request.and_then(|(prepared, request)| {
                freeze_at.clone_from(&request.freeze_at);
                prepared.start(request, control, &self.streams, &mut exports)
            });
            failure = run.err();
        })?;
        self.finish(&child, failure, &exports, freeze_at)
    }

    /// A build's way: one frozen machine serves images that are not known yet.
    ///
    /// # Errors
    /// If the host stops listening.
    pub(crate) fn freeze_then_make_container(mut self) -> Result<(), Error> {
        freeze::Reclaim::open()?.run()?;
        let request = freeze::until_start(&mut self.control)?;
        let (root, mounts) = match self.make_file_systems(&request) {
            Ok(made) => made,
            Err(error) => return self.end(&Failure::from(error).frame()?),
        };
        let mut exports = Exports::open(&root, &mounts.caches)?;
        let (mut failure, mut request) = (None, Some(request));
        let child = spawn::container(&mut || {
            let request = request.take().expect("the container is made once");
            let (control, streams) = (&mut self.control, &self.streams);
            let run = container::run(&root, &mounts, request, control, streams, &mut exports);
            failure = run.err();
        })?;
        self.finish(&child, failure, &exports, None)
    }

    fn make_file_systems(&self, request: &StartRequest) -> Result<(Overlay, Mounts), Error> {
        self.thaw.renew(request.realtime_ns, request.entropy)?;
        volumes::mount(&request.volumes)?;
        let root = Overlay::mount(&volumes::path(0), ROOT)?;
        let mounts = Mounts::prepare(&request.mounts, request.network)?;
        if request.network {
            network::configure()?;
        }
        Ok((root, mounts))
    }

    fn finish(
        mut self,
        child: &spawn::Child,
        failure: Option<Failure>,
        exports: &Exports,
        freeze_at: Option<Readiness>,
    ) -> Result<(), Error> {
        drop(self.streams);
        let pauses = Pauses::new(&self.thaw, freeze_at, self.notify);
        let end = match failure {
            Some(failure) => failure.frame()?,
            None => match self.relay.run(child, &mut self.control, pauses)? {
                relay::End::Exited(code) => exports.finish(code, &mut self.control)?,
                relay::End::Failed(message) => Failure::start(message).frame()?,
            },
        };
        self.control.send(&end)?;
        self.control.linger()
    }

    fn end(mut self, frame: &Frame) -> Result<(), Error> {
        self.control.send(frame)?;
        self.control.linger()
    }
}
