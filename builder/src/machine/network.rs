//! The way from RUN's machine to the host's network.

use std::time::Duration;

use lithify_control::{Mount, MountKind, PLAN};
use lithify_hostnet::{Access, HostAddress, SystemSockets, host_lines, resolvers_of_host};
use lithify_machine::host::Link;
use lithify_net::{Forwarded, Gateway, Settings, SharedGateway};

use super::MachineError;
use crate::exec::{Job, JobNetwork};

/// A network, of which the machine has one end and who waits for the machine the other.
#[derive(Debug)]
pub(super) struct Uplink(SharedGateway<SystemSockets>);

impl Uplink {
    /// The network of one machine, if it has one, which reaches the sockets `forwarded` as well.
    /// `seed` is random.
    pub(super) fn open(
        job: &Job<'_>,
        forwarded: Forwarded,
        seed: [u8; 8],
    ) -> Result<Option<Self>, MachineError> {
        let names_host = job.hosts.iter().any(|host| host.address == HostAddress::Gateway);
        let access = match job.network {
            JobNetwork::None => return Ok(None),
            JobNetwork::Default if names_host => Access::Gateway,
            JobNetwork::Default => Access::Outside,
            JobNetwork::Host => Access::Host,
        };
        let resolvers = resolvers_of_host().map_err(MachineError::NameServers)?;
        let sockets = SystemSockets::new().map_err(MachineError::Network)?;
        let seed = u64::from_le_bytes(seed);
        let settings = Settings { access, forwarded, resolvers, seed };
        Ok(Some(Self(SharedGateway::new(Gateway::new(sockets, settings)))))
    }

    /// The machine's end.
    pub(super) fn link(&self) -> Box<dyn Link> {
        Box::new(self.0.clone())
    }

    /// Sleeps until the network has something for the machine, at most this long.
    pub(super) fn wait(&self, longest: Duration) -> Result<(), MachineError> {
        self.0.wait(Some(longest)).map_err(MachineError::Network)
    }
}

/// The files that tell a command called `hostname` where it is.
pub(super) fn files(job: &Job<'_>, hostname: &str) -> [Mount; 2] {
    let mut hosts = format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{hostname}\n"
    );
    hosts += &host_lines(job.hosts, job.network == JobNetwork::Host);
    let resolv_conf = match job.network {
        JobNetwork::None => String::new(),
        _ => format!("nameserver {}\n", PLAN.dns_v4),
    };
    [file("/etc/hosts", hosts), file("/etc/resolv.conf", resolv_conf)]
}

fn file(target: &str, content: String) -> Mount {
    let kind = MountKind::File { content: content.into_bytes(), mode: 0o644, uid: 0, gid: 0 };
    Mount { target: target.into(), kind }
}

#[cfg(test)]
mod tests {
    use lithify_hostnet::ExtraHost;
    use lithify_rootfs::Tree;

    use super::*;
    use crate::cancel::Cancel;
    use crate::exec::Command;

    fn hosts_and_servers(network: JobNetwork) -> (String, String) {
        let host = |name: &str, address| ExtraHost { name: name.into(), address };
        let hosts = [
            host("other", HostAddress::Ip([192, 0, 2, 1].into())),
            host("here", HostAddress::Gateway),
        ];
        let (argv, env) = (Vec::new(), Vec::new());
        let job = Job {
            tree: &Tree::new(),
            command: &Command { argv, env, cwd: String::new(), user: String::new() },
            mounts: &[],
            network,
            hosts: &hosts,
            is_privileged: false,
            cancel: &Cancel::default(),
        };
        let text = |mount: &Mount| match &mount.kind {
            MountKind::File { content, .. } => String::from_utf8(content.clone()).unwrap(),
            _ => panic!("no file"),
        };
        let [hosts, servers] = files(&job, "box");
        (text(&hosts), text(&servers))
    }

    #[test]
    fn files_follow_the_network() {
        let (hosts, servers) = hosts_and_servers(JobNetwork::Default);
        assert!(hosts.ends_with("127.0.1.1\tbox\n192.0.2.1\tother\n10.0.2.2\there\n"), "{hosts}");
        assert_eq!(servers, "nameserver 10.0.2.3\n");
        let (hosts, _) = hosts_and_servers(JobNetwork::Host);
        assert!(hosts.contains("10.0.2.2\thost.docker.internal\n"), "{hosts}");
        assert_eq!(hosts_and_servers(JobNetwork::None).1, "");
    }
}
