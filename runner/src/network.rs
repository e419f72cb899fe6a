//! The host's network, as far as the user lets a guest have it.

pub use lithify_hostnet::NetworkMode;
use lithify_hostnet::{
    ExtraHost, NameServer, Published, SocketId, SystemSockets, Uplink, host_lines,
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
            port.open(&mut sockets).map_err(|source| NetworkError::Publish { port: *port, source })
        };
        let published = self.published.iter().map(listen).collect::<Result<_, _>>()?;
        let uplink = Uplink {
            access,
            resolvers: self.resolvers()?,
            published: self.published.iter().map(|port| (port.guest, port.protocol)).collect(),
        };
        Ok(Some(Network { sockets, uplink, published }))
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
