//! The privileges that a container's root keeps: docker's default set.

use crate::error::{Context, Error};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

const KEPT: CapabilitySet = CapabilitySet::AUDIT_WRITE
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SYS_CHROOT);

/// Takes the rest out of the bounding set: nothing that is executed later gets it back. What the
/// caller holds now stays until [`keep_default`].
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn bound() -> Result<(), Error> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if KEPT.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // The kernel knows no capability from this number on.
            Err(Errno::INVAL) => return Ok(()),
            dropped => dropped.during(|| format!("drop capability {number}"))?,
        }
    }
    Ok(())
}

/// Gives up the rest right now, so that the image's program is opened with no more privilege
/// than it will run with.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn keep_default() -> Result<(), Errno> {
    let sets =
        CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_set_is_dockers() {
        // `docker run debian grep CapBnd /proc/self/status`
        assert_eq!(KEPT.bits(), 0xa804_25fb);
    }
}
