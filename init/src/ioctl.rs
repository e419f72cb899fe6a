//! The device requests that the kernel offers by `ioctl` only.
#![allow(unsafe_code, reason = "ioctl requests carry their argument's layout by convention only")]

use lithify_control::THAW_ENTROPY_LEN;
use rustix::io::Errno;
use rustix::ioctl::{Direction, NoArg, Opcode, Setter, Updater, ioctl, opcode};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};

/// `include/uapi/linux/random.h`; the size in the first one is that of the struct's header.
const RNDADDENTROPY: Opcode = opcode::from_components(Direction::Write, b'R', 0x03, 8);
const RNDRESEEDCRNG: Opcode = opcode::none(b'R', 0x07);

/// `struct rand_pool_info` with its buffer.
#[repr(C)]
struct PoolInfo {
    entropy_count_bits: i32,
    buffer_len: i32,
    buffer: [u8; THAW_ENTROPY_LEN],
}

/// Mixes `entropy` into the kernel's pool, counts it in full, and makes every later random
/// number depend on it.
///
/// # Errors
/// If the kernel refuses, which it does only without `CAP_SYS_ADMIN`.
pub(crate) fn renew_randomness(
    device: impl AsFd,
    entropy: [u8; THAW_ENTROPY_LEN],
) -> Result<(), Errno> {
    let len = THAW_ENTROPY_LEN as i32;
    let info = PoolInfo { entropy_count_bits: len * 8, buffer_len: len, buffer: entropy };
    // SAFETY: RNDADDENTROPY reads a `rand_pool_info` whose `buf_size` bytes follow its header,
    // and `PoolInfo` is that; RNDRESEEDCRNG takes no argument.
    unsafe {
        ioctl(&device, Setter::<RNDADDENTROPY, PoolInfo>::new(info))?;
        ioctl(&device, NoArg::<RNDRESEEDCRNG>::new())
    }
}

/// `include/uapi/linux/blkpg.h`.
const BLKPG: Opcode = opcode::none(0x12, 105);
const BLKPG_ADD_PARTITION: i32 = 1;

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct PartitionRequest {
    op: i32,
    flags: i32,
    data_len: i32,
    data: *const Partition,
}

/// `struct blkpg_partition`; the names are not used.
#[repr(C)]
struct Partition {
    start: i64,
    len: i64,
    number: i32,
    names: [u8; 128],
}

/// Makes partition `number` of `len` bytes at byte `start` of a disk.
///
/// # Errors
/// If the number is taken, or the place is not on the disk or in another partition.
pub(crate) fn add_partition(
    disk: impl AsFd,
    number: u32,
    start: u64,
    len: u64,
) -> Result<(), Errno> {
    let partition = Partition {
        start: i64::try_from(start).map_err(|_| Errno::INVAL)?,
        len: i64::try_from(len).map_err(|_| Errno::INVAL)?,
        number: i32::try_from(number).map_err(|_| Errno::INVAL)?,
        names: [0; 128],
    };
    let data_len = size_of::<Partition>() as i32;
    let request = PartitionRequest {
        op: BLKPG_ADD_PARTITION,
        flags: 0,
        data_len,
        data: &raw const partition,
    };
    // SAFETY: BLKPG reads a `blkpg_ioctl_arg`, and through it a `blkpg_partition`; both are that,
    // and both outlive the call.
    unsafe { ioctl(disk, Setter::<BLKPG, PartitionRequest>::new(request)) }
}

// `include/uapi/linux/sockios.h`.
const SIOCADDRT: Opcode = 0x890b;
const SIOCGIFFLAGS: Opcode = 0x8913;
const SIOCSIFFLAGS: Opcode = 0x8914;
const SIOCSIFADDR: Opcode = 0x8916;
const SIOCSIFNETMASK: Opcode = 0x891c;
const SIOCSIFMTU: Opcode = 0x8922;
const SIOCGIFINDEX: Opcode = 0x8933;

/// `struct in6_rtmsg` of `include/uapi/linux/ipv6_route.h`.
#[derive(Default)]
#[repr(C)]
struct Ipv6Route {
    destination: [u8; 16],
    source: [u8; 16],
    gateway: [u8; 16],
    kind: u32,
    destination_len: u16,
    source_len: u16,
    metric: u32,
    info: libc::c_ulong,
    flags: u32,
    interface: i32,
}

/// A network interface, and a socket to ask the kernel by.
pub(crate) struct Interface {
    socket: OwnedFd,
    request: libc::ifreq,
}

impl Interface {
    /// The interface `name`. `None` from a machine without it, or a kernel without networking of
    /// this family.
    ///
    /// # Errors
    /// If the kernel has it but gives no socket.
    pub(crate) fn find(name: &str, family: AddressFamily) -> Result<Option<Self>, Errno> {
        let socket = match socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None) {
            Err(Errno::AFNOSUPPORT | Errno::NOSYS) => return Ok(None),
            socket => socket?,
        };
        // SAFETY: all fields of `ifreq` are integers or unions of such, valid when zero.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        let mut interface = Self { socket, request };
        match interface.is_up() {
            Err(Errno::NODEV) => Ok(None),
            known => known.map(|_| Some(interface)),
        }
    }

    /// Brings it up.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn raise(&mut self) -> Result<(), Errno> {
        self.request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        self.set::<SIOCSIFFLAGS>()
    }

    /// Whether it is up.
    ///
    /// # Errors
    /// If there is none of this name any more.
    pub(crate) fn is_up(&mut self) -> Result<bool, Errno> {
        // SAFETY: SIOCGIFFLAGS reads an `ifreq` and writes its flags.
        unsafe { ioctl(&self.socket, Updater::<SIOCGIFFLAGS, _>::new(&mut self.request))? };
        // SAFETY: the kernel has just written this member.
        let flags = unsafe { self.request.ifr_ifru.ifru_flags };
        Ok(libc::c_int::from(flags) & libc::IFF_UP != 0)
    }

    /// Takes it down.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn lower(&mut self) -> Result<(), Errno> {
        self.request.ifr_ifru.ifru_flags = 0;
        self.set::<SIOCSIFFLAGS>()
    }

    /// Sets the bytes of its largest packet.
    ///
    /// # Errors
    /// If the interface cannot have such packets.
    pub(crate) fn set_mtu(&mut self, mtu: u16) -> Result<(), Errno> {
        self.request.ifr_ifru.ifru_mtu = mtu.into();
        self.set::<SIOCSIFMTU>()
    }

    /// Gives it an IPv4 address in a network of `prefix` bits.
    ///
    /// # Errors
    /// If the address cannot be an interface's.
    pub(crate) fn set_ipv4(&mut self, address: Ipv4Addr, prefix: u8) -> Result<(), Errno> {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
        self.request.ifr_ifru.ifru_addr = socket_address(address);
        self.set::<SIOCSIFADDR>()?;
        self.request.ifr_ifru.ifru_netmask = socket_address(mask.into());
        self.set::<SIOCSIFNETMASK>()
    }

    /// Sends all other IPv4 packets to `gateway`.
    ///
    /// # Errors
    /// If the gateway is not in the interface's network.
    pub(crate) fn route_ipv4(&self, gateway: Ipv4Addr) -> Result<(), Errno> {
        // SAFETY: all fields of `rtentry` are integers or pointers, valid when zero.
        let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
        route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
        route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
        route.rt_gateway = socket_address(gateway);
        route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
        // SAFETY: SIOCADDRT of an IPv4 socket reads an `rtentry`.
        unsafe { ioctl(&self.socket, Setter::<SIOCADDRT, libc::rtentry>::new(route)) }
    }

    /// Gives it an IPv6 address in a network of `prefix` bits, through which all other IPv6 packets
    /// go to `gateway`. The socket is an IPv6 one.
    ///
    /// # Errors
    /// If the kernel refuses either.
    pub(crate) fn set_ipv6(
        &mut self,
        address: Ipv6Addr,
        prefix: u8,
        gateway: Ipv6Addr,
    ) -> Result<(), Errno> {
        let index = self.index()?;
        let address = libc::in6_ifreq {
            ifr6_addr: libc::in6_addr { s6_addr: address.octets() },
            ifr6_prefixlen: prefix.into(),
            ifr6_ifindex: index,
        };
        // SAFETY: SIOCSIFADDR of an IPv6 socket reads an `in6_ifreq`.
        unsafe { ioctl(&self.socket, Setter::<SIOCSIFADDR, libc::in6_ifreq>::new(address))? };
        let route = Ipv6Route {
            gateway: gateway.octets(),
            metric: 1,
            flags: u32::from(libc::RTF_UP | libc::RTF_GATEWAY),
            interface: index,
            ..Ipv6Route::default()
        };
        // SAFETY: SIOCADDRT of an IPv6 socket reads an `in6_rtmsg`.
        unsafe { ioctl(&self.socket, Setter::<SIOCADDRT, Ipv6Route>::new(route)) }
    }

    fn index(&mut self) -> Result<i32, Errno> {
        // SAFETY: SIOCGIFINDEX reads an `ifreq` and writes its index.
        unsafe { ioctl(&self.socket, Updater::<SIOCGIFINDEX, _>::new(&mut self.request))? };
        // SAFETY: the kernel has just written this member.
        Ok(unsafe { self.request.ifr_ifru.ifru_ifindex })
    }

    fn set<const OPCODE: Opcode>(&self) -> Result<(), Errno> {
        // SAFETY: the requests that this is called with read an `ifreq`.
        unsafe { ioctl(&self.socket, Setter::<OPCODE, libc::ifreq>::new(self.request)) }
    }
}

/// An IPv4 address as a `sockaddr`.
fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    const ADDRESS_AT: usize = 2;
    let mut data = [0; 14];
    for (to, from) in data[ADDRESS_AT..].iter_mut().zip(address.octets()) {
        *to = from as libc::c_char;
    }
    libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: data }
}
