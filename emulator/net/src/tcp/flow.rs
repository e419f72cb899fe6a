//! One connection: its two sockets and how far each direction has come.

use std::io;

use lithify_hostnet::{SocketId, Sockets};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{self, State};

use crate::packet::Ends;

pub(super) struct Flow {
    pub(super) ends: Ends,
    pub(super) host: SocketId,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    /// The host is connecting; the guest's `SYN` waits.
    Connecting {
        syn: Vec<u8>,
    },
    Open(Open),
}

impl Flow {
    /// Whether the host has all that the guest will ever send.
    pub(super) fn is_drained(&self) -> bool {
        match &self.stage {
            Stage::Connecting { .. } => true,
            Stage::Open(open) => open.guest_ended || open.host_failed,
        }
    }
}

/// A connection with a socket on both sides.
pub(super) struct Open {
    pub(super) handle: SocketHandle,
    /// The guest's end of stream was passed to the host.
    guest_ended: bool,
    /// The host's end of stream was passed to the guest.
    host_ended: bool,
    /// The host's socket failed.
    host_failed: bool,
}

impl Stage {
    pub(super) fn open(handle: SocketHandle) -> Self {
        Self::Open(Open { handle, guest_ended: false, host_ended: false, host_failed: false })
    }
}

impl Open {
    /// Moves bytes and ends of streams as far as there is room.
    pub(super) fn pump(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        host: SocketId,
        sockets: &mut dyn Sockets,
    ) {
        if socket.state() == State::Established {
            // It was for the handshake: a guest may be held up for any time later.
            socket.set_timeout(None);
        }
        let moved = self.pump_out(socket, host, sockets).and_then(|()| {
            if self.host_ended { Ok(()) } else { self.pump_in(socket, host, sockets) }
        });
        if moved.is_err() {
            self.host_failed = true;
            socket.abort();
        }
    }

    fn pump_out(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        host: SocketId,
        sockets: &mut dyn Sockets,
    ) -> io::Result<()> {
        while socket.can_recv() {
            let sent = socket.recv(|bytes| match sockets.send(host, bytes) {
                Ok(len) => (len, Ok(len)),
                Err(error) => (0, Err(error)),
            });
            match sent.unwrap_or(Ok(0)) {
                Ok(1..) => {}
                Ok(0) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if !self.guest_ended && has_ended(socket) {
            self.guest_ended = true;
            sockets.shutdown(host)?;
        }
        Ok(())
    }

    fn pump_in(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        host: SocketId,
        sockets: &mut dyn Sockets,
    ) -> io::Result<()> {
        while socket.can_send() {
            let received = socket.send(|room| match sockets.recv(host, room) {
                Ok(len) => (len, Ok(len)),
                Err(error) => (0, Err(error)),
            });
            match received.unwrap_or(Ok(0)) {
                Ok(1..) => {}
                Ok(0) => {
                    self.host_ended = true;
                    socket.close();
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// How the connection ended, if it did: whether both streams came to their ends. While a reset
    /// is still to be sent, the socket remembers its peer.
    pub(super) fn outcome(&self, socket: &tcp::Socket<'_>) -> Option<bool> {
        let clean = self.guest_ended && self.host_ended && !self.host_failed;
        match socket.state() {
            State::Closed if socket.remote_endpoint().is_none() => Some(clean),
            // Nothing is lost on the link, so the last acknowledgement need not be repeated.
            State::TimeWait if clean => Some(true),
            // The guest took its SYN back.
            State::Listen => Some(false),
            _ => None,
        }
    }
}

/// Whether the guest's stream is at its end and everything before that was taken.
fn has_ended(socket: &tcp::Socket<'_>) -> bool {
    let state = socket.state();
    matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait)
        && !socket.can_recv()
}
