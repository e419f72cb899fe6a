//! Cuts data segments at zeros.
//!
//! The freeze makes ten thousand segments at most and joins what is closest until they are no more. A
//! frozen machine has many short runs of zeros: what they take in an artifact is more than segments cost.

use wasm_encoder::{
    ConstExpr, DataCountSection, DataSection, DataSegment, DataSegmentMode, Module, RawSection,
};
use wasmparser::{DataKind, DataSectionReader, Operator, Parser, Payload};

/// Zeros from which on a cut pays: a segment has about eight bytes in front, and packed a module is
/// larger with more of them.
const GAP: usize = 20;
/// Engines accept 100,000, and a saved machine or the rootfs needs some.
const MAX_SEGMENTS: usize = 50_000;

/// `wasm` with its segments cut, if it stays within bounds.
pub(crate) fn cut(wasm: &[u8]) -> wasmparser::Result<Vec<u8>> {
    let mut cut = None;
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::DataSection(section) = payload? {
            cut = cut_section(section)?;
        }
    }
    let Some((count, data)) = cut else { return Ok(wasm.to_vec()) };
    let mut to = Module::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::DataSection(_) => _ = to.section(&data),
            Payload::DataCountSection { .. } => _ = to.section(&DataCountSection { count }),
            Payload::CodeSectionEntry(_) => {}
            other => {
                if let Some((id, range)) = other.as_section() {
                    to.section(&RawSection { id, data: &wasm[range] });
                }
            }
        }
    }
    Ok(to.finish())
}

/// The segments and their number; nothing if they cannot be cut: code names passive ones by number, so
/// these have to come first.
fn cut_section(section: DataSectionReader<'_>) -> wasmparser::Result<Option<(u32, DataSection)>> {
    let (mut data, mut is_active) = (DataSection::new(), false);
    for segment in section {
        let segment = segment?;
        match segment.kind {
            DataKind::Passive if is_active => return Ok(None),
            DataKind::Passive => _ = data.passive(segment.data.iter().copied()),
            DataKind::Active { memory_index, offset_expr } => {
                is_active = true;
                let Operator::I32Const { value } = offset_expr.get_operators_reader().read()?
                else {
                    return Ok(None);
                };
                for (start, piece) in pieces(segment.data) {
                    let offset = ConstExpr::i32_const(value.wrapping_add(start as i32));
                    let mode = DataSegmentMode::Active { memory_index, offset: &offset };
                    data.segment(DataSegment { mode, data: piece.iter().copied() });
                }
            }
        }
    }
    let count = data.len();
    Ok((count as usize <= MAX_SEGMENTS).then_some((count, data)))
}

/// The pieces of `data` between runs of [`GAP`] zeros, and where they start.
fn pieces(data: &[u8]) -> Vec<(usize, &[u8])> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for at in (0..data.len()).filter(|at| data[*at] != 0) {
        match found.last_mut() {
            Some((_, end)) if at - *end < GAP => *end = at + 1,
            _ => found.push((at, at + 1)),
        }
    }
    found.into_iter().map(|(start, end)| (start, &data[start..end])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_the_same_with_more_segments() {
        let long = [&[1, 0, 2][..], &[0; GAP], &[3], &[0; GAP - 1], &[4]].concat();
        let found: Vec<_> = pieces(&long).iter().map(|(at, piece)| (*at, piece.len())).collect();
        assert_eq!(found, [(0, 3), (3 + GAP, GAP + 1)]);
        let escaped: String = long.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let text = format!(
            r#"(module (memory 1) (func data.drop 0) (data "passive")
                (data (i32.const 100) "{escaped}"))"#
        );
        let wasm = wat::parse_str(text).expect("text");
        let less = cut(&wasm).expect("a module");
        wasmparser::validate(&less).expect("still one");
        let memory = |wasm: &[u8]| {
            let mut memory = vec![0; 200];
            for payload in Parser::new(0).parse_all(wasm) {
                let Payload::DataSection(section) = payload.expect("whole") else { continue };
                for segment in section {
                    let segment = segment.expect("whole");
                    let DataKind::Active { offset_expr, .. } = segment.kind else { continue };
                    let first = offset_expr.get_operators_reader().read().expect("one");
                    let Operator::I32Const { value } = first else { panic!("{first:?}") };
                    memory[value as usize..][..segment.data.len()].copy_from_slice(segment.data);
                }
            }
            memory
        };
        assert_eq!(memory(&less), memory(&wasm));
        assert!(less.len() < wasm.len());
    }
}
