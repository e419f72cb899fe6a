//! The host's clocks.

use super::errno::Errno;
use super::memory::GuestMemory;
use super::{Host, Outcome};
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

const NANOSECONDS: u64 = 1_000_000_000;

/// `clockid`: realtime, monotonic, process and thread CPU time.
pub(super) fn clock(id: u32) -> Result<ClockId, Errno> {
    match id {
        0 => Ok(ClockId::Realtime),
        1 => Ok(ClockId::Monotonic),
        2 => Ok(ClockId::ProcessCPUTime),
        3 => Ok(ClockId::ThreadCPUTime),
        _ => Err(Errno::Inval),
    }
}

/// Nanoseconds since the clock's zero; a wall clock set before 1970 reads 0.
pub(super) fn now(clock: ClockId) -> u64 {
    nanoseconds(clock_gettime(clock))
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(NANOSECONDS).saturating_add(rest)
}

/// A duration as the kernel takes it.
pub(super) fn timespec(nanoseconds: u64) -> Timespec {
    Timespec {
        tv_sec: (nanoseconds / NANOSECONDS).cast_signed(),
        tv_nsec: (nanoseconds % NANOSECONDS).cast_signed(),
    }
}

impl Host {
    pub(super) fn clock_res_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        id: u32,
        resolution: u32,
    ) -> Outcome {
        Ok(memory.put_u64(resolution, nanoseconds(clock_getres(clock(id)?)))?)
    }

    pub(super) fn clock_time_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        id: u32,
        _precision: u64,
        time: u32,
    ) -> Outcome {
        Ok(memory.put_u64(time, now(clock(id)?))?)
    }
}
