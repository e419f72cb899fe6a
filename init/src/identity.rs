//! Who the container is: host name, machine id, and the files that tell.
//!
//! The files are made before the freeze, so that after it nothing is left but to write into them.

use crate::error::{Context, Error};
use crate::mount::make_directory;
use lithify_control::{PLAN, Renewal, StartRequest};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;
use std::fs::File;
use std::io::Write;

/// `__NEW_UTS_LEN`.
const MAX_HOSTNAME_LEN: usize = 64;

/// Open, empty files of the container's `/etc`.
pub(crate) struct Files {
    hostname: File,
    hosts: File,
    resolv_conf: File,
    /// Absent from images without an `/etc`.
    machine_id: Option<File>,
}

impl Files {
    /// Makes them in the caller's root, in place of those of the image. `/etc/resolv.conf`
    /// names the gateway's name server already.
    ///
    /// # Errors
    /// If one cannot be made.
    pub(crate) fn create() -> Result<Self, Error> {
        let has_etc = std::path::Path::new("/etc").is_dir();
        make_directory("/etc", 0o755).during(|| "make /etc".to_owned())?;
        let path = "/etc/resolv.conf";
        let mut resolv_conf = replace(path, 0o644)?;
        resolv_conf.write_all(&name_server()).during(|| format!("write {path}"))?;
        Ok(Self {
            resolv_conf,
            hostname: replace("/etc/hostname", 0o644)?,
            hosts: replace("/etc/hosts", 0o644)?,
            machine_id: has_etc.then(|| replace("/etc/machine-id", 0o444)).transpose()?,
        })
    }

    /// Tells the container its name, other names, and a machine id of its own. Without a network
    /// there is no name server, and lookups fail at once.
    ///
    /// # Errors
    /// If writing fails.
    pub(crate) fn write(&mut self, request: &StartRequest) -> Result<(), Error> {
        let hostname = &request.hostname[..];
        if !request.network {
            self.resolv_conf.set_len(0).during(|| "empty /etc/resolv.conf".to_owned())?;
        }
        self.hostname
            .write_all(&[hostname, b"\n"].concat())
            .during(|| "write /etc/hostname".to_owned())?;
        let hosts = [&hosts(hostname)[..], &request.hosts].concat();
        self.hosts.write_all(&hosts).during(|| "write /etc/hosts".to_owned())?;
        self.machine_id.as_mut().map_or(Ok(()), write_machine_id)
    }
}

/// Gives the caller's container, which may run for long, another name, machine id and network. Files
/// that it has changed since it got them stay as they are.
///
/// # Errors
/// If writing fails.
pub(crate) fn renew(renewal: &Renewal) -> Result<(), Error> {
    let uname = rustix::system::uname();
    let old = uname.nodename().to_bytes().to_vec();
    let new = &renewal.hostname[..];
    set_hostname(new)?;
    rewrite("/etc/hostname", |text| {
        (text == [&old, &b"\n"[..]].concat()).then(|| [new, b"\n"].concat())
    })?;
    rewrite("/etc/hosts", |text| {
        let added = text.strip_prefix(&hosts(&old)[..])?;
        Some([&hosts(new)[..], added, &renewal.hosts].concat())
    })?;
    rewrite("/etc/resolv.conf", |text| {
        let known = if renewal.network { Vec::new() } else { name_server() };
        (text == known).then(|| if renewal.network { name_server() } else { Vec::new() })
    })?;
    if std::fs::symlink_metadata("/etc/machine-id").is_ok_and(|file| file.is_file()) {
        write_machine_id(&mut replace("/etc/machine-id", 0o444)?)?;
    }
    Ok(())
}

/// Replaces what is in a file, if `change` knows it.
fn rewrite(path: &str, change: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Result<(), Error> {
    let is_plain = std::fs::symlink_metadata(path).is_ok_and(|file| file.is_file());
    let text = if is_plain { std::fs::read(path).ok() } else { None };
    match text.and_then(|text| change(&text)) {
        Some(to) => replace(path, 0o644)?.write_all(&to).during(|| format!("write {path}")),
        None => Ok(()),
    }
}

/// `/etc/resolv.conf` of a container with a network.
fn name_server() -> Vec<u8> {
    format!("nameserver {}\n", PLAN.dns_v4).into_bytes()
}

fn write_machine_id(to: &mut File) -> Result<(), Error> {
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, GetRandomFlags::empty())
        .during(|| "draw a machine id".to_owned())?;
    to.write_all(format_machine_id(random).as_bytes()).during(|| "write /etc/machine-id".to_owned())
}

/// Opens an empty file of that name. What the image has there goes if it is no plain file: a
/// link would be followed to wherever the image says.
fn replace(path: &str, mode: u32) -> Result<File, Error> {
    let open = || {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        rustix::fs::open(path, flags, Mode::from_raw_mode(mode))
    };
    match open() {
        Err(Errno::LOOP | Errno::NXIO) => rustix::fs::unlink(path).and_then(|()| open()),
        opened => opened,
    }
    .map(File::from)
    .during(|| format!("make {path}"))
}

/// Names the caller's UTS namespace, unless the name is empty. It also goes into files line by line
/// and word by word, so it must be a single word.
///
/// # Errors
/// If it is not, or is too long.
pub(crate) fn set_hostname(hostname: &[u8]) -> Result<(), Error> {
    let is_word = hostname.len() <= MAX_HOSTNAME_LEN && hostname.iter().all(u8::is_ascii_graphic);
    match (hostname, is_word) {
        ([], _) => Ok(()),
        (_, true) => rustix::system::sethostname(hostname),
        (_, false) => Err(Errno::INVAL),
    }
    .during(|| format!("set host name \"{}\"", hostname.escape_ascii()))
}

/// The name resolves to a loopback address of its own, as on a Debian host without a network.
fn hosts(hostname: &[u8]) -> Vec<u8> {
    let mut text = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_vec();
    if !hostname.is_empty() {
        text.extend_from_slice(&[b"127.0.1.1\t", hostname, b"\n"].concat());
    }
    text
}

/// machine-id(5): 32 hexadecimal digits, the bits of a version 4 UUID.
fn format_machine_id(random: [u8; 16]) -> String {
    const VERSION_4: u128 = 0x4 << 76;
    const VARIANT_1: u128 = 0x8 << 60;
    let bits = u128::from_be_bytes(random) & !(0xf << 76) & !(0xc << 60);
    format!("{:032x}\n", bits | VERSION_4 | VARIANT_1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_id_is_a_version_4_uuid_without_dashes() {
        assert_eq!(format_machine_id([0xff; 16]), "ffffffffffff4fffbfffffffffffffff\n");
        assert_eq!(format_machine_id([0; 16]), "00000000000040008000000000000000\n");
    }

    #[test]
    fn the_host_name_resolves_without_a_network() {
        let text = String::from_utf8(hosts(b"stone")).expect("ascii");
        assert_eq!(text.lines().last(), Some("127.0.1.1\tstone"));
        assert!(!String::from_utf8(hosts(b"")).expect("ascii").contains("127.0.1.1"));
    }

    #[test]
    fn names_that_would_forge_lines_are_refused() {
        for name in [&b"a\nb"[..], b"a b", b"\xff", &[b'x'; 65]] {
            let refused = set_hostname(name).unwrap_err().to_string();
            assert!(refused.ends_with(": invalid argument"), "{refused}");
        }
    }
}
