//! Calls on sockets.

use wasip1::{Ciovec, Errno, Fd, Iovec, Sdflags};

/// Takes a connection that was made to a listening socket.
pub(crate) fn accept(listener: Fd) -> Result<Fd, Errno> {
    // SAFETY: the call takes no pointers.
    unsafe { wasip1::sock_accept(listener, wasip1::FDFLAGS_NONBLOCK) }
}

/// Ends one direction of a connection, or both.
pub(crate) fn shutdown(socket: Fd, how: Sdflags) -> Result<(), Errno> {
    // SAFETY: as above.
    unsafe { wasip1::sock_shutdown(socket, how) }
}

/// Writes two pieces as one message.
pub(crate) fn write_two(fd: Fd, first: &[u8], second: &[u8]) -> Result<usize, Errno> {
    let pieces = [first, second].map(|bytes| Ciovec { buf: bytes.as_ptr(), buf_len: bytes.len() });
    // SAFETY: the pieces describe slices that outlive the call.
    unsafe { wasip1::fd_write(fd, &pieces) }
}

/// Reads a message of two pieces, the first of fixed length.
pub(crate) fn read_two(fd: Fd, first: &mut [u8], second: &mut [u8]) -> Result<usize, Errno> {
    let pieces =
        [first, second].map(|bytes| Iovec { buf: bytes.as_mut_ptr(), buf_len: bytes.len() });
    // SAFETY: the pieces describe slices that outlive the call.
    unsafe { wasip1::fd_read(fd, &pieces) }
}
