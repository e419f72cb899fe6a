//! The guest's network, if our runner offers one: the gateway over the runner's sockets.
//!
//! It exists only between a thaw and the next freeze. Other runtimes offer no sockets, and their
//! guests have no network.

mod sockets;

use std::time::Duration;

use lithify_control::Overrides;
use lithify_control::wire::WireError;
use lithify_hostnet::Uplink;
use lithify_machine::host::Link;
use lithify_net::{Buffers, Gateway, Settings, SharedGateway};
use wasip1::{Errno, Fd};

use crate::wasi;
use sockets::WasiSockets;

/// Why there is no network where the runner offers one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error("the runner's network: {0}")]
    Uplink(#[from] WireError),
    #[error("the runner's network: error {0}")]
    Host(#[from] Errno),
}

/// A network, of which the machine has one end and who waits for the machine the other.
pub(crate) struct Network {
    gateway: SharedGateway<WasiSockets>,
    ready: Fd,
}

impl Network {
    /// The network that the runner offers; its first connections use what is in `buffers`.
    ///
    /// # Errors
    /// If the runner does not keep what it offers.
    pub(crate) fn find(buffers: &mut Buffers) -> Result<Option<Self>, NetworkError> {
        let Some(uplink) = wasi::preopened_file(Overrides::DIRECTORY, Uplink::FILE) else {
            return Ok(None);
        };
        let uplink = Uplink::decode(&uplink)?;
        let mut seed = [0; 8];
        wasi::random(&mut seed)?;
        let settings = Settings {
            access: uplink.access,
            resolvers: uplink.resolvers,
            seed: u64::from_le_bytes(seed),
            ..Settings::default()
        };
        let mut sockets = WasiSockets::open()?;
        let ready = sockets.readiness();
        let published = (0..)
            .zip(uplink.published)
            .map(|(number, (guest, protocol))| Ok((sockets.published(number)?, guest, protocol)));
        let published = published.collect::<Result<Vec<_>, Errno>>()?;
        let mut gateway = Gateway::new(sockets, settings);
        gateway.use_buffers(std::mem::take(buffers));
        for (socket, guest, protocol) in published {
            gateway.adopt(socket, guest, protocol);
        }
        Ok(Some(Self { gateway: SharedGateway::new(gateway), ready }))
    }

    /// The machine's end.
    pub(crate) fn link(&self) -> Box<dyn Link> {
        Box::new(self.gateway.clone())
    }

    /// What is to be waited for.
    pub(crate) fn ready(&self) -> Fd {
        self.ready
    }

    /// Whether the host has all that the container has sent.
    pub(crate) fn is_drained(&self) -> bool {
        self.gateway.with(|gateway| gateway.is_drained())
    }

    /// How long nothing is to be done unless a socket or the guest has something new.
    pub(crate) fn rest(&self) -> Option<Duration> {
        self.gateway.with(Gateway::rest)
    }
}
