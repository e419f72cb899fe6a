//! Names that a user adds to a container's `/etc/hosts`.

use std::net::IpAddr;
use std::str::FromStr;

use lithify_control::PLAN;

/// A name in `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHost {
    /// The name.
    pub name: String,
    /// What it means.
    pub address: HostAddress,
}

/// What a name in `/etc/hosts` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAddress {
    /// An address.
    Ip(IpAddr),
    /// `host-gateway`: the host's loopback interface, which guests otherwise do not reach.
    Gateway,
}

/// A text is no added host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected NAME:IP or NAME:host-gateway")]
pub struct HostError;

impl FromStr for ExtraHost {
    type Err = HostError;

    /// Docker's `--add-host`: `NAME:IP` or `NAME=IP`.
    fn from_str(text: &str) -> Result<Self, HostError> {
        // The first of either: an IPv6 address has colons of its own.
        let (name, address) = text.split_once([':', '=']).ok_or(HostError)?;
        let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && c != '#');
        let address = match address {
            "host-gateway" => HostAddress::Gateway,
            ip => {
                let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
                HostAddress::Ip(ip.parse().map_err(|_| HostError)?)
            }
        };
        if is_word { Ok(Self { name: name.to_owned(), address }) } else { Err(HostError) }
    }
}

/// The lines of `/etc/hosts` for `hosts`. With the host's network (`names_host`), the host has the
/// name that other builders and runners give it.
#[must_use]
pub fn host_lines(hosts: &[ExtraHost], names_host: bool) -> String {
    let mut lines = String::new();
    if names_host {
        lines += &format!("{}\thost.docker.internal\n", PLAN.gateway_v4);
    }
    for host in hosts {
        let address = match host.address {
            HostAddress::Ip(address) => address,
            HostAddress::Gateway => PLAN.gateway_v4.into(),
        };
        lines += &format!("{address}\t{}\n", host.name);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_names_and_addresses() {
        let host = |text: &str| text.parse::<ExtraHost>().map(|host| (host.name, host.address));
        let ip = |ip: &str| HostAddress::Ip(ip.parse().unwrap());
        assert_eq!(host("a:10.0.0.1"), Ok(("a".into(), ip("10.0.0.1"))));
        assert_eq!(host("a=::1"), Ok(("a".into(), ip("::1"))));
        assert_eq!(host("a:[fe80::1]"), Ok(("a".into(), ip("fe80::1"))));
        assert_eq!(host("a.b:host-gateway"), Ok(("a.b".into(), HostAddress::Gateway)));
        for text in ["a", ":1.2.3.4", "a b:1.2.3.4", "a:b", "a\n:1.2.3.4"] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_has_a_line() {
        let hosts = ["a:192.0.2.1", "b:::1", "c:host-gateway"].map(|host| host.parse().unwrap());
        assert_eq!(host_lines(&hosts, false), "192.0.2.1\ta\n::1\tb\n10.0.2.2\tc\n");
        assert_eq!(host_lines(&[], true), "10.0.2.2\thost.docker.internal\n");
    }
}
