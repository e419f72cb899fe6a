//! The TCP sockets of the machine, as `/proc/net/tcp` and `/proc/net/tcp6` list them: who listens, and
//! who talks to the world outside.

use crate::processes::Processes;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `TCP_LISTEN` of `include/net/tcp_states.h`.
const LISTEN: u8 = 0x0a;
/// `TCP_CLOSE`.
const CLOSE: u8 = 0x07;

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    local: (IpAddr, u16),
    remote: IpAddr,
    state: u8,
    inode: u64,
}

impl Socket {
    /// Lines of `Documentation/networking/proc_net_tcp.rst`; the first is a heading.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (local, remote, state) = (words.nth(1)?, words.next()?, words.next()?);
        Some(Self {
            local: address(local)?,
            remote: address(remote)?.0,
            state: u8::from_str_radix(state, 16).ok()?,
            inode: words.nth(5)?.parse().ok()?,
        })
    }

    /// Whether the other end is in no process of this machine.
    fn leads_outside(&self) -> bool {
        let is_connected = ![LISTEN, CLOSE].contains(&self.state);
        is_connected && !self.remote.is_loopback() && self.remote != self.local.0
    }
}

/// `ADDRESS:PORT`; the address is the hexadecimal form of words in the order of the machine.
fn address(written: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = written.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok();
    let ip = match ip.len() {
        8 => Ipv4Addr::from(word(0)?.to_ne_bytes()).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, to) in bytes.chunks_exact_mut(4).enumerate() {
                to.copy_from_slice(&word(at)?.to_ne_bytes());
            }
            IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some((ip, u16::from_str_radix(port, 16).ok()?))
}

fn sockets() -> Vec<Socket> {
    // A kernel without IPv6 has no second list.
    let lists = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let lists = lists.into_iter().flatten();
    lists.flat_map(|list| list.lines().filter_map(Socket::parse).collect::<Vec<_>>()).collect()
}

/// Whether a socket listens at `port`.
pub(crate) fn is_listening(port: u16) -> bool {
    sockets().iter().any(|socket| socket.state == LISTEN && socket.local.1 == port)
}

/// Resets the connections of `processes` whose other end is outside the machine: after a thaw it
/// would know nothing of them. Both ends get an error (`ECONNRESET`; who waits in a call, `EPIPE`).
pub(crate) fn reset(processes: &Processes) {
    let outside = sockets().into_iter().filter(Socket::leads_outside);
    let inodes: BTreeSet<u64> = outside.map(|socket| socket.inode).collect();
    if inodes.is_empty() {
        return;
    }
    for pid in processes.pids() {
        for number in descriptors(pid, &inodes) {
            // The process may have closed it meanwhile.
            let _ = disconnect(pid, number);
        }
    }
}

/// The descriptors of a process behind which these sockets are.
fn descriptors(pid: i32, inodes: &BTreeSet<u64>) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let found = entries.flatten().filter(|entry| {
        let link = std::fs::read_link(entry.path()).unwrap_or_default();
        let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
        inode.and_then(|inode| inode.parse().ok()).is_some_and(|inode| inodes.contains(&inode))
    });
    found.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A socket that is connected to nothing is disconnected from what it was: by a reset.
fn disconnect(pid: i32, number: i32) -> Result<(), rustix::io::Errno> {
    let pid = Pid::from_raw(pid).ok_or(rustix::io::Errno::SRCH)?;
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let socket = rustix::process::pidfd_getfd(process, number, PidfdGetfdFlags::empty())?;
    rustix::net::connect_unspec(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn lines_are_read_and_judged() {
        let line = |local: &str, remote: &str, state: &str| {
            format!(
                "   1: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  0  0 123 1 x"
            )
        };
        for (local, remote, state, outside) in [
            ("0F02000A:1F90", "00000000:0000", "0A", false),
            ("0100007F:1F90", "0100007F:8000", "01", false),
            ("0F02000A:8001", "0F02000A:1F90", "01", false),
            ("0F02000A:8001", "08080808:0050", "01", true),
            ("0F02000A:8001", "08080808:0050", "02", true),
            (
                "0000000000000000FFFF00000F02000A:1F90",
                "0000000000000000FFFF00000202000A:D431",
                "01",
                true,
            ),
            (
                "00000000000000000000000001000000:1F90",
                "00000000000000000000000001000000:D431",
                "01",
                false,
            ),
        ] {
            let socket = Socket::parse(&line(local, remote, state)).expect("a line");
            assert_eq!((socket.leads_outside(), socket.inode), (outside, 123), "{local} {remote}");
        }
        assert_eq!(Socket::parse("  sl  local_address rem_address   st tx_queue"), None);
        assert_eq!(Socket::parse(&line("0F02000A", "", "")), None);
        let mapped = address("0000000000000000FFFF00000F02000A:1F90");
        assert_eq!(mapped, Some((IpAddr::from([10, 0, 2, 15]), 8080)));
    }

    #[test]
    fn a_disconnected_socket_s_ends_both_get_a_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        assert!(is_listening(address.port()));
        let mut client = TcpStream::connect(address).expect("connected");
        let (mut server, _) = listener.accept().expect("accepted");
        let own = std::process::id().cast_signed();
        let wanted = |socket: &Socket| socket.local == (address.ip(), address.port());
        let inodes =
            sockets().into_iter().filter(|s| wanted(s) && s.state == 1).map(|s| s.inode).collect();
        let numbers = descriptors(own, &inodes);
        assert_eq!(numbers.len(), 1);
        disconnect(own, numbers[0]).expect("may be disconnected");
        for end in [&mut client, &mut server] {
            let error = end.read(&mut [0]).expect_err("reset");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    }
}
