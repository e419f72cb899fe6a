//! The virtio-console ports that lead to the host.

use crate::control::ControlPort;
use crate::error::{Context, Error};
use lithify_control::port;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::system::RebootCommand;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The ports of the container's streams, non-blocking.
pub(crate) struct HostEnds {
    /// From the host.
    pub(crate) stdin: OwnedFd,
    /// Towards the host.
    pub(crate) stdout: OwnedFd,
    /// Towards the host.
    pub(crate) stderr: OwnedFd,
}

const CLASS: &str = "/sys/class/virtio-ports";

/// The driver names and opens ports from a work queue while init already runs. A host that
/// offers none must not hold the boot for ever.
const ATTEMPTS: u32 = 5000;
const PAUSE: Duration = Duration::from_millis(1);

/// Finds the ports by name and opens them.
///
/// # Errors
/// If one is missing, or the host does not hold open its side of one that init writes to.
pub(crate) fn open() -> Result<(ControlPort, HostEnds), Error> {
    let stream = OFlags::NONBLOCK;
    let stdin = open_port(port::STDIN, OFlags::RDONLY | stream)?;
    let stdout = open_port(port::STDOUT, OFlags::WRONLY | stream)?;
    let stderr = open_port(port::STDERR, OFlags::WRONLY | stream)?;
    let control = open_port(port::CONTROL, OFlags::RDWR)?;
    for (name, file) in
        [(port::STDOUT, &stdout), (port::STDERR, &stderr), (port::CONTROL, &control)]
    {
        retry(|| host_side_is_open(file).then_some(())).ok_or(Error::NoPort(name))?;
    }
    Ok((ControlPort::new(control), HostEnds { stdin, stdout, stderr }))
}

/// Opens the port for what the container changed. Only a build has a use for it, so it is looked
/// for when it is needed.
///
/// # Errors
/// If it is missing, or the host does not hold its side open.
pub(crate) fn open_export() -> Result<File, Error> {
    let file = open_port(port::EXPORT, OFlags::WRONLY)?;
    host_side_is_open(&file).then(|| file.into()).ok_or(Error::NoPort(port::EXPORT))
}

fn open_port(name: &'static str, flags: OFlags) -> Result<OwnedFd, Error> {
    let device = retry(|| device_of(name)).ok_or(Error::NoPort(name))?;
    rustix::fs::open(&device, flags | OFlags::CLOEXEC, Mode::empty())
        .during(|| format!("open port {name} at {device}"))
}

fn device_of(name: &str) -> Option<String> {
    std::fs::read_dir(CLASS).ok()?.flatten().find_map(|entry| {
        let device = entry.file_name().into_string().ok()?;
        let found = std::fs::read_to_string(entry.path().join("name")).ok()?;
        (found.trim_end() == name).then(|| format!("/dev/{device}"))
    })
}

fn host_side_is_open(file: &OwnedFd) -> bool {
    let mut poll = [PollFd::new(file, PollFlags::OUT)];
    let polled = rustix::event::poll(&mut poll, Some(&Timespec::default()));
    polled.is_ok() && !poll[0].revents().contains(PollFlags::HUP)
}

fn retry<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    (0..ATTEMPTS).find_map(|_| {
        attempt().or_else(|| {
            std::thread::sleep(PAUSE);
            None
        })
    })
}

/// Waits until `file` has something to read or its host side closes, at most for `limit`; whether
/// one of the two happened.
///
/// # Errors
/// If the kernel refuses to poll.
pub(crate) fn wait_readable(file: impl AsFd, limit: Duration) -> Result<bool, Error> {
    let limit = Timespec::try_from(limit).unwrap_or_default();
    rustix::event::poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&limit))
        .map(|ready| ready > 0)
        .during(|| "wait for a port".to_owned())
}

/// Ends the machine.
pub(crate) fn power_off() -> ! {
    // Nothing is left to do about an error: the kernel panics when PID 1 ends, which the host
    // sees as well.
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
    std::process::abort();
}
