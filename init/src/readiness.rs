//! Whether the container's program is ready to be frozen.

use crate::connections;
use crate::error::{Context, Error};
use lithify_control::{LISTEN_FOR_NOTIFY, Readiness};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::OwnedFd;

/// The name of the notify socket in the machine's one abstract namespace: it needs no file in the
/// container.
const NOTIFY_NAME: &[u8] = b"lithify/notify";

/// How the container learns it, `sd_notify(3)`.
pub(crate) const NOTIFY_VARIABLE: &[u8] = b"NOTIFY_SOCKET=@lithify/notify";

/// A longer message is cut; ours is seven bytes among some lines.
const MESSAGE_LEN: usize = 4096;

/// The socket to which a program says that it is ready.
#[derive(Debug)]
pub(crate) struct NotifySocket(OwnedFd);

impl NotifySocket {
    /// Makes it if the kernel's command line asks for it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn open() -> Result<Option<Self>, Error> {
        let (name, value) = LISTEN_FOR_NOTIFY.split_once('=').unwrap_or((LISTEN_FOR_NOTIFY, ""));
        if std::env::var(name).is_ok_and(|found| found == value) {
            return Self::bind(NOTIFY_NAME)
                .map(Some)
                .during(|| "make the notify socket".to_owned());
        }
        Ok(None)
    }

    fn bind(name: &[u8]) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(name)?)?;
        Ok(Self(socket))
    }

    /// Whether `READY=1` is among what has arrived.
    fn has_said_ready(&self) -> bool {
        let mut message = [0; MESSAGE_LEN];
        while let Ok((len, _)) = rustix::net::recv(&self.0, &mut message[..], RecvFlags::empty()) {
            if message[..len].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return true;
            }
        }
        false
    }
}

/// Waits for a program to be ready.
#[derive(Debug)]
pub(crate) struct Watch {
    readiness: Readiness,
    notify: Option<NotifySocket>,
}

impl Watch {
    /// Looks for `readiness` from now on.
    pub(crate) fn new(readiness: Readiness, notify: Option<NotifySocket>) -> Self {
        Self { readiness, notify }
    }

    /// Whether the program that started as `pid` is ready.
    pub(crate) fn is_met(&self, pid: i32) -> bool {
        match &self.readiness {
            Readiness::Exec => true,
            Readiness::Port(port) => connections::is_listening(*port),
            Readiness::File(path) => exists(pid, path),
            Readiness::Notify => self.notify.as_ref().is_some_and(NotifySocket::has_said_ready),
        }
    }
}

/// Whether the process sees a file there. No link leads out of its root.
fn exists(pid: i32, path: &[u8]) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = || {
        let root = rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty())?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
    };
    found().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_a_line_of_its_own() {
        let name = format!("lithify/test/{}", std::process::id());
        let socket = NotifySocket::bind(name.as_bytes()).expect("bound");
        assert!(!socket.has_said_ready());
        let to = SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("short");
        let from = std::os::unix::net::UnixDatagram::unbound().expect("socket");
        for (message, ready) in
            [(&b"STATUS=READY=1"[..], false), (b"READY=10", false), (b"STATUS=a\nREADY=1\n", true)]
        {
            rustix::net::sendto(&from, message, rustix::net::SendFlags::empty(), &to)
                .expect("sent");
            assert_eq!(socket.has_said_ready(), ready, "{}", message.escape_ascii());
        }
    }

    #[test]
    fn a_file_of_this_process_exists() {
        let own = std::process::id().cast_signed();
        let program = std::env::current_exe().expect("a path");
        use std::os::unix::ffi::OsStrExt;
        assert!(exists(own, program.as_os_str().as_bytes()));
        assert!(!exists(own, b"/no/such/file"));
        assert!(!exists(-1, b"/"));
    }
}
