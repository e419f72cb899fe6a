//! How a guest's network interface is set up.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::wire::{Decoder, Encoder, WireError};

/// Addresses of the guest's one network interface and the way out of it. Name servers are no part
/// of it: they are a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The interface's IPv4 address.
    pub ipv4: Ipv4Addr,
    /// Length of its network's prefix in bits.
    pub ipv4_prefix: u8,
    /// Where all other IPv4 packets go.
    pub ipv4_gateway: Ipv4Addr,
    /// The interface's IPv6 address.
    pub ipv6: Ipv6Addr,
    /// Length of its network's prefix in bits.
    pub ipv6_prefix: u8,
    /// Where all other IPv6 packets go.
    pub ipv6_gateway: Ipv6Addr,
    /// Bytes in the largest packet.
    pub mtu: u16,
}

impl Network {
    pub(crate) fn encode(&self, to: &mut Encoder) {
        to.array(&self.ipv4.octets())
            .u8(self.ipv4_prefix)
            .array(&self.ipv4_gateway.octets())
            .array(&self.ipv6.octets())
            .u8(self.ipv6_prefix)
            .array(&self.ipv6_gateway.octets())
            .u32(self.mtu.into());
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<Self, WireError> {
        Ok(Self {
            ipv4: from.array::<4>()?.into(),
            ipv4_prefix: from.u8()?,
            ipv4_gateway: from.array::<4>()?.into(),
            ipv6: from.array::<16>()?.into(),
            ipv6_prefix: from.u8()?,
            ipv6_gateway: from.array::<16>()?.into(),
            mtu: u16::try_from(from.u32()?).unwrap_or(u16::MAX),
        })
    }
}
