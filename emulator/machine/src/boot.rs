//! Loading: what RAM holds at power-on (Linux Documentation/arch/riscv/boot.rst and
//! boot-image-header.rst).

use crate::arch::riscv64::platform::{DeviceTree, RAM_BASE};
use crate::arena::PAGE_SIZE;
use crate::bus::{GuestMemory, GuestPhysAddr};
use crate::host::BootFile;
use crate::ram::Ram;

/// Least RAM that the kernel starts in.
pub const MIN_MEMORY: u64 = 32 << 20;
/// Most RAM a 32-bit emulator can back beside its own state.
pub const MAX_MEMORY: u64 = 3 << 30;

/// Where initramfs and device tree end at most: low enough for the kernel's early page tables.
const LOAD_LIMIT: u64 = 128 << 20;

const HEADER_LEN: usize = 64;
const TEXT_OFFSET: usize = 8;
const IMAGE_SIZE: usize = 16;
const MAGIC2: usize = 56;
const RISCV_MAGIC2: &[u8] = b"RSC\x05";

/// Why a machine cannot be powered on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// RAM size outside [`MIN_MEMORY`]..=[`MAX_MEMORY`] or not whole pages.
    #[error("{0} bytes of memory: expected 32 MiB to 3 GiB in whole 4 KiB pages")]
    MemorySize(u64),
    /// The kernel lacks the riscv64 `Image` header.
    #[error("the kernel is not a riscv64 `Image`")]
    NotAnImage,
    /// Kernel, initramfs and device tree do not fit.
    #[error("{needed} bytes of memory are needed for the boot files, the machine has {memory}")]
    DoesNotFit {
        /// Bytes of all boot files.
        needed: u64,
        /// RAM size.
        memory: u64,
    },
}

/// What to boot.
pub(crate) struct Kernel<'a> {
    pub(crate) image: &'a mut dyn BootFile,
    pub(crate) initramfs: &'a mut dyn BootFile,
    pub(crate) args: &'a str,
    pub(crate) rng_seed: &'a [u8],
    pub(crate) virtio_slots: &'a [u32],
}

/// Where the hart starts.
pub(crate) struct Entry {
    pub(crate) pc: u64,
    pub(crate) device_tree: u64,
}

/// Fills RAM: the kernel low, the initramfs and below it the device tree high.
pub(crate) fn load(
    ram: &mut Ram,
    memory: u64,
    kernel: &mut Kernel<'_>,
) -> Result<Entry, BootError> {
    if !(MIN_MEMORY..=MAX_MEMORY).contains(&memory) || !memory.is_multiple_of(PAGE_SIZE as u64) {
        return Err(BootError::MemorySize(memory));
    }
    let header = read_header(kernel.image)?;
    let initrd_len = kernel.initramfs.len();
    let end = RAM_BASE + memory.min(LOAD_LIMIT);
    let does_not_fit = BootError::DoesNotFit {
        needed: header.text_offset.saturating_add(header.image_size).saturating_add(initrd_len),
        memory,
    };
    let initrd = page_floor(end.checked_sub(initrd_len).ok_or_else(|| does_not_fit.clone())?);
    let device_tree = DeviceTree {
        memory_bytes: memory,
        bootargs: kernel.args,
        initrd: Some((GuestPhysAddr(initrd), GuestPhysAddr(initrd + initrd_len))),
        rng_seed: kernel.rng_seed,
        virtio_slots: kernel.virtio_slots,
    }
    .blob();
    let pc = RAM_BASE.saturating_add(header.text_offset);
    let tree_at = page_floor(initrd.saturating_sub(device_tree.len() as u64));
    if pc.saturating_add(header.image_size) > tree_at {
        return Err(does_not_fit);
    }
    copy(ram, kernel.image, pc);
    copy(ram, kernel.initramfs, initrd);
    ram.write(GuestPhysAddr(tree_at), &device_tree).map_err(|_| does_not_fit)?;
    Ok(Entry { pc, device_tree: tree_at })
}

struct Header {
    text_offset: u64,
    image_size: u64,
}

fn read_header(image: &mut dyn BootFile) -> Result<Header, BootError> {
    let mut header = [0; HEADER_LEN];
    if image.len() < HEADER_LEN as u64 {
        return Err(BootError::NotAnImage);
    }
    image.read(0, &mut header);
    if &header[MAGIC2..MAGIC2 + RISCV_MAGIC2.len()] != RISCV_MAGIC2 {
        return Err(BootError::NotAnImage);
    }
    let field = |at: usize| {
        header[at..].first_chunk().copied().map(u64::from_le_bytes).ok_or(BootError::NotAnImage)
    };
    let image_size = field(IMAGE_SIZE)?.max(image.len());
    Ok(Header { text_offset: field(TEXT_OFFSET)?, image_size })
}

const fn page_floor(at: u64) -> u64 {
    at & !(PAGE_SIZE as u64 - 1)
}

/// Copies a file to RAM page by page; the caller has checked that it fits.
fn copy(ram: &mut Ram, file: &mut dyn BootFile, at: u64) {
    let mut page = [0; PAGE_SIZE];
    let mut offset = 0;
    while offset < file.len() {
        let len = (file.len() - offset).min(PAGE_SIZE as u64) as usize;
        file.read(offset, &mut page[..len]);
        ram.write(GuestPhysAddr(at + offset), &page[..len]).expect("checked to fit RAM");
        offset += len as u64;
    }
}
