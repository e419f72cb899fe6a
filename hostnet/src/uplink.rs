//! What a runner offers to an artifact's gateway, and by which files.

use std::net::SocketAddr;

use lithify_control::wire::{Decoder, Encoder, WireError};

use crate::address::{decode_address, encode_address};
use crate::{Access, Protocol};

/// The network that a runner offers: contents of the file [`Uplink::FILE`] in its own folder, which
/// a runner without a network, as a stock one, does not have.
///
/// Sockets are files below [`Uplink::SOCKETS`], made by opening them and gone when they are closed.
/// They never block; what cannot be done at once is `EAGAIN`.
///
/// | file | is | calls |
/// | --- | --- | --- |
/// | `ready` | numbers of sockets for which something has changed, `u32`s; waited for with `poll_oneoff` | `fd_read` |
/// | `tcp/ADDRESS` | a connection that is being made | `fd_read`, `fd_write`, `sock_shutdown`; an empty `fd_write` succeeds when the connection is made, and tells why it is not; shut down in both directions it is reset |
/// | `udp4`, `udp6` | a datagram socket on any port | `fd_read`, `fd_write` of two pieces: an [address](encode_address) and the datagram |
/// | `published/N` | what listens for the `N`th of `published` | `sock_accept`, or a datagram socket's |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// What the guest may reach.
    pub access: Access,
    /// Name servers in the order in which they are asked.
    pub resolvers: Vec<SocketAddr>,
    /// Ports of the guest that the host listens for.
    pub published: Vec<(u16, Protocol)>,
}

impl Uplink {
    /// Name of the file in the runner's own folder that holds an encoded `Uplink`.
    pub const FILE: &str = "network";
    /// What names of sockets begin with.
    pub const SOCKETS: &str = "sockets/";
    /// The list of sockets that are ready.
    pub const READY: &str = "ready";
    /// A connection to the address that follows.
    pub const TCP: &str = "tcp/";
    /// A datagram socket for IPv4.
    pub const UDP4: &str = "udp4";
    /// A datagram socket for IPv6.
    pub const UDP6: &str = "udp6";
    /// The listening socket whose number follows.
    pub const PUBLISHED: &str = "published/";

    /// As the artifact reads it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::default();
        to.u8(self.access as u8).u32(self.resolvers.len() as u32);
        for resolver in &self.resolvers {
            to.array(&encode_address(*resolver));
        }
        to.u32(self.published.len() as u32);
        for (port, protocol) in &self.published {
            to.u32((*port).into()).u8(*protocol as u8);
        }
        to.finish()
    }

    /// The reverse of [`encode`](Self::encode).
    ///
    /// # Errors
    /// If `bytes` is not exactly one encoded value.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Decoder::new(bytes);
        let tag = from.u8()?;
        let access = Access::ALL.into_iter().find(|access| *access as u8 == tag);
        let access = access.ok_or(WireError::UnknownTag(tag))?;
        let resolvers = (0..from.u32()?).map(|_| resolver(&mut from)).collect::<Result<_, _>>()?;
        let published = (0..from.u32()?).map(|_| published(&mut from)).collect::<Result<_, _>>()?;
        from.finish()?;
        Ok(Self { access, resolvers, published })
    }
}

fn resolver(from: &mut Decoder<'_>) -> Result<SocketAddr, WireError> {
    let bytes = from.array()?;
    decode_address(&bytes).ok_or(WireError::UnknownTag(bytes[0]))
}

fn published(from: &mut Decoder<'_>) -> Result<(u16, Protocol), WireError> {
    let port = from.u32()? as u16;
    match from.u8()? {
        tag if tag == Protocol::Tcp as u8 => Ok((port, Protocol::Tcp)),
        tag if tag == Protocol::Udp as u8 => Ok((port, Protocol::Udp)),
        tag => Err(WireError::UnknownTag(tag)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uplinks_come_back() {
        for access in Access::ALL {
            let uplink = Uplink {
                access,
                resolvers: vec!["[fe80::1%3]:53".parse().unwrap(), "9.9.9.9:53".parse().unwrap()],
                published: vec![(80, Protocol::Tcp), (65535, Protocol::Udp)],
            };
            let bytes = uplink.encode();
            assert_eq!(Uplink::decode(&bytes), Ok(uplink));
            for len in 0..bytes.len() {
                assert!(Uplink::decode(&bytes[..len]).is_err(), "{len}");
            }
        }
        assert_eq!(Uplink::decode(&[9]), Err(WireError::UnknownTag(9)));
    }
}
