//! What was counted of the guest's kernel and init when the boot files were made: every artifact has their hot
//! paths translated, whatever its own program did in its training.

use crate::boot_files::BootFiles;
use crate::error::CliError;
use lithify_control::{PageProfile, Profile};

/// Virtual addresses from here on are the kernel's.
const KERNEL: u64 = 1 << 63;

/// Sixteenths of the root of a count that count. Chosen by measurement: about 80 KiB of guest code then reach the least
/// count that is translated; twice as much makes system calls no faster, and the smallest artifact a tenth larger.
const SIXTEENTHS: u64 = 5;

/// The counts of the boot files, as much as concerns the kernel and init, and less than any training's: what the
/// image's own program needs goes first.
pub(super) fn system_profile(boot: &BootFiles) -> Result<Profile, CliError> {
    let Some(bytes) = &boot.profile else { return Ok(Profile::default()) };
    let profile = Profile::decode(bytes).map_err(|error| {
        CliError::build(format!("boot file {}: {error}", BootFiles::profile_name()))
    })?;
    Ok(of_system(profile, &boot.initramfs))
}

fn of_system(mut profile: Profile, initramfs: &[u8]) -> Profile {
    let is_init = |page: &PageProfile| {
        let mut places = initramfs.windows(page.bytes.len());
        places.any(|bytes| bytes == page.bytes.as_slice())
    };
    profile.pages.retain(|page| page.places.iter().any(|place| *place >= KERNEL) || is_init(page));
    // The square root keeps the order.
    let blocks = profile.pages.iter_mut().flat_map(|page| &mut page.blocks);
    blocks.for_each(|block| block.count = block.count.isqrt() * SIXTEENTHS / 16);
    profile
}

#[cfg(test)]
mod tests {
    use super::*;
    use lithify_control::BlockProfile;

    fn page(byte: u8, place: u64) -> PageProfile {
        let blocks = [(0, 9), (4, 1024), (8, 1_000_000)];
        PageProfile {
            bytes: Box::new([byte; 4096]),
            blocks: blocks.map(|(offset, count)| BlockProfile { offset, count }).to_vec(),
            places: vec![0x1_0000, place],
        }
    }

    #[test]
    fn the_kernel_s_and_init_s_pages_count_and_less_than_others() {
        let pages = vec![page(1, 0xffff_ffff_8000_0000), page(2, 0x2000), page(3, 0x3000)];
        let initramfs = [&[0; 7][..], &[3; 4096]].concat();
        let found = of_system(Profile { pages }, &initramfs);
        assert_eq!(found.pages.iter().map(|page| page.bytes[0]).collect::<Vec<_>>(), [1, 3]);
        assert!(
            found
                .pages
                .iter()
                .all(|page| { page.blocks.iter().map(|block| block.count).eq([0, 10, 312]) })
        );
    }
}
