//! The device requests that the kernel offers by `ioctl` only.
#![allow(unsafe_code, reason = "ioctl requests carry their argument's layout by convention only")]

use crate::error::{Context, Error};
use lithify_control::THAW_ENTROPY_LEN;
use rustix::io::Errno;
use rustix::ioctl::{Direction, NoArg, Opcode, Setter, ioctl, opcode};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::os::fd::AsFd;

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

/// `include/uapi/linux/sockios.h`.
const SIOCSIFFLAGS: Opcode = 0x8914;

/// Brings `lo` up, so that `127.0.0.1` works where there is no other network.
///
/// # Errors
/// If the kernel has IP networking but refuses; one without it is no error.
pub(crate) fn raise_loopback() -> Result<(), Error> {
    let flags = SocketFlags::CLOEXEC;
    let socket = match socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None) {
        Err(Errno::AFNOSUPPORT | Errno::NOSYS) => return Ok(()),
        socket => socket.during(|| "open a socket".to_owned())?,
    };
    // SAFETY: all fields of `ifreq` are integers or unions of such, valid when zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`.
    unsafe { ioctl(&socket, Setter::<SIOCSIFFLAGS, libc::ifreq>::new(request)) }
        .during(|| "bring lo up".to_owned())
}
