//! The network interfaces.

use crate::error::{Context, Error};
use crate::ioctl::Interface;
use lithify_control::Network;
use rustix::io::Errno;
use rustix::net::AddressFamily;

/// The machine's one network device, as the kernel names it.
const DEVICE: &str = "eth0";

/// Addresses are the host's to give: nobody else can have them, and no router tells others.
const IPV6_SETTINGS: [(&str, &str); 3] =
    [("accept_dad", "0"), ("accept_ra", "0"), ("autoconf", "0")];

/// Brings `lo` up, so that `127.0.0.1` works where there is no other network. A kernel without
/// networking has none to bring up.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn raise_loopback() -> Result<(), Error> {
    Interface::find("lo", AddressFamily::INET)
        .and_then(|loopback| loopback.map_or(Ok(()), |mut loopback| loopback.raise()))
        .during(|| "bring lo up".to_owned())
}

/// Sets the network device up.
///
/// # Errors
/// If there is none, or the kernel refuses an address.
pub(crate) fn configure(network: &Network) -> Result<(), Error> {
    for (name, value) in IPV6_SETTINGS {
        // A kernel without IPv6 has no such settings.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{DEVICE}/{name}"), value);
    }
    ipv4(network).during(|| format!("give {DEVICE} the address {}", network.ipv4))?;
    ipv6(network).during(|| format!("give {DEVICE} the address {}", network.ipv6))
}

fn ipv4(network: &Network) -> Result<(), Errno> {
    let device = Interface::find(DEVICE, AddressFamily::INET)?;
    let mut device = device.ok_or(Errno::AFNOSUPPORT)?;
    device.set_mtu(network.mtu)?;
    device.set_ipv4(network.ipv4, network.ipv4_prefix)?;
    device.raise()?;
    device.route_ipv4(network.ipv4_gateway)
}

fn ipv6(network: &Network) -> Result<(), Errno> {
    match Interface::find(DEVICE, AddressFamily::INET6)? {
        None => Ok(()),
        Some(mut device) => {
            device.set_ipv6(network.ipv6, network.ipv6_prefix, network.ipv6_gateway)
        }
    }
}
