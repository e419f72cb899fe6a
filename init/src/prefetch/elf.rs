//! What an ELF file asks for: its interpreter and its libraries (System V ABI, chapter 5).

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;

/// Program headers and dynamic entries looked at, names read: a file that has more of them or
/// longer ones than real programs do cannot hold up the boot.
const MAX_HEADERS: u16 = 64;
const MAX_ENTRIES: u64 = 512;
const MAX_NAME: usize = 256;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const HEADER_LEN: u64 = 56;

const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const ENTRY_LEN: u64 = 16;

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    len: u64,
}

/// The interpreter's path and the libraries' names; nothing if the file is no 64-bit little-endian
/// ELF file.
pub(super) fn needs(file: &File) -> Vec<OsString> {
    needs_of(file).unwrap_or_default()
}

fn needs_of(file: &File) -> Option<Vec<OsString>> {
    if bytes::<6>(file, 0)? != *b"\x7fELF\x02\x01" {
        return None;
    }
    let headers = word(file, 32)?;
    let count = u16::from_le_bytes(bytes(file, 56)?).min(MAX_HEADERS);
    let segments: Vec<Segment> =
        (0..u64::from(count)).map_while(|number| segment(file, headers, number)).collect();
    let interpreter = segments.iter().find(|segment| segment.kind == PT_INTERP);
    let mut needs: Vec<_> =
        interpreter.and_then(|segment| name(file, segment.offset)).into_iter().collect();
    if let Some(dynamic) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) {
        needs.extend(libraries(file, dynamic, &segments).unwrap_or_default());
    }
    Some(needs)
}

fn segment(file: &File, headers: u64, number: u64) -> Option<Segment> {
    let at = headers.checked_add(number * HEADER_LEN)?;
    let kind = u32::from_le_bytes(bytes(file, at)?);
    let field = |offset| word(file, at.checked_add(offset)?);
    Some(Segment { kind, offset: field(8)?, address: field(16)?, len: field(32)? })
}

fn libraries(file: &File, dynamic: &Segment, segments: &[Segment]) -> Option<Vec<OsString>> {
    let entry = |number: u64| {
        let at = dynamic.offset.checked_add(number * ENTRY_LEN)?;
        Some((word(file, at)?, word(file, at.checked_add(8)?)?))
    };
    let count = (dynamic.len / ENTRY_LEN).min(MAX_ENTRIES);
    let entries: Vec<_> = (0..count).map_while(entry).collect();
    let strings = entries.iter().find(|(tag, _)| *tag == DT_STRTAB)?.1;
    let strings =
        segments.iter().filter(|segment| segment.kind == PT_LOAD).find_map(|segment| {
            let inside = strings.checked_sub(segment.address).filter(|at| *at < segment.len)?;
            segment.offset.checked_add(inside)
        })?;
    let needed = entries.iter().filter(|(tag, _)| *tag == DT_NEEDED);
    Some(needed.filter_map(|(_, at)| name(file, strings.checked_add(*at)?)).collect())
}

fn name(file: &File, at: u64) -> Option<OsString> {
    let mut bytes = [0; MAX_NAME];
    let len = file.read_at(&mut bytes, at).ok()?;
    let end = bytes[..len].iter().position(|byte| *byte == 0)?;
    (end > 0).then(|| OsString::from_vec(bytes[..end].to_vec()))
}

fn word(file: &File, at: u64) -> Option<u64> {
    bytes(file, at).map(u64::from_le_bytes)
}

fn bytes<const LEN: usize>(file: &File, at: u64) -> Option<[u8; LEN]> {
    let mut bytes = [0; LEN];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn needs_in(contents: &[u8]) -> Vec<String> {
        let path = std::env::temp_dir().join(format!("lithify-elf-{}", contents.len()));
        File::create(&path).and_then(|mut file| file.write_all(contents)).expect("written");
        let needs = needs(&File::open(&path).expect("it was written"));
        std::fs::remove_file(&path).expect("it is there");
        needs.into_iter().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// One program header of each kind; the dynamic section names one library.
    fn example() -> Vec<u8> {
        let mut file = vec![0; 512];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF\x02\x01");
        put(32, &64_u64.to_le_bytes());
        put(56, &3_u16.to_le_bytes());
        let headers =
            [(PT_INTERP, 240_u64, 0_u64), (PT_DYNAMIC, 272, 0x1110), (PT_LOAD, 0, 0x1000)];
        for (number, (kind, offset, address)) in headers.into_iter().enumerate() {
            let at = 64 + number * HEADER_LEN as usize;
            put(at, &kind.to_le_bytes());
            put(at + 8, &offset.to_le_bytes());
            put(at + 16, &address.to_le_bytes());
            put(at + 32, &(if kind == PT_LOAD { 512_u64 } else { 32 }).to_le_bytes());
        }
        put(240, b"/lib/ld.so\0");
        put(272, &DT_NEEDED.to_le_bytes());
        put(280, &1_u64.to_le_bytes());
        put(288, &DT_STRTAB.to_le_bytes());
        put(296, &0x1140_u64.to_le_bytes());
        put(0x140, b"\0libc.so.6\0");
        file
    }

    #[test]
    fn interpreter_and_libraries_are_found() {
        assert_eq!(needs_in(&example()), ["/lib/ld.so", "libc.so.6"]);
    }

    #[test]
    fn damaged_files_need_less_or_nothing() {
        let example = example();
        assert!(needs_in(b"#!/bin/sh").is_empty());
        for len in [0, 63, 100, 250] {
            needs_in(&example[..len]);
        }
        let mut wild = example;
        wild[32..40].fill(0xff);
        assert!(needs_in(&wild).is_empty());
    }
}
