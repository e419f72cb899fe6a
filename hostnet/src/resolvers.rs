//! The host's name servers, which answer for the address that the guest's `resolv.conf` names.
//!
//! Requests go to them as they are: what the host resolves over the network, the guest does, with
//! every record type and without a resolver of our own. Names that the host knows by other means
//! (`/etc/hosts`, multicast DNS) are not known to the guest.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

const PORT: u16 = 53;

/// Where a host lists its name servers.
#[cfg(not(target_arch = "wasm32"))]
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// As many as resolv.conf(5) takes notice of.
const MAX_RESOLVERS: usize = 3;

/// The name servers that a `resolv.conf` lists. If it lists none, there is one on the host itself,
/// says resolv.conf(5).
#[must_use]
pub fn resolvers(resolv_conf: &str) -> Vec<SocketAddr> {
    let listed: Vec<SocketAddr> =
        resolv_conf.lines().filter_map(name_server).take(MAX_RESOLVERS).collect();
    match listed[..] {
        [] => vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)],
        _ => listed,
    }
}

/// The host's name servers.
///
/// # Errors
/// If its list is there and cannot be read.
#[cfg(not(target_arch = "wasm32"))]
pub fn resolvers_of_host() -> std::io::Result<Vec<SocketAddr>> {
    match std::fs::read_to_string(RESOLV_CONF) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(resolvers("")),
        listed => Ok(resolvers(&listed?)),
    }
}

/// A name server that a user names: `IP` or `IP:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameServer(pub SocketAddr);

/// A text is no name server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an IP address, as in 9.9.9.9, [2620:fe::9] or 127.0.0.1:5353")]
pub struct NameServerError;

impl FromStr for NameServer {
    type Err = NameServerError;

    fn from_str(text: &str) -> Result<Self, NameServerError> {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let ip = inner.unwrap_or(text).parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT));
        ip.or_else(|_| text.parse()).map(Self).map_err(|_| NameServerError)
    }
}

fn name_server(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_ascii_whitespace();
    if words.next()? != "nameserver" {
        return None;
    }
    let address = words.next()?;
    if let Some((ip, scope)) = address.split_once('%') {
        let ip: Ipv6Addr = ip.parse().ok()?;
        return Some(SocketAddrV6::new(ip, PORT, 0, scope_id(scope)?).into());
    }
    address.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, PORT))
}

/// A zone by number or by the name of its interface.
fn scope_id(scope: &str) -> Option<u32> {
    if let Ok(number) = scope.parse() {
        return Some(number);
    }
    let named = !scope.is_empty() && !scope.contains('/') && scope != "..";
    let index = std::fs::read_to_string(format!("/sys/class/net/{scope}/ifindex"));
    index.ok().filter(|_| named)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_name_servers_by_address() {
        let parsed = |text: &str| text.parse::<NameServer>().map(|server| server.0.to_string());
        for (text, expected) in [
            ("9.9.9.9", "9.9.9.9:53"),
            ("127.0.0.1:5353", "127.0.0.1:5353"),
            ("::1", "[::1]:53"),
            ("[::1]", "[::1]:53"),
            ("[::1]:5", "[::1]:5"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "dns.example", "9.9.9.9:", "9.9.9.9:x", "9.9.9"] {
            assert_eq!(parsed(text), Err(NameServerError), "{text}");
        }
    }

    #[test]
    fn name_servers_are_read_as_resolv_conf_says() {
        for (text, expected) in [
            ("", &["127.0.0.1:53"][..]),
            ("search example.org\noptions ndots:2\n", &["127.0.0.1:53"]),
            ("nameserver 127.0.0.53\n", &["127.0.0.53:53"]),
            ("# nameserver 9.9.9.9\n;nameserver 9.9.9.9\nnameserver\t1.2.3.4 x", &["1.2.3.4:53"]),
            ("nameserver ::1\nnameserver bad\nnameserver 1.1.1.1", &["[::1]:53", "1.1.1.1:53"]),
            ("nameserver fe80::1%3", &["[fe80::1%3]:53"]),
            ("nameserver fe80::1%../x\nnameserver fe80::1%", &["127.0.0.1:53"]),
            (
                "nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\nnameserver 1.0.0.4",
                &["1.0.0.1:53", "1.0.0.2:53", "1.0.0.3:53"],
            ),
        ] {
            let found: Vec<String> = resolvers(text).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
