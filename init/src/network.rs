//! The network interfaces.

use crate::error::{Context, Error};
use crate::ioctl::Interface;
use lithify_control::PLAN;
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

/// Sets the network device up as the plan says. In an artifact that happens before the freeze, when
/// nobody knows yet whether there will be a network. A machine without the device has none.
///
/// # Errors
/// If the kernel refuses an address.
pub(crate) fn configure() -> Result<(), Error> {
    for (name, value) in IPV6_SETTINGS {
        // A kernel without IPv6 has no such settings.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{DEVICE}/{name}"), value);
    }
    ipv4().during(|| format!("give {DEVICE} the address {}", PLAN.guest_v4))?;
    ipv6().during(|| format!("give {DEVICE} the address {}", PLAN.guest_v6))
}

/// Makes the device be up, and set up, or down, whatever it was before.
///
/// # Errors
/// As [`configure`] and [`lower`].
pub(crate) fn set(is_wanted: bool) -> Result<(), Error> {
    let is_up = Interface::find(DEVICE, AddressFamily::INET)
        .and_then(|device| device.map_or(Ok(false), |mut device| device.is_up()))
        .during(|| format!("look at {DEVICE}"))?;
    match (is_up, is_wanted) {
        (false, true) => configure(),
        (true, false) => lower(),
        _ => Ok(()),
    }
}

/// Takes the network device down, and with it every way out of the machine.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn lower() -> Result<(), Error> {
    Interface::find(DEVICE, AddressFamily::INET)
        .and_then(|device| device.map_or(Ok(()), |mut device| device.lower()))
        .during(|| format!("bring {DEVICE} down"))
}

fn ipv4() -> Result<(), Errno> {
    let Some(mut device) = Interface::find(DEVICE, AddressFamily::INET)? else { return Ok(()) };
    device.set_mtu(PLAN.mtu)?;
    device.set_ipv4(PLAN.guest_v4, PLAN.prefix_v4)?;
    device.raise()?;
    device.route_ipv4(PLAN.gateway_v4)
}

fn ipv6() -> Result<(), Errno> {
    match Interface::find(DEVICE, AddressFamily::INET6)? {
        None => Ok(()),
        Some(mut device) => device.set_ipv6(PLAN.guest_v6, PLAN.prefix_v6, PLAN.gateway_v6),
    }
}
