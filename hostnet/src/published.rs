//! What is published, as users write it: `[IP:]HOST:GUEST[/tcp|/udp]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::{fmt, io};

use crate::sockets::{SocketId, Sockets};

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Streams.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

/// A port of the guest and where the host listens for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Where the host listens; port 0 is any free one.
    pub host: SocketAddr,
    /// The guest's port.
    pub guest: u16,
    /// Of which protocol.
    pub protocol: Protocol,
}

/// Why a text is no published port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// It has not the right parts.
    #[error("published port `{0}` is not `[IP:]HOST:GUEST[/tcp|/udp]`")]
    Form(String),
    /// A part that should be a port number is none.
    #[error("published port `{text}`: `{part}` is no port number (1 to 65535)")]
    Port {
        /// The whole text.
        text: String,
        /// The part.
        part: String,
    },
    /// A part that should be an address is none.
    #[error("published port `{text}`: `{part}` is no IP address (IPv6 needs brackets)")]
    Address {
        /// The whole text.
        text: String,
        /// The part.
        part: String,
    },
    /// There is no such protocol.
    #[error("published port `{text}`: protocol `{part}` is neither `tcp` nor `udp`")]
    Protocol {
        /// The whole text.
        text: String,
        /// The part.
        part: String,
    },
}

impl FromStr for Published {
    type Err = PublishError;

    fn from_str(text: &str) -> Result<Self, PublishError> {
        let form = || PublishError::Form(text.to_owned());
        let (ports, protocol) = protocol(text)?;
        let (rest, guest) = ports.rsplit_once(':').ok_or_else(form)?;
        let (ip, host) = match rest.rsplit_once(':') {
            None => (Ipv4Addr::UNSPECIFIED.into(), rest),
            Some((ip, host)) => (address(text, ip)?, host),
        };
        // Port 0 of the host is any free one, as with docker.
        let host = if host.is_empty() { 0 } else { port(text, host, 0)? };
        Ok(Self { host: SocketAddr::new(ip, host), guest: port(text, guest, 1)?, protocol })
    }
}

impl Published {
    /// A port that an image exposes, `GUEST[/tcp|/udp]`, on any free one of the host.
    ///
    /// # Errors
    /// If `text` is no such port.
    pub fn exposed(text: &str) -> Result<Self, PublishError> {
        let (guest, protocol) = protocol(text)?;
        let host = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        Ok(Self { host, guest: port(text, guest, 1)?, protocol })
    }

    /// As `docker port` shows it.
    #[must_use]
    pub fn as_route(&self) -> String {
        format!("{}/{} -> {}", self.guest, self.protocol, self.host)
    }

    /// Whether both are the same port of the guest.
    #[must_use]
    pub fn has_guest_of(&self, other: &Self) -> bool {
        (self.guest, self.protocol) == (other.guest, other.protocol)
    }

    /// Begins to listen.
    ///
    /// # Errors
    /// The host's reason.
    pub fn open(&self, sockets: &mut dyn Sockets) -> io::Result<SocketId> {
        match self.protocol {
            Protocol::Tcp => sockets.listen(self.host),
            Protocol::Udp => sockets.bind(self.host),
        }
    }
}

/// The ports, and the protocol behind them.
fn protocol(text: &str) -> Result<(&str, Protocol), PublishError> {
    match text.split_once('/') {
        None => Ok((text, Protocol::Tcp)),
        Some((ports, "tcp")) => Ok((ports, Protocol::Tcp)),
        Some((ports, "udp")) => Ok((ports, Protocol::Udp)),
        Some((_, part)) => Err(PublishError::Protocol { text: text.into(), part: part.into() }),
    }
}

fn address(text: &str, part: &str) -> Result<IpAddr, PublishError> {
    let inner = part.strip_prefix('[').and_then(|part| part.strip_suffix(']'));
    let parsed = match inner {
        Some(v6) => v6.parse().map(IpAddr::V6).ok(),
        None => part.parse().map(IpAddr::V4).ok(),
    };
    parsed.ok_or_else(|| PublishError::Address { text: text.into(), part: part.into() })
}

fn port(text: &str, part: &str, least: u16) -> Result<u16, PublishError> {
    let digits = part.bytes().all(|byte| byte.is_ascii_digit());
    let number = part.parse().ok().filter(|number| digits && *number >= least);
    number.ok_or_else(|| PublishError::Port { text: text.into(), part: part.into() })
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.guest, self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_users_write_them() {
        for (text, expected) in [
            ("8080:80", "0.0.0.0:8080:80/tcp"),
            ("8080:80/udp", "0.0.0.0:8080:80/udp"),
            ("127.0.0.1:8080:80/tcp", "127.0.0.1:8080:80/tcp"),
            ("[::1]:8080:80", "[::1]:8080:80/tcp"),
            ("127.0.0.1::80", "127.0.0.1:0:80/tcp"),
            ("0:65535", "0.0.0.0:0:65535/tcp"),
        ] {
            let port: Published = text.parse().unwrap();
            assert_eq!(port.to_string(), expected);
        }
    }

    #[test]
    fn exposed_ports_are_read_as_images_write_them() {
        for (text, expected) in [
            ("80", "0.0.0.0:0:80/tcp"),
            ("80/tcp", "0.0.0.0:0:80/tcp"),
            ("53/udp", "0.0.0.0:0:53/udp"),
        ] {
            assert_eq!(Published::exposed(text).unwrap().to_string(), expected);
        }
        assert_eq!(Published::exposed("53/udp").unwrap().as_route(), "53/udp -> 0.0.0.0:0");
        for (text, expected) in [
            ("", "published port ``: `` is no port number (1 to 65535)"),
            ("0/udp", "published port `0/udp`: `0` is no port number (1 to 65535)"),
            ("8000-8010", "published port `8000-8010`: `8000-8010` is no port number (1 to 65535)"),
            ("9/sctp", "published port `9/sctp`: protocol `sctp` is neither `tcp` nor `udp`"),
        ] {
            assert_eq!(Published::exposed(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn what_is_none_is_explained() {
        for (text, expected) in [
            ("80", "published port `80` is not `[IP:]HOST:GUEST[/tcp|/udp]`"),
            ("80:0", "published port `80:0`: `0` is no port number (1 to 65535)"),
            ("80:x", "published port `80:x`: `x` is no port number (1 to 65535)"),
            ("+1:80", "published port `+1:80`: `+1` is no port number (1 to 65535)"),
            ("65536:80", "published port `65536:80`: `65536` is no port number (1 to 65535)"),
            ("1:2/sctp", "published port `1:2/sctp`: protocol `sctp` is neither `tcp` nor `udp`"),
            (
                "::1:80:80",
                "published port `::1:80:80`: `::1` is no IP address (IPv6 needs brackets)",
            ),
            ("x:1:2", "published port `x:1:2`: `x` is no IP address (IPv6 needs brackets)"),
        ] {
            assert_eq!(text.parse::<Published>().unwrap_err().to_string(), expected);
        }
    }
}
