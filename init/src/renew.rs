//! What a thawed machine must not share with its siblings: the time and all randomness.

use crate::error::{Context, Error};
use lithify_control::THAW_ENTROPY_LEN;
use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, Timespec};
use std::os::fd::OwnedFd;

const NANOSECONDS: u64 = 1_000_000_000;

/// Devices opened before the freeze.
#[derive(Debug)]
pub(crate) struct Devices {
    random: OwnedFd,
}

impl Devices {
    /// Opens them.
    ///
    /// # Errors
    /// If the kernel has none.
    pub(crate) fn open() -> Result<Self, Error> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::open("/dev/random", flags, Mode::empty())
            .map(|random| Self { random })
            .during(|| "open /dev/random".to_owned())
    }

    /// Sets the wall clock and reseeds the kernel's random number generator.
    ///
    /// # Errors
    /// If the time is out of the kernel's range, or the kernel refuses.
    pub(crate) fn renew(
        &self,
        realtime_ns: u64,
        entropy: [u8; THAW_ENTROPY_LEN],
    ) -> Result<(), Error> {
        rustix::time::clock_settime(ClockId::Realtime, timespec(realtime_ns))
            .during(|| format!("set the clock to {realtime_ns} ns"))?;
        crate::ioctl::renew_randomness(&self.random, entropy)
            .during(|| "reseed the random number generator".to_owned())
    }
}

fn timespec(nanoseconds: u64) -> Timespec {
    Timespec {
        tv_sec: (nanoseconds / NANOSECONDS) as i64,
        tv_nsec: (nanoseconds % NANOSECONDS) as _,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_split_into_seconds_and_rest() {
        assert_eq!(timespec(1_234_567_890_123), Timespec { tv_sec: 1234, tv_nsec: 567_890_123 });
        assert_eq!(timespec(u64::MAX).tv_sec, 18_446_744_073);
    }
}
