//! The host's network, as far as the user lets a guest have it.

pub use lithify_hostnet::NetworkMode;
use lithify_hostnet::{
    ExtraHost, NameServer, Published, SocketId, Sockets, SystemSockets, Uplink, host_lines,
    resolvers_of_host,
};
use std::io;
use std::net::SocketAddr;

/// What the user says about the network.
#[derive(Debug, Clone, Default)]
pub struct NetworkWish {
    /// How much of it there is.
    pub mode: NetworkMode,
    /// Ports of the guest that the host listens for.
    pub published: Vec<Published>,
    /// Names for `/etc/hosts`.
    pub hosts: Vec<ExtraHost>,
    /// Name servers in place of the host's.
    pub name_servers: Vec<NameServer>,
}

/// Why there is no network as it was wished for.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Both options exclude each other.
    #[error("port {0} cannot be published: there is no network")]
    NothingToPublish(Published),
    /// The host does not listen there.
    #[error("cannot publish port {port}: {source}{}", hint(source))]
    Publish {
        /// The port.
        port: Published,
        /// What the system said.
        source: io::Error,
    },
    /// The host has no more descriptors.
    #[error("no network: {0}")]
    Sockets(#[source] io::Error),
    /// The host's list of name servers cannot be read.
    #[error("the host's name servers: {0}")]
    NameServers(#[source] io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; use another port, or 0 for any free one",
        io::ErrorKind::PermissionDenied => "; the lowest ports are root's",
        io::ErrorKind::AddrNotAvailable => "; it is no address of this host",
        _ => "",
    }
}

impl NetworkWish {
    /// Lines for the container's `/etc/hosts`.
    #[must_use]
    pub fn host_lines(&self) -> Vec<u8> {
        host_lines(&self.hosts, self.mode == NetworkMode::Host).into_bytes()
    }

    /// Begins to listen for the published ports; nothing if there shall be no network.
    ///
    /// # Errors
    /// If the host refuses a port or has no sockets to give.
    pub fn open(&self) -> Result<Option<Network>, NetworkError> {
        let Some(access) = self.mode.access(&self.hosts) else {
            let published = self.published.first();
            return published.map_or(Ok(None), |port| Err(NetworkError::NothingToPublish(*port)));
        };
        let mut sockets = SystemSockets::new().map_err(NetworkError::Sockets)?;
        let listen = |port: &Published| {
            let opened = port.open(&mut sockets).and_then(|socket| {
                let host = sockets.local_addr(socket)?;
                Ok((socket, Published { host, ..*port }))
            });
            opened.map_err(|source| NetworkError::Publish { port: *port, source })
        };
        let opened = self.published.iter().map(listen).collect::<Result<Vec<_>, _>>()?;
        let (published, ports): (_, Vec<_>) = opened.into_iter().unzip();
        let uplink = Uplink {
            access,
            resolvers: self.resolvers()?,
            published: ports.iter().map(|port| (port.guest, port.protocol)).collect(),
        };
        let chosen = self.published.iter().zip(ports).filter(|(wish, _)| wish.host.port() == 0);
        let chosen = chosen.map(|(_, port)| port).collect();
        Ok(Some(Network { sockets, uplink, published, chosen }))
    }

    fn resolvers(&self) -> Result<Vec<SocketAddr>, NetworkError> {
        match &self.name_servers[..] {
            [] => resolvers_of_host().map_err(NetworkError::NameServers),
            named => Ok(named.iter().map(|server| server.0).collect()),
        }
    }
}

/// Sockets of the host, for one run.
#[derive(Debug)]
pub struct Network {
    pub(crate) sockets: SystemSockets,
    pub(crate) uplink: Uplink,
    /// What listens for the ports that `uplink` tells of.
    pub(crate) published: Vec<SocketId>,
    chosen: Vec<Published>,
}

impl Network {
    /// The published ports of which the user left the host's end open, with what it is.
    #[must_use]
    pub fn chosen(&self) -> &[Published] {
        &self.chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lithify_hostnet::Access;

    fn wish(mode: &str, published: &[&str]) -> NetworkWish {
        NetworkWish {
            mode: mode.parse().unwrap(),
            published: published.iter().map(|port| port.parse().unwrap()).collect(),
            ..NetworkWish::default()
        }
    }

    #[test]
    fn a_network_gives_what_its_mode_says() {
        assert!(wish("none", &[]).open().unwrap().is_none());
        for (mode, access) in
            [("default", Access::Outside), ("bridge", Access::Outside), ("host", Access::Host)]
        {
            let network = wish(mode, &[]).open().unwrap().expect("a network");
            assert_eq!(network.uplink.access, access, "{mode}");
        }
        let mut names_host = wish("default", &[]);
        names_host.hosts.push("a:host-gateway".parse().unwrap());
        assert_eq!(names_host.open().unwrap().expect("one").uplink.access, Access::Gateway);
        assert_eq!(names_host.host_lines(), b"10.0.2.2\ta\n");
    }

    #[test]
    fn only_ports_that_the_system_chose_are_told() {
        let network = wish("host", &["127.0.0.1:0:80", "127.0.0.1::53/udp"]).open().unwrap();
        let chosen: Vec<_> = network.as_ref().unwrap().chosen().to_vec();
        assert_eq!(chosen.iter().map(|port| port.guest).collect::<Vec<_>>(), [80, 53]);
        assert!(chosen.iter().all(|port| port.host.port() != 0));
        drop(network);
        let named = wish("host", &[&format!("{}:80", chosen[0].host)]).open().unwrap();
        assert!(named.unwrap().chosen().is_empty());
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = wish("host", &[&format!("127.0.0.1:{port}:80")]).open().unwrap_err();
        let text = format!("cannot publish port 127.0.0.1:{port}:80/tcp: Address already in use");
        assert!(error.to_string().starts_with(&text), "{error}");
        let error = wish("none", &["80:80"]).open().unwrap_err().to_string();
        assert_eq!(error, "port 0.0.0.0:80:80/tcp cannot be published: there is no network");
    }
}
