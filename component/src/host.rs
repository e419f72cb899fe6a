//! Everything of one run.

use std::cell::RefCell;

use lithify_hostnet::{Published, Uplink};
use wasip2::cli::stdin::get_stdin;
use wasip2::io::poll::Pollable;
use wasip2::io::streams::{InputStream, StreamError};

use crate::descriptors::Descriptor;
use crate::environment::Strings;
use crate::errno::Errno;
use crate::folder::Folder;
use crate::options::{Options, VARIABLE};
use crate::sockets::{Network, Sockets};

/// Docker's code for a wrong command line is its own; ours is that of `lithify`.
const USAGE: u8 = 2;

/// Why the container is not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("{VARIABLE}: {0}")]
    Options(#[from] lexopt::Error),
    #[error("port {0} cannot be published: there is no network")]
    NothingToPublish(Published),
    #[error(
        "cannot publish port {0}: the runtime gives no network (wasmtime does with `-S inherit-network`)"
    )]
    NoNetwork(Published),
    #[error("cannot publish port {0}: {1}")]
    Publish(Published, &'static str),
}

impl StartError {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Options(_) => USAGE,
            _ => lithify_control::exit_code::LITHIFY as u8,
        }
    }
}

/// Standard input; what waits for it goes first.
#[derive(Debug)]
pub(crate) struct Stdin {
    pub(crate) pollable: Pollable,
    stream: InputStream,
}

impl Stdin {
    fn open() -> Self {
        let stream = get_stdin();
        Self { pollable: stream.subscribe(), stream }
    }

    /// The next bytes; none at the end. Waits if there are none yet.
    pub(crate) fn read(&self, most: usize) -> Result<Vec<u8>, Errno> {
        match self.stream.blocking_read(most as u64) {
            Err(StreamError::Closed) => Ok(Vec::new()),
            Err(StreamError::LastOperationFailed(_)) => Err(Errno::IO),
            Ok(bytes) => Ok(bytes),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) arguments: Strings,
    pub(crate) variables: Strings,
    pub(crate) stdin: Stdin,
    pub(crate) folder: Folder,
    pub(crate) sockets: Option<Sockets>,
    /// Where bytes stand between the artifact and the adapter under us.
    pub(crate) scratch: Vec<u8>,
}

thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// Reads what the user says, and begins to listen for published ports.
pub(crate) fn start() -> Result<(), StartError> {
    let options = Options::read()?;
    let network = Network::open(&options)?;
    let (uplink, sockets) = match network {
        Some(Network { uplink, sockets }) => (Some(uplink), Some(sockets)),
        None => (None, None),
    };
    let host = Host {
        arguments: Strings::arguments(),
        variables: Strings::variables(&options),
        stdin: Stdin::open(),
        folder: Folder::new(&options.overrides(), uplink.as_ref()),
        sockets,
        scratch: Vec::new(),
    };
    HOST.set(Some(host));
    Ok(())
}

/// Calls `f` with the run's host.
pub(crate) fn with<R>(f: impl FnOnce(&mut Host) -> R) -> R {
    HOST.with_borrow_mut(|host| f(host.as_mut().expect("the artifact starts after its host")))
}

impl Host {
    pub(crate) fn sockets(&mut self) -> Result<&mut Sockets, Errno> {
        self.sockets.as_mut().ok_or(Errno::BADF)
    }

    /// Opens a file of our own folder.
    pub(crate) fn open_own(&mut self, name: &str) -> Result<Descriptor, Errno> {
        match name.strip_prefix(Uplink::SOCKETS) {
            Some(name) => self.sockets.as_mut().ok_or(Errno::NOENT)?.open(name),
            None => self.folder.open(name),
        }
    }

    /// So many bytes of scratch.
    pub(crate) fn scratch(&mut self, len: usize) -> &mut [u8] {
        if self.scratch.len() < len {
            self.scratch.resize(len, 0);
        }
        &mut self.scratch[..len]
    }
}
