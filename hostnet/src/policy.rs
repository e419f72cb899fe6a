//! Where the guest may connect to, and what its addresses mean on the host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lithify_control::PLAN;

/// Port of name servers.
const DNS_PORT: u16 = 53;

/// Address of the instance metadata service in most clouds' IPv6; the IPv4 one is link-local.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// The same in a cloud that keeps it elsewhere.
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);

/// How much of the host's network the guest sees. A guest without a network has no gateway at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// What the host reaches over its network, and nothing of the host itself that listens on its
    /// loopback only: not `127.0.0.0/8`, `::1`, link-local addresses or metadata services.
    #[default]
    Outside,
    /// The same, and the gateway's address is the host's loopback.
    Gateway,
    /// All that the host reaches: also link-local addresses and metadata services. The gateway's
    /// address is the host's loopback.
    Host,
}

/// What a destination of the guest means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// An address of the host's network.
    Host(SocketAddr),
    /// The host's name server.
    Dns,
    /// Nothing the guest may have.
    Refused,
}

impl Access {
    /// From the least to the most.
    pub const ALL: [Self; 3] = [Self::Outside, Self::Gateway, Self::Host];

    /// What a destination of the guest means.
    #[must_use]
    pub fn target(self, to: SocketAddr) -> Target {
        let ip = to.ip();
        if PLAN.is_dns(ip) && to.port() == DNS_PORT {
            Target::Dns
        } else if PLAN.is_gateway(ip) && self != Self::Outside {
            Target::Host(SocketAddr::new(loopback(ip), to.port()))
        } else if PLAN.is_on_link(ip) || self.refuses(ip) {
            Target::Refused
        } else {
            Target::Host(to)
        }
    }

    /// Whether this may be what a destination of the guest means: the address is the host's. Name
    /// servers are another matter.
    #[must_use]
    pub fn permits(self, to: SocketAddr) -> bool {
        let ip = to.ip();
        match ip == loopback(ip) {
            true => self != Self::Outside,
            false => !PLAN.is_on_link(ip) && !self.refuses(ip),
        }
    }

    fn refuses(self, ip: IpAddr) -> bool {
        let inner = match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(v6) => embedded_v4(v6).map_or(ip, IpAddr::V4),
        };
        inner.is_loopback()
            || inner.is_unspecified()
            || inner.is_multicast()
            || is_broadcast_or_this_network(inner)
            || (self != Self::Host && is_link_local_or_metadata(inner))
    }
}

/// The host's loopback in the family of `ip`.
fn loopback(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// The IPv4 address that a packet to `ip` may end at: IPv4-mapped, IPv4-compatible (RFC 4291),
/// NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = ip.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0) if high != 0 => Some(join(high, low)),
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(join(high, low)),
        (0x2002, ..) => Some(join(b, c)),
        _ => None,
    }
}

fn is_broadcast_or_this_network(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0)
}

fn is_link_local_or_metadata(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4 == METADATA_V4,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == METADATA_V6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_host_itself_and_metadata_are_refused() {
        for to in [
            "127.0.0.1:80",
            "127.255.0.1:80",
            "[::1]:80",
            "0.0.0.0:80",
            "0.1.2.3:80",
            "[::]:80",
            "169.254.169.254:80",
            "[fe80::1]:80",
            "[fd00:ec2::254]:80",
            "100.100.100.200:80",
            "[::ffff:127.0.0.1]:80",
            "[::127.0.0.1]:80",
            "[64:ff9b::7f00:1]:80",
            "[2002:7f00:1::]:80",
            "[::ffff:169.254.169.254]:80",
            "224.0.0.1:80",
            "[ff02::1]:80",
            "255.255.255.255:67",
            "10.0.2.2:80",
            "10.0.2.3:80",
            "10.0.2.15:80",
            "10.0.2.77:80",
            "[fd00:6c69:7468::2]:80",
        ] {
            assert_eq!(Access::Outside.target(addr(to)), Target::Refused, "{to}");
        }
    }

    #[test]
    fn everything_else_goes_where_it_says() {
        for to in ["1.2.3.4:80", "192.168.1.1:53", "10.0.3.2:1", "[2001:db8::1]:443"] {
            assert_eq!(Access::Outside.target(addr(to)), Target::Host(addr(to)), "{to}");
        }
    }

    #[test]
    fn the_gateway_is_the_host_s_loopback_if_it_may() {
        for access in [Access::Gateway, Access::Host] {
            let v4 = access.target(addr("10.0.2.2:8000"));
            assert_eq!(v4, Target::Host(addr("127.0.0.1:8000")));
            let v6 = access.target(addr("[fd00:6c69:7468::2]:8000"));
            assert_eq!(v6, Target::Host(addr("[::1]:8000")));
            assert_eq!(access.target(addr("127.0.0.1:8000")), Target::Refused);
        }
        let metadata = addr("169.254.169.254:80");
        assert_eq!(Access::Gateway.target(metadata), Target::Refused);
        assert_eq!(Access::Host.target(metadata), Target::Host(metadata));
    }

    #[test]
    fn the_border_lets_out_what_destinations_mean() {
        for access in Access::ALL {
            for to in ["1.2.3.4:80", "10.0.2.2:80", "[fd00:6c69:7468::2]:80", "169.254.169.254:80"]
            {
                if let Target::Host(meant) = access.target(addr(to)) {
                    assert!(access.permits(meant), "{to} {access:?}");
                }
            }
            for never in ["10.0.2.2:80", "127.0.0.2:80", "0.0.0.0:80", "224.0.0.1:80", "[::]:80"] {
                assert!(!access.permits(addr(never)), "{never} {access:?}");
            }
            for loopback in ["127.0.0.1:80", "[::1]:80"] {
                assert_eq!(access.permits(addr(loopback)), access != Access::Outside, "{loopback}");
            }
        }
        assert!(!Access::Gateway.permits(addr("169.254.169.254:80")));
    }

    #[test]
    fn names_are_looked_up_at_one_port_only() {
        for access in [Access::Outside, Access::Gateway, Access::Host] {
            assert_eq!(access.target(addr("10.0.2.3:53")), Target::Dns);
            assert_eq!(access.target(addr("[fd00:6c69:7468::3]:53")), Target::Dns);
            assert_eq!(access.target(addr("10.0.2.3:54")), Target::Refused);
        }
    }
}
