//! A run that stands still becomes another artifact: the one it came from, with other memory.
//!
//! Code, root file system and custom sections stay; the frozen memory is replaced by that of the run.
//! Globals need no place in it: the emulator has returned from `_start`, so its one mutable global,
//! the stack pointer, is what it was at the start.

use crate::file_walk::FileWalk;
use crate::inspect::{InspectError, Segment, check_header, segment_header};
use crate::sections::{MANIFEST, Manifest};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, CustomSection, DataCountSection, Encode, MemorySection, Module, RawSection,
    SectionId,
};
use wasmparser::{
    BinaryReader, CodeSectionReader, CustomSectionReader, GlobalSectionReader, MemorySectionReader,
};

/// Frozen memory is looked at in pieces of this size; those of zeros are left out.
const PAGE: usize = 4096;
/// Engines take 100,000; the root file system and what else is passive needs a few.
const MAX_RUNS: usize = 90_000;
const WASM_PAGE: u64 = 65536;
/// A module has 13 kinds of sections and few custom ones; millions of empty ones are an attack.
const MAX_SECTIONS: usize = 1000;

/// Why a run could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The file that the run came from is not what it was.
    #[error("the artifact that runs cannot be read again: {0}")]
    Artifact(#[from] InspectError),
    /// Its module has a shape that cannot be saved.
    #[error("the machine cannot be saved: {0}")]
    Module(String),
    /// Memory and root file system together pass what a module can hold.
    #[error("the machine is too large to be saved: {0} bytes, a WebAssembly module holds {max} bytes of data", max = u32::MAX)]
    TooLarge(u64),
    /// The new artifact could not be written.
    #[error("cannot write the saved machine: {0}")]
    Write(#[source] io::Error),
}

impl From<wasmparser::Error> for SaveError {
    fn from(error: wasmparser::Error) -> Self {
        Self::Module(error.to_string())
    }
}

impl From<reencode::Error> for SaveError {
    fn from(error: reencode::Error) -> Self {
        match error {
            reencode::Error::ParseError(error) => error.into(),
            other => Self::Module(other.to_string()),
        }
    }
}

/// Writes the artifact that goes on where a run of `artifact` stands, whose linear memory is
/// `memory`. Equal memories give equal bytes.
///
/// # Errors
/// If `artifact` is damaged, the whole passes 4 GiB, or writing fails.
pub fn save(mut artifact: File, memory: &[u8], out: &mut impl Write) -> Result<(), SaveError> {
    let len = artifact.metadata().map_err(InspectError::Read)?.len();
    artifact.rewind().map_err(InspectError::Read)?;
    let segments = Segments::find(artifact.try_clone().map_err(InspectError::Read)?, len)?;
    let runs = Runs::of(memory, MAX_RUNS);
    let mut saving = Saving { segments: &segments, runs: &runs, memory };
    artifact.rewind().map_err(InspectError::Read)?;
    let mut walk = FileWalk::new(artifact.try_clone().map_err(InspectError::Read)?, len);
    check_header(&mut walk, len)?;
    let mut module = Module::new();
    let mut sections = 0;
    while !walk.is_at_end() {
        sections += 1;
        let (id, size) = (walk.byte()?, u64::from(walk.number()?));
        if sections > MAX_SECTIONS {
            return Err(InspectError::malformed(walk.at(), "number of sections").into());
        }
        if id == SectionId::Data as u8 {
            walk.skip(size)?;
        } else {
            saving.section(id, &walk.bytes(size)?, &mut module)?;
        }
    }
    out.write_all(&module.finish()).map_err(SaveError::Write)?;
    saving.write_data(&mut artifact, out)
}

/// The data segments of the artifact that stay.
struct Segments {
    /// For each segment, its number among the passive ones if it is one.
    passive: Vec<Option<u32>>,
    /// Where the passive ones are in the file, in order.
    places: Vec<Segment>,
}

impl Segments {
    fn find(file: File, len: u64) -> Result<Self, SaveError> {
        let mut walk = FileWalk::new(file, len);
        check_header(&mut walk, len)?;
        let mut found = Self { passive: Vec::new(), places: Vec::new() };
        while !walk.is_at_end() {
            let (id, size) = (walk.byte()?, u64::from(walk.number()?));
            if id != SectionId::Data as u8 {
                walk.skip(size)?;
                continue;
            }
            for _ in 0..walk.number()? {
                let segment = segment_header(&mut walk)?;
                walk.skip(segment.len)?;
                found.passive.push((!segment.is_active).then_some(found.places.len() as u32));
                if !segment.is_active {
                    found.places.push(segment);
                }
            }
        }
        Ok(found)
    }
}

/// The parts of a memory that hold anything, as address and length.
#[derive(Debug, PartialEq, Eq)]
struct Runs(Vec<(u32, u32)>);

impl Runs {
    /// Whole pages, cut to their bytes that are not zero at both ends. If there are more than `most`,
    /// ever larger gaps are filled.
    fn of(memory: &[u8], most: usize) -> Self {
        let mut gap = 0;
        loop {
            let runs = Self::with_gaps(memory, gap);
            if runs.0.len() <= most {
                return runs;
            }
            gap = (gap * 2).max(PAGE);
        }
    }

    fn with_gaps(memory: &[u8], gap: usize) -> Self {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (number, page) in memory.chunks(PAGE).enumerate() {
            let Some(first) = page.iter().position(|byte| *byte != 0) else { continue };
            let last = page.iter().rposition(|byte| *byte != 0).unwrap_or(first);
            let (start, end) = (number * PAGE + first, number * PAGE + last + 1);
            match runs.last_mut() {
                // A gap below a page costs less than another segment's header and its engine's work.
                Some((_, to)) if start - *to <= gap.max(MIN_GAP) => *to = end,
                _ => runs.push((start, end)),
            }
        }
        Self(runs.into_iter().map(|(start, end)| (start as u32, (end - start) as u32)).collect())
    }
}

/// Zeros that are cheaper inside a segment than between two.
const MIN_GAP: usize = 16;

struct Saving<'a> {
    segments: &'a Segments,
    runs: &'a Runs,
    memory: &'a [u8],
}

impl Reencode for Saving<'_> {
    type Error = std::convert::Infallible;

    /// The passive segments come last, as they did.
    fn data_index(&mut self, data: u32) -> Result<u32, reencode::Error> {
        let passive = self.segments.passive.get(data as usize).copied().flatten();
        Ok(self.runs.0.len() as u32 + passive.unwrap_or(u32::MAX / 2))
    }
}

impl Saving<'_> {
    fn section(&mut self, id: u8, data: &[u8], to: &mut Module) -> Result<(), SaveError> {
        let reader = || BinaryReader::new(data, 0);
        match id {
            id if id == SectionId::Custom as u8 => custom(data, to)?,
            id if id == SectionId::Memory as u8 => {
                to.section(&self.grown(MemorySectionReader::new(reader())?)?);
            }
            id if id == SectionId::Global as u8 => {
                check_globals(GlobalSectionReader::new(reader())?)?;
                to.section(&RawSection { id, data });
            }
            id if id == SectionId::DataCount as u8 => {
                let count = self.count();
                to.section(&DataCountSection { count });
            }
            id if id == SectionId::Code as u8 => {
                let mut code = CodeSection::new();
                self.parse_code_section(&mut code, CodeSectionReader::new(reader())?)?;
                to.section(&code);
            }
            id => {
                to.section(&RawSection { id, data });
            }
        }
        Ok(())
    }

    /// The memory as large as it has become.
    fn grown(&mut self, section: MemorySectionReader<'_>) -> Result<MemorySection, SaveError> {
        let mut memories = MemorySection::new();
        for memory in section {
            let mut memory = self.memory_type(memory?)?;
            memory.minimum = memory.minimum.max((self.memory.len() as u64).div_ceil(WASM_PAGE));
            memories.memory(memory);
        }
        match memories.len() {
            1 => Ok(memories),
            count => Err(SaveError::Module(format!("it has {count} memories"))),
        }
    }

    fn count(&self) -> u32 {
        (self.runs.0.len() + self.segments.places.len()) as u32
    }

    fn write_data(&self, artifact: &mut File, out: &mut impl Write) -> Result<(), SaveError> {
        let mut count = Vec::new();
        self.count().encode(&mut count);
        let active =
            self.runs.0.iter().map(|run| active_header(*run).len() as u64 + u64::from(run.1));
        let passive = self
            .segments
            .places
            .iter()
            .map(|place| passive_header(place.len).len() as u64 + place.len);
        let len = count.len() as u64 + active.sum::<u64>() + passive.sum::<u64>();
        let mut header = vec![SectionId::Data as u8];
        u32::try_from(len).map_err(|_| SaveError::TooLarge(len))?.encode(&mut header);
        header.extend(count);
        out.write_all(&header).map_err(SaveError::Write)?;
        for run in &self.runs.0 {
            let bytes = &self.memory[run.0 as usize..][..run.1 as usize];
            out.write_all(&active_header(*run)).map_err(SaveError::Write)?;
            out.write_all(bytes).map_err(SaveError::Write)?;
        }
        for place in &self.segments.places {
            out.write_all(&passive_header(place.len)).map_err(SaveError::Write)?;
            copy(artifact, place, out)?;
        }
        Ok(())
    }
}

/// Everything as it is, but the manifest says that the program runs.
fn custom(data: &[u8], to: &mut Module) -> Result<(), SaveError> {
    let section = CustomSectionReader::new(BinaryReader::new(data, 0))?;
    let mut contents = section.data().to_vec();
    if section.name() == MANIFEST {
        let json = |source| InspectError::Json { section: MANIFEST, source };
        let manifest: Manifest = serde_json::from_slice(&contents).map_err(json)?;
        let manifest = Manifest { running: true, machine: None, ..manifest };
        contents = serde_json::to_vec(&manifest).map_err(json)?;
    }
    to.section(&CustomSection { name: section.name().into(), data: contents.into() });
    Ok(())
}

fn check_globals(section: GlobalSectionReader<'_>) -> Result<(), SaveError> {
    let mut mutable = 0;
    for global in section {
        mutable += u32::from(global?.ty.mutable);
    }
    match mutable {
        0 | 1 => Ok(()),
        count => Err(SaveError::Module(format!("it has {count} mutable globals"))),
    }
}

fn active_header((at, len): (u32, u32)) -> Vec<u8> {
    const ACTIVE: u8 = 0;
    const I32_CONST: u8 = 0x41;
    const END: u8 = 0x0b;
    let mut header = vec![ACTIVE, I32_CONST];
    at.cast_signed().encode(&mut header);
    header.push(END);
    len.encode(&mut header);
    header
}

fn passive_header(len: u64) -> Vec<u8> {
    const PASSIVE: u8 = 1;
    let mut header = vec![PASSIVE];
    // It was a segment's length before.
    u32::try_from(len).unwrap_or(u32::MAX).encode(&mut header);
    header
}

fn copy(artifact: &mut File, place: &Segment, out: &mut impl Write) -> Result<(), SaveError> {
    const PIECE: u64 = 1 << 20;
    artifact.seek(SeekFrom::Start(place.at)).map_err(InspectError::Read)?;
    let mut left = place.len;
    while left > 0 {
        let mut piece = Vec::new();
        let read = artifact.take(left.min(PIECE)).read_to_end(&mut piece);
        match read.map_err(InspectError::Read)? as u64 {
            0 => {
                let at = place.at + place.len - left;
                return Err(InspectError::CutOff { at, wanted: left, left: 0 }.into());
            }
            len => left -= len,
        }
        out.write_all(&piece).map_err(SaveError::Write)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_zeros_are_left_out_and_neighbours_joined() {
        let mut memory = vec![0; 8 * PAGE];
        memory[PAGE + 10..3 * PAGE - 7].fill(1);
        memory[5 * PAGE] = 2;
        memory[8 * PAGE - 1] = 3;
        let expected = [(PAGE + 10, 2 * PAGE - 17), (5 * PAGE, 1), (8 * PAGE - 1, 1)];
        let expected = expected.map(|(at, len)| (at as u32, len as u32));
        assert_eq!(Runs::of(&memory, 3).0, expected);
        assert_eq!(Runs::of(&memory, 2).0.len(), 1);
        assert!(Runs::of(&[0; 3 * PAGE], 0).0.is_empty());
    }

    #[test]
    fn headers_are_those_of_the_format() {
        assert_eq!(active_header((64, 3)), [0, 0x41, 0xc0, 0x00, 0x0b, 3]);
        assert_eq!(active_header((u32::MAX, 1)), [0, 0x41, 0x7f, 0x0b, 1]);
        assert_eq!(passive_header(300), [1, 0xac, 0x02]);
    }
}
