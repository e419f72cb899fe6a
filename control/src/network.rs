//! The addresses on the link between a guest and its gateway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who has which address. The IPv4 ones are those of other user-mode networks; the IPv6 ones are
/// unique local (RFC 4193), so that programs prefer IPv4 where both lead to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The guest.
    pub guest_v4: Ipv4Addr,
    /// Where the guest's IPv4 packets leave the link. Answers pings.
    pub gateway_v4: Ipv4Addr,
    /// Answers what is sent to port 53 as the host's name server does.
    pub dns_v4: Ipv4Addr,
    /// Length of the IPv4 network's prefix.
    pub prefix_v4: u8,
    /// The guest.
    pub guest_v6: Ipv6Addr,
    /// Where the guest's IPv6 packets leave the link. Answers pings.
    pub gateway_v6: Ipv6Addr,
    /// Answers what is sent to port 53 as the host's name server does.
    pub dns_v6: Ipv6Addr,
    /// Length of the IPv6 network's prefix.
    pub prefix_v6: u8,
    /// Bytes in the largest IP packet.
    pub mtu: u16,
}

/// The only plan there is: machines cannot see one another's links, so init can set the guest's end
/// up before anybody asks for a network. The MTU is the largest that IPv4 has.
pub const PLAN: Plan = Plan {
    guest_v4: Ipv4Addr::new(10, 0, 2, 15),
    gateway_v4: Ipv4Addr::new(10, 0, 2, 2),
    dns_v4: Ipv4Addr::new(10, 0, 2, 3),
    prefix_v4: 24,
    guest_v6: Ipv6Addr::new(0xfd00, 0x6c69, 0x7468, 0, 0, 0, 0, 0x15),
    gateway_v6: Ipv6Addr::new(0xfd00, 0x6c69, 0x7468, 0, 0, 0, 0, 2),
    dns_v6: Ipv6Addr::new(0xfd00, 0x6c69, 0x7468, 0, 0, 0, 0, 3),
    prefix_v6: 64,
    mtu: u16::MAX,
};

impl Plan {
    /// Whether the address is the gateway's.
    #[must_use]
    pub fn is_gateway(&self, ip: IpAddr) -> bool {
        ip == self.gateway_v4 || ip == self.gateway_v6
    }

    /// Whether the address is the name server's.
    #[must_use]
    pub fn is_dns(&self, ip: IpAddr) -> bool {
        ip == self.dns_v4 || ip == self.dns_v6
    }

    /// Whether the gateway answers for this address itself.
    #[must_use]
    pub fn is_ours(&self, ip: IpAddr) -> bool {
        self.is_gateway(ip) || self.is_dns(ip)
    }

    /// Whether the address belongs to the link's own networks.
    #[must_use]
    pub fn is_on_link(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => {
                let shift = 32 - u32::from(self.prefix_v4);
                ip.to_bits() >> shift == self.gateway_v4.to_bits() >> shift
            }
            IpAddr::V6(ip) => {
                let shift = 128 - u32::from(self.prefix_v6);
                ip.to_bits() >> shift == self.gateway_v6.to_bits() >> shift
            }
        }
    }
}
