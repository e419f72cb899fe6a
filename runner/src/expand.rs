//! Unpacks the ROM of an artifact before it is compiled.
//!
//! The `.wasm` travels and lies in registries, so its ROM is packed; the `.cwasm` is mapped, so its ROM
//! is best as it is: a read is a copy out of the page cache, shared by all machines of one artifact.
//! What a machine reads is the same in both cases.
//!
//! This is a function of the module's bytes alone, so a compiled form is still named after the digest
//! of the `.wasm`. It changes the last data segment and nothing else.

use crate::RunnerError;
use lithify_rom::{Header, Reader, RomError, Source};
use std::borrow::Cow;
use std::ops::Range;
use wasmparser::{DataKind, Parser, Payload};

/// A packed ROM that stands for more times its own length stays packed: a small file cannot make us
/// fill memory and disk. Images of programs come to three or four.
const MAX_EXPANSION: u64 = 16;
/// All data of a compiled module, frozen memory included, is addressed with 32 bits.
const MAX_DATA: u64 = u32::MAX as u64;
const WASM_PAGE: u64 = 64 << 10;
const DATA_SECTION: u8 = 11;
const PASSIVE: u8 = 1;
/// Of a passive segment: its kind and a length of 32 bits.
const MAX_HEADER: u64 = 6;

/// `wasm` with its ROM as it is. A module without a packed ROM comes back unchanged, and so does one
/// that is no valid module, which is the compiler's to say.
pub(crate) fn expand(wasm: &[u8]) -> Result<Cow<'_, [u8]>, RunnerError> {
    let Ok(Some(place)) = Place::find(wasm) else { return Ok(Cow::Borrowed(wasm)) };
    let rom = &wasm[place.rom.clone()];
    let damaged = |error: RomError| RunnerError::Invalid(error.to_string());
    let Some(header) = Header::read(rom).map_err(damaged)? else { return Ok(Cow::Borrowed(wasm)) };
    if header.stored_len() != rom.len() as u64 {
        return Err(damaged(RomError::Header("it is not as long as its segment")));
    }
    let raw_len = header.raw_len();
    let is_bomb = raw_len / MAX_EXPANSION > header.stored_len();
    let before = &wasm[place.section.start..place.segment];
    let section_len = (before.len() as u64 + MAX_HEADER).saturating_add(raw_len);
    if is_bomb || place.memory.saturating_add(raw_len) > MAX_DATA || section_len > MAX_DATA {
        return Ok(Cow::Borrowed(wasm));
    }
    let mut segment = vec![PASSIVE];
    leb128(&mut segment, raw_len);
    let mut out = Vec::with_capacity(wasm.len() + raw_len as usize);
    out.extend_from_slice(&wasm[..place.section_header]);
    out.push(DATA_SECTION);
    leb128(&mut out, before.len() as u64 + segment.len() as u64 + raw_len);
    out.extend_from_slice(before);
    out.extend_from_slice(&segment);
    let at = out.len();
    out.resize(at + raw_len as usize, 0);
    Reader::new(Segment(rom), header).read(0, &mut out[at..]).map_err(damaged)?;
    out.extend_from_slice(&wasm[place.section.end..]);
    Ok(Cow::Owned(out))
}

/// Where in a module its ROM is: the last segment, if that is passive.
struct Place {
    /// First byte of the data section's header.
    section_header: usize,
    /// Contents of the data section.
    section: Range<usize>,
    /// First byte of the segment.
    segment: usize,
    /// The segment's data.
    rom: Range<usize>,
    /// Length of the memory in bytes.
    memory: u64,
}

impl Place {
    fn find(wasm: &[u8]) -> wasmparser::Result<Option<Self>> {
        const MODULE_HEADER: usize = 8;
        let (mut end_of_section, mut memory) = (MODULE_HEADER, 0);
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload?;
            if let Payload::MemorySection(section) = &payload {
                for found in section.clone() {
                    memory = found?.initial.saturating_mul(WASM_PAGE);
                }
            }
            if let Payload::DataSection(section) = &payload {
                let Some(Ok(last)) = section.clone().into_iter().last() else { return Ok(None) };
                if !matches!(last.kind, DataKind::Passive) || last.range.end != section.range().end
                {
                    return Ok(None);
                }
                let rom = last.range.end - last.data.len()..last.range.end;
                return Ok(Some(Self {
                    section_header: end_of_section,
                    section: section.range(),
                    segment: last.range.start,
                    rom,
                    memory,
                }));
            }
            if let Some((_, range)) = payload.as_section() {
                end_of_section = range.end;
            }
        }
        Ok(None)
    }
}

fn leb128(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

struct Segment<'a>(&'a [u8]);

impl Source for Segment<'_> {
    /// The caller has made sure that the segment is as long as the header says.
    fn read(&mut self, offset: u64, into: &mut [u8]) {
        into.copy_from_slice(&self.0[offset as usize..][..into.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lithify_rom::{Codec, pack};
    use std::fmt::Write;
    use std::io::Cursor;

    fn packed(raw: &[u8]) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        pack(raw, raw.len() as u64, Codec::Lz4, 0, &mut out).unwrap();
        out.into_inner()
    }

    /// A module with sections on both sides of the data, and `rom` as its last segment.
    fn module(pages: u32, rom: &[u8]) -> Vec<u8> {
        let mut bytes = String::new();
        rom.iter().for_each(|byte| write!(bytes, "\\{byte:02x}").unwrap());
        let text = format!(
            r#"(module (@custom "before" "x") (memory {pages}) (data (i32.const 9) "frozen")
               (func (memory.init 1 (i32.const 0) (i32.const 0) (i32.const 0)))
               (data "{bytes}") (@custom "after" (after last) "y"))"#
        );
        wat::parse_str(text).unwrap()
    }

    /// Compresses to a quarter or so.
    fn image() -> Vec<u8> {
        (0..200_000_u32)
            .flat_map(|i| [(i / 9) as u8, (i.wrapping_mul(2_654_435_761) >> 28) as u8])
            .collect()
    }

    #[test]
    fn packed_rom_becomes_the_image_and_all_else_stays() {
        let raw = image();
        let from = module(1, &packed(&raw));
        let expanded = expand(&from).unwrap();
        assert!(matches!(expanded, Cow::Owned(_)));
        assert!(*expanded == *module(1, &raw));
        assert!(matches!(expand(&expanded).unwrap(), Cow::Borrowed(_)), "once is enough");
    }

    #[test]
    fn what_has_no_packed_rom_or_must_not_grow_is_left_alone() {
        let bomb = packed(&vec![0; 1 << 20]);
        assert!(bomb.len() * 17 < 1 << 20, "{}", bomb.len());
        for (what, wasm) in [
            ("no data", wat::parse_str("(module)").unwrap()),
            (
                "active data",
                wat::parse_str(r#"(module (memory 1) (data (i32.const 0) "LITHROM1"))"#).unwrap(),
            ),
            ("plain", module(1, b"hsqs")),
            ("bomb", module(1, &bomb)),
            ("no room beside the memory", module(65_535, &packed(&image()))),
            ("no module", b"\0asm\x01\0\0\0\x0b".to_vec()),
        ] {
            assert!(*expand(&wasm).unwrap() == *wasm, "{what}");
        }
    }
}
