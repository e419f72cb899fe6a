//! Where the bytes of a frozen machine are: each data segment's, by what the page is used for.
//!
//! The emulator tells what page tables say. The rest is recognised by its content, which came from files
//! that the build has: the kernel's image, and the program of the initramfs in the guest's page cache.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use wasmparser::{DataKind, Operator, Parser, Payload};

const PAGE: usize = 4096;
/// The kernel starts here in the guest's RAM.
const KERNEL_AT: usize = 2 << 20;
/// Where in a RISC-V `Image` its size in memory is.
const IMAGE_SIZE_AT: usize = 16;
/// Length of the header of a cpio member (newc).
const CPIO_HEADER: usize = 110;

/// Bytes of a frozen machine in an artifact, by what they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineSizes {
    /// The kernel's code and constants.
    pub kernel: u64,
    /// The kernel's variables.
    pub kernel_data: u64,
    /// Page tables of the program that was current.
    pub page_tables: u64,
    /// What that program has mapped, but for its file.
    pub program: u64,
    /// The file of init in the page cache.
    pub init_file: u64,
    /// What the kernel has allocated else: slabs, stacks, other cached files.
    pub kernel_allocated: u64,
    /// The emulator's own: decoded code, tables, devices.
    pub emulator: u64,
}

/// What a page is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kernel,
    KernelData,
    PageTable,
    Program,
    InitFile,
    KernelAllocated,
}

/// The kinds of a machine's pages, by their place in linear memory.
#[derive(Debug, Default)]
pub(crate) struct Census(BTreeMap<u64, Kind>);

/// One record of the emulator's.
struct Record {
    /// Number of the page in the guest's RAM.
    page: usize,
    /// Address in linear memory.
    address: usize,
    is_for: u32,
}

impl Record {
    const LEN: usize = 12;
    const PAGE_TABLE: u32 = 1;
    const PROGRAM: u32 = 2;

    fn read(bytes: &[u8; Self::LEN]) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes.as_chunks().0[at]);
        Self { page: word(0) as usize, address: word(1) as usize, is_for: word(2) }
    }
}

impl Census {
    /// `records` are the emulator's, `memory` is its memory.
    pub(crate) fn new(records: &[u8], memory: &[u8], kernel: &[u8], initramfs: &[u8]) -> Self {
        let files = file_pages(initramfs);
        let kind = |record: &[u8; Record::LEN]| {
            let record = Record::read(record);
            let bytes = memory.get(record.address..)?.first_chunk::<PAGE>()?;
            Some((record.address as u64, kind(&record, bytes, kernel, &files)))
        };
        Self(records.as_chunks().0.iter().filter_map(kind).collect())
    }

    /// Adds the data segments of `frozen` up.
    ///
    /// # Errors
    /// If it is no module.
    pub(crate) fn measure(&self, frozen: &[u8]) -> wasmparser::Result<MachineSizes> {
        let mut sizes = MachineSizes::default();
        for payload in Parser::new(0).parse_all(frozen) {
            let Payload::DataSection(section) = payload? else { continue };
            for segment in section {
                let segment = segment?;
                if let DataKind::Active { offset_expr, .. } = segment.kind
                    && let Operator::I32Const { value } =
                        offset_expr.get_operators_reader().read()?
                {
                    self.add(value.cast_unsigned().into(), segment.data.len() as u64, &mut sizes);
                }
            }
        }
        Ok(sizes)
    }

    fn add(&self, mut at: u64, len: u64, sizes: &mut MachineSizes) {
        let (end, page_len) = (at + len, PAGE as u64);
        while at < end {
            let page = at - at % page_len;
            let piece = end.min(page + page_len) - at;
            *match self.0.get(&page) {
                Some(Kind::Kernel) => &mut sizes.kernel,
                Some(Kind::KernelData) => &mut sizes.kernel_data,
                Some(Kind::PageTable) => &mut sizes.page_tables,
                Some(Kind::Program) => &mut sizes.program,
                Some(Kind::InitFile) => &mut sizes.init_file,
                Some(Kind::KernelAllocated) => &mut sizes.kernel_allocated,
                None => &mut sizes.emulator,
            } += piece;
            at += piece;
        }
    }
}

fn kind(record: &Record, bytes: &[u8; PAGE], kernel: &[u8], files: &HashSet<[u8; PAGE]>) -> Kind {
    match record.is_for {
        Record::PAGE_TABLE => return Kind::PageTable,
        _ if files.contains(bytes) => return Kind::InitFile,
        Record::PROGRAM => return Kind::Program,
        _ => {}
    }
    match (record.page * PAGE).checked_sub(KERNEL_AT).filter(|at| *at < size_in_memory(kernel)) {
        None => Kind::KernelAllocated,
        // Code is patched here and there while the kernel boots.
        Some(at) if has_in_common(bytes, kernel.get(at..).unwrap_or_default()) => Kind::Kernel,
        Some(_) => Kind::KernelData,
    }
}

fn size_in_memory(kernel: &[u8]) -> usize {
    let size = kernel.get(IMAGE_SIZE_AT..).and_then(|rest| rest.first_chunk());
    size.map_or(0, |size| u64::from_le_bytes(*size) as usize)
}

/// Whether most of the page is as in the file.
fn has_in_common(page: &[u8; PAGE], file: &[u8]) -> bool {
    let same = page.iter().zip(file).filter(|(a, b)| a == b).count();
    same > PAGE - PAGE / 16
}

/// Pages as the page cache has them of files in a cpio archive (newc).
fn file_pages(mut archive: &[u8]) -> HashSet<[u8; PAGE]> {
    let mut pages = HashSet::new();
    while let Some((file, rest)) = next_member(archive) {
        for piece in file.chunks(PAGE) {
            let mut page = [0; PAGE];
            page[..piece.len()].copy_from_slice(piece);
            pages.insert(page);
        }
        archive = rest;
    }
    pages.remove(&[0; PAGE]);
    pages
}

/// The content of the first member and what follows; nothing after the last.
fn next_member(archive: &[u8]) -> Option<(&[u8], &[u8])> {
    let field = |at: usize| {
        let digits = str::from_utf8(archive.get(at..at + 8)?).ok()?;
        usize::from_str_radix(digits, 16).ok()
    };
    let (len, name_len) = (field(54)?, field(94)?);
    let content = archive.get((CPIO_HEADER + name_len).next_multiple_of(4)..)?;
    let rest = content.get(len.next_multiple_of(4)..)?;
    Some((&content[..len], rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, content: &[u8]) -> Vec<u8> {
        let mut fields = [0; 13];
        (fields[6], fields[11]) = (content.len(), name.len() + 1);
        let fields: String = fields.iter().map(|field| format!("{field:08X}")).collect();
        let mut bytes = format!("070701{fields}{name}\0").into_bytes();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn record(page: usize, address: usize, is_for: u32) -> Vec<u8> {
        [page as u32, address as u32, is_for].iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn pages_are_told_by_page_tables_and_by_content() {
        let kernel: Vec<u8> = (0..3 * PAGE)
            .map(|at| {
                if at == IMAGE_SIZE_AT + 1 {
                    0x50
                } else if (16..24).contains(&at) {
                    0
                } else {
                    at as u8
                }
            })
            .collect();
        let file = vec![7; PAGE + 5];
        let archive = [member("init", &file), member("TRAILER!!!", b"")].concat();
        let mut memory = vec![0; 8 * PAGE];
        memory[..PAGE].copy_from_slice(&kernel[PAGE..2 * PAGE]);
        memory[3] ^= 1;
        memory[PAGE..2 * PAGE].fill(1);
        memory[2 * PAGE..2 * PAGE + 5].fill(7);
        let first = KERNEL_AT / PAGE;
        let records = [
            record(first + 1, 0, 0),
            record(first + 4, PAGE, 0),
            record(9, 2 * PAGE, Record::PROGRAM),
            record(10, 3 * PAGE, Record::PROGRAM),
            record(11, 4 * PAGE, Record::PAGE_TABLE),
            record(first + 5, 5 * PAGE, 0),
            record(99, 8 * PAGE, 0),
        ];
        let census = Census::new(&records.concat(), &memory, &kernel, &archive);
        let kinds = [
            Kind::Kernel,
            Kind::KernelData,
            Kind::InitFile,
            Kind::Program,
            Kind::PageTable,
            Kind::KernelAllocated,
        ];
        assert!(census.0.values().eq(&kinds), "{census:?}");
        let mut sizes = MachineSizes::default();
        census.add(PAGE as u64 - 10, 20, &mut sizes);
        census.add(7 * PAGE as u64, 5, &mut sizes);
        assert_eq!((sizes.kernel, sizes.kernel_data, sizes.emulator), (10, 10, 5));
    }
}
