//! Errors as preview 1 numbers them.

use wasip2::io::streams::StreamError;
use wasip2::sockets::network::ErrorCode;

/// An error number; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

pub(crate) type Result<T> = std::result::Result<T, Errno>;

macro_rules! numbers {
    ($($name:ident = $of:ident),* $(,)?) => {
        impl Errno { $(pub(crate) const $name: Self = Self(wasip1::$of.raw() as i32);)* }
    };
}

numbers! {
    ACCES = ERRNO_ACCES,
    ADDRINUSE = ERRNO_ADDRINUSE,
    ADDRNOTAVAIL = ERRNO_ADDRNOTAVAIL,
    AGAIN = ERRNO_AGAIN,
    BADF = ERRNO_BADF,
    CONNABORTED = ERRNO_CONNABORTED,
    CONNREFUSED = ERRNO_CONNREFUSED,
    CONNRESET = ERRNO_CONNRESET,
    HOSTUNREACH = ERRNO_HOSTUNREACH,
    INVAL = ERRNO_INVAL,
    IO = ERRNO_IO,
    MFILE = ERRNO_MFILE,
    MSGSIZE = ERRNO_MSGSIZE,
    NOENT = ERRNO_NOENT,
    NOMEM = ERRNO_NOMEM,
    NOTSUP = ERRNO_NOTSUP,
    PIPE = ERRNO_PIPE,
    TIMEDOUT = ERRNO_TIMEDOUT,
}

impl Errno {
    /// The answer of a call.
    pub(crate) fn of(answer: i32) -> Result<()> {
        if answer == 0 { Ok(()) } else { Err(Self(answer)) }
    }
}

impl From<ErrorCode> for Errno {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::AccessDenied => Self::ACCES,
            ErrorCode::NotSupported => Self::NOTSUP,
            ErrorCode::InvalidArgument => Self::INVAL,
            ErrorCode::OutOfMemory => Self::NOMEM,
            ErrorCode::Timeout => Self::TIMEDOUT,
            ErrorCode::WouldBlock => Self::AGAIN,
            ErrorCode::NewSocketLimit => Self::MFILE,
            ErrorCode::AddressNotBindable => Self::ADDRNOTAVAIL,
            ErrorCode::AddressInUse => Self::ADDRINUSE,
            ErrorCode::RemoteUnreachable => Self::HOSTUNREACH,
            ErrorCode::ConnectionRefused => Self::CONNREFUSED,
            ErrorCode::ConnectionReset => Self::CONNRESET,
            ErrorCode::ConnectionAborted => Self::CONNABORTED,
            ErrorCode::DatagramTooLarge => Self::MSGSIZE,
            _ => Self::IO,
        }
    }
}

/// Of a stream to a peer.
impl From<StreamError> for Errno {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed => Self::PIPE,
            // What failed has a text and no number.
            StreamError::LastOperationFailed(_) => Self::CONNRESET,
        }
    }
}
