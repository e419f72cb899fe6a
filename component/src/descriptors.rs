//! What the artifact's descriptors mean.
//!
//! The host's are one more than at the host from our folder on, which is the first directory.

use crate::errno::{Errno, Result};

const STDIN: u32 = 0;
const STDERR: u32 = 2;
/// Our own folder.
pub(crate) const FOLDER: u32 = 3;
/// The list of sockets that are ready.
pub(crate) const READY: u32 = 1 << 29;
/// Sockets follow.
const FIRST_SOCKET: u32 = READY + 1;
/// Then files of our own folder.
const FIRST_FILE: u32 = 1 << 30;

/// A descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Descriptor {
    Stdin,
    Folder,
    Ready,
    /// The socket of this number.
    Socket(usize),
    /// The open file of this number in our folder.
    File(usize),
    /// The host's of this number.
    Host(i32),
}

impl Descriptor {
    pub(crate) fn of(number: u32) -> Self {
        match number {
            STDIN => Self::Stdin,
            1..=STDERR => Self::Host(number.cast_signed()),
            FOLDER => Self::Folder,
            4..READY => Self::Host(number.cast_signed() - 1),
            READY => Self::Ready,
            FIRST_SOCKET..FIRST_FILE => Self::Socket((number - FIRST_SOCKET) as usize),
            FIRST_FILE.. => Self::File((number - FIRST_FILE) as usize),
        }
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Stdin => STDIN,
            Self::Folder => FOLDER,
            Self::Ready => READY,
            Self::Socket(number) => FIRST_SOCKET + number as u32,
            Self::File(number) => FIRST_FILE + number as u32,
            Self::Host(number) => number.cast_unsigned() + u32::from(number > STDERR as i32),
        }
    }

    /// The host's number, if it is the host's.
    pub(crate) fn host(number: u32) -> Result<i32> {
        match Self::of(number) {
            Self::Host(number) => Ok(number),
            _ => Err(Errno::BADF),
        }
    }
}
