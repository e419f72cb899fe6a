//! Sockets of the host's file system that the guest reaches.

use std::path::{Path, PathBuf};

use lithify_control::PLAN;

use crate::packet::Ends;

/// Port of the gateway that leads to the first forwarded socket; those behind it follow. Above the
/// ports that hosts give out by themselves, for what listens there is out of the guest's sight.
const FIRST_FORWARDED_PORT: u16 = 61_000;

/// Forwarded sockets at most, where steps rarely have two: stops a Dockerfile from filling the
/// machine with those that serve them.
pub const MAX_FORWARDED: usize = 64;

/// Ports below this one only the guest's root connects from.
const FIRST_USER_PORT: u16 = 1024;

/// Sockets of the host's file system that the guest reaches, each by a TCP port of the gateway.
///
/// Only from ports that the guest keeps for its root: who else may use one is decided in the guest,
/// by whoever hands it on.
#[derive(Debug, Clone, Default)]
pub struct Forwarded(Vec<PathBuf>);

impl Forwarded {
    /// Makes a socket reachable; returns the gateway's port, or nothing if there are
    /// [`MAX_FORWARDED`] of them.
    pub fn add(&mut self, socket: PathBuf) -> Option<u16> {
        let number = u16::try_from(self.0.len()).ok()?;
        if self.0.len() == MAX_FORWARDED {
            return None;
        }
        self.0.push(socket);
        Some(FIRST_FORWARDED_PORT + number)
    }

    /// What a connection with these ends leads to, if it leads to a forwarded socket's port:
    /// nothing for those who may not.
    pub(crate) fn target(&self, ends: Ends) -> Option<Option<&Path>> {
        let number = ends.remote.port().checked_sub(FIRST_FORWARDED_PORT)?;
        let socket = self.0.get(usize::from(number))?;
        let is_from_root = ends.guest.port() < FIRST_USER_PORT;
        PLAN.is_gateway(ends.remote.ip()).then_some(is_from_root.then_some(socket))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn forwarded_sockets_are_for_the_guest_s_root() {
        let mut forwarded = Forwarded::default();
        let ports = ["/a", "/b"].map(|path| forwarded.add(path.into()));
        assert_eq!(ports, [Some(61_000), Some(61_001)]);
        let target = |guest: &str, remote: &str| {
            forwarded.target(Ends { guest: addr(guest), remote: addr(remote) })
        };
        let b = Some(Some(Path::new("/b")));
        assert_eq!(target("10.0.2.15:1023", "10.0.2.2:61001"), b);
        assert_eq!(target("[fd00:6c69:7468::15]:1", "[fd00:6c69:7468::2]:61001"), b);
        assert_eq!(target("10.0.2.15:1024", "10.0.2.2:61001"), Some(None));
        for other in ["10.0.2.2:61002", "10.0.2.2:60999", "10.0.2.3:61000", "1.2.3.4:61000"] {
            assert_eq!(target("10.0.2.15:1023", other), None, "{other}");
        }
        let added = (2..).map_while(|_| forwarded.add("/c".into())).count();
        assert_eq!(added, MAX_FORWARDED - 2);
    }
}
