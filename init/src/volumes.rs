//! The volumes of a request: partitions that the request itself describes, so that one disk holds
//! as many file systems as it likes.

use crate::error::{Context, Error};
use crate::image::{DISK, mount_squashfs};
use crate::ioctl::add_partition;
use crate::mount::make_directory;
use lithify_control::Volume;
use rustix::fs::{Mode, OFlags};
use std::time::Duration;

const VOLUMES: &str = "/volumes";

/// The kernel learns of the disk's size by an interrupt and notes it from a work queue, while the
/// request comes through another device.
const ATTEMPTS: u32 = 10_000;
const PAUSE: Duration = Duration::from_micros(500);

const SECTOR_LEN: u64 = 512;

/// Mounts each volume, read-only.
///
/// # Errors
/// If the disk does not hold a volume, or what it holds is no squashfs.
pub(crate) fn mount(volumes: &[Volume]) -> Result<(), Error> {
    make_directory(VOLUMES, 0o755).during(|| format!("make {VOLUMES}"))?;
    let end = volumes.iter().map(|volume| volume.offset.saturating_add(volume.len)).max();
    wait_for_disk(end.unwrap_or_default())?;
    let disk = rustix::fs::open(DISK, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .during(|| format!("open {DISK}"))?;
    for (number, volume) in (0..).zip(volumes) {
        let partition = number + 1;
        add_partition(&disk, partition, volume.offset, volume.len)
            .during(|| format!("make {DISK}{partition} of {volume:?}"))?;
        mount_squashfs(&format!("{DISK}{partition}"), &path(number))?;
    }
    Ok(())
}

/// Where volume `number` is mounted.
pub(crate) fn path(number: u32) -> String {
    format!("{VOLUMES}/{number}")
}

fn wait_for_disk(len: u64) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        if disk_len()? >= len {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(Error::DiskTooSmall { len: disk_len()?, wanted: len })
}

fn disk_len() -> Result<u64, Error> {
    let path = "/sys/class/block/vda/size";
    let sectors = std::fs::read_to_string(path).during(|| format!("read {path}"))?;
    Ok(sectors.trim().parse::<u64>().unwrap_or(0).saturating_mul(SECTOR_LEN))
}
