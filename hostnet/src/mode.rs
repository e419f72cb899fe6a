//! How much of the host's network a guest has, as users say it.

use std::str::FromStr;

use crate::{Access, ExtraHost, HostAddress};

/// Docker's `--network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NetworkMode {
    /// Other hosts, but not what listens on this one's loopback only.
    #[default]
    Default,
    /// Nothing.
    None,
    /// All that this host reaches; the gateway's address is its loopback.
    Host,
}

/// The option has another value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("network `{0}`: expected default, none or host")]
pub struct NetworkModeError(String);

impl FromStr for NetworkMode {
    type Err = NetworkModeError;

    fn from_str(text: &str) -> Result<Self, NetworkModeError> {
        match text {
            "default" | "bridge" => Ok(Self::Default),
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            _ => Err(NetworkModeError(text.to_owned())),
        }
    }
}

impl NetworkMode {
    /// What a guest with these names in its `/etc/hosts` may reach; `None` if it has no network.
    #[must_use]
    pub fn access(self, hosts: &[ExtraHost]) -> Option<Access> {
        let names_host = hosts.iter().any(|host| host.address == HostAddress::Gateway);
        match self {
            Self::None => None,
            Self::Default if names_host => Some(Access::Gateway),
            Self::Default => Some(Access::Outside),
            Self::Host => Some(Access::Host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_docker_s() {
        let named = ["a:host-gateway".parse().unwrap()];
        for (mode, plain, with_host) in [
            ("default", Some(Access::Outside), Some(Access::Gateway)),
            ("bridge", Some(Access::Outside), Some(Access::Gateway)),
            ("none", None, None),
            ("host", Some(Access::Host), Some(Access::Host)),
        ] {
            let mode: NetworkMode = mode.parse().unwrap();
            assert_eq!((mode.access(&[]), mode.access(&named)), (plain, with_host), "{mode:?}");
        }
        let error = "hots".parse::<NetworkMode>().unwrap_err().to_string();
        assert_eq!(error, "network `hots`: expected default, none or host");
    }
}
