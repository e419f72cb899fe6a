//! The container's terminal: a pseudo-terminal of the container's own devpts.
//!
//! The container's process makes it, for only that one sees this devpts, and sends the master to
//! init over a socket: the two share memory, but not descriptors.

use crate::error::{Context, Error};
use lithify_control::WindowSize;
use rustix::fs::{Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// Its name in the container.
const MULTIPLEXER: &str = "/dev/pts/ptmx";

/// Room for the message that carries one descriptor.
const ONE_DESCRIPTOR: usize = rustix::cmsg_space!(ScmRights(1));

/// The way of a master from the container's process to init.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn socket_pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
}

/// Makes a terminal that belongs to `owner` the calling session's and its descriptors 0, 1 and 2;
/// the master leaves over `socket`.
///
/// # Errors
/// If the container has no devpts, or the kernel refuses.
pub(crate) fn make(size: WindowSize, owner: Uid, socket: &OwnedFd) -> Result<(), Error> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let master = rustix::fs::open(MULTIPLEXER, flags, Mode::empty())
        .during(|| format!("open {MULTIPLEXER}"))?;
    install(&master, size, owner)
        .and_then(|()| send(socket, &master))
        .during(|| "make the container's terminal".to_owned())
}

fn install(master: &OwnedFd, size: WindowSize, owner: Uid) -> Result<(), Errno> {
    rustix::pty::unlockpt(master)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = rustix::pty::ioctl_tiocgptpeer(master, flags)?;
    resize(master, size)?;
    rustix::fs::fchown(&terminal, Some(owner), None)?;
    rustix::process::ioctl_tiocsctty(&terminal)?;
    rustix::stdio::dup2_stdin(&terminal)?;
    rustix::stdio::dup2_stdout(&terminal)?;
    rustix::stdio::dup2_stderr(&terminal)
}

/// Gives the terminal another size; the kernel tells its foreground processes.
///
/// # Errors
/// If `master` is none.
pub(crate) fn resize(master: &OwnedFd, size: WindowSize) -> Result<(), Errno> {
    let WindowSize { rows, columns } = size;
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(master, size)
}

fn send(socket: &OwnedFd, master: &OwnedFd) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); ONE_DESCRIPTOR];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [master.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let byte = [IoSlice::new(&[0])];
    rustix::net::sendmsg(socket, &byte, &mut control, SendFlags::empty()).map(|_| ())
}

/// The master that has arrived at `socket`, `None` if the container has no terminal.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn receive(socket: &OwnedFd) -> Result<Option<OwnedFd>, Error> {
    let mut space = [MaybeUninit::uninit(); ONE_DESCRIPTOR];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut pieces = [IoSliceMut::new(&mut byte)];
    match rustix::net::recvmsg(socket, &mut pieces, &mut control, RecvFlags::CMSG_CLOEXEC) {
        Err(Errno::AGAIN) => return Ok(None),
        received => received.during(|| "receive the container's terminal".to_owned())?,
    };
    let master = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(master)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_arrives_once_and_can_be_resized() {
        let (from, to) = socket_pair().expect("sockets");
        assert!(receive(&to).expect("no error").is_none());
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("pty");
        send(&from, &master).expect("sent");
        let received = receive(&to).expect("no error").expect("a descriptor");
        assert!(receive(&to).expect("no error").is_none());
        resize(&received, WindowSize { rows: 7, columns: 300 }).expect("resized");
        let size = rustix::termios::tcgetwinsize(&master).expect("a terminal");
        assert_eq!((size.ws_row, size.ws_col), (7, 300));
    }
}
