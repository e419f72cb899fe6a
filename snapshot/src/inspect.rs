//! Reads an artifact without running it, whatever its size and however damaged.

use crate::file_walk::FileWalk;
use crate::sections::{IMAGE_CONFIG, MANIFEST, Manifest};
use lithify_rom::{Header, RomError};
use std::io::{self, Read, Seek};
use wasm_encoder::SectionId;
use wasmparser::{BinaryReader, ExportSectionReader, ImportSectionReader};

/// `\0asm`, version 1, layer 0.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";
const WASM_MAGIC: &[u8] = b"\0asm";
/// Custom, import and export sections are read whole: none of ours comes near this, and a hostile
/// file cannot make us hold more.
const MAX_METADATA: u64 = 16 << 20;
/// A module has 13 kinds of sections and few custom ones; millions of empty ones are an attack.
const MAX_SECTIONS: usize = 1000;
/// Engines accept no more.
const MAX_SEGMENTS: u32 = 100_000;

/// Why a file cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file could not be read.
    #[error("cannot read: {0}")]
    Read(#[source] io::Error),
    /// Not WebAssembly, or not a core module.
    #[error("not an artifact: {0}")]
    NotAnArtifact(&'static str),
    /// The file ends inside a section.
    #[error("the file is cut off: {wanted} bytes expected at offset {at}, {left} are left")]
    CutOff {
        /// Where in the file.
        at: u64,
        /// Bytes needed.
        wanted: u64,
        /// Bytes there.
        left: u64,
    },
    /// The bytes are no module.
    #[error("damaged: bad {what} at offset {at}")]
    Malformed {
        /// Where in the file.
        at: u64,
        /// What was expected there.
        what: &'static str,
    },
    /// The root file system is packed, and badly.
    #[error("damaged: {0}")]
    Rom(#[from] RomError),
    /// A section of ours is not JSON of the expected shape.
    #[error("damaged section `{section}`: {source}")]
    Json {
        /// The section's name.
        section: &'static str,
        /// What the parser says.
        source: serde_json::Error,
    },
}

impl InspectError {
    pub(crate) fn malformed(at: u64, what: &'static str) -> Self {
        Self::Malformed { at, what }
    }
}

/// What an artifact holds, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sizes {
    /// The whole file.
    pub file: u64,
    /// The emulator's code.
    pub code: u64,
    /// The frozen machine: memory contents at the freeze.
    pub image: u64,
    /// The root file system, as it is stored.
    pub rom: u64,
}

/// How an artifact carries its root file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct RomReport {
    /// Length of the image in bytes.
    pub raw: u64,
    /// What it takes in the artifact, in bytes.
    pub stored: u64,
    /// How chunks are compressed, if it is packed.
    pub compression: Option<&'static str>,
    /// Number of chunks, if it is packed.
    pub chunks: Option<u64>,
    /// What a chunk stands for, in bytes, if it is packed.
    pub chunk_size: Option<u64>,
}

impl RomReport {
    fn read(start: &[u8], stored: u64) -> Result<Self, RomError> {
        Ok(match Header::read(start)? {
            None => Self { raw: stored, stored, ..Self::default() },
            Some(header) if header.stored_len() != stored => {
                return Err(RomError::Header("it is not as long as its segment"));
            }
            Some(header) => Self {
                raw: header.raw_len(),
                stored,
                compression: Some(header.codec.name()),
                chunks: Some(header.chunks()),
                chunk_size: Some(header.chunk_len()),
            },
        })
    }
}

/// One artifact as [`inspect`] sees it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// `lithify.manifest`.
    pub manifest: Manifest,
    /// `lithify.image-config`.
    pub image_config: serde_json::Value,
    /// Sizes of the parts.
    pub sizes: Sizes,
    /// The root file system.
    pub rom: RomReport,
    /// Imports as `module.name`.
    pub imports: Vec<String>,
    /// Names of the exports.
    pub exports: Vec<String>,
    /// Whether instantiation alone runs code.
    pub has_start: bool,
}

#[derive(Default)]
struct Parts {
    manifest: Option<Manifest>,
    image_config: Option<serde_json::Value>,
    sizes: Sizes,
    rom: RomReport,
    imports: Vec<String>,
    exports: Vec<String>,
    has_start: bool,
}

/// Reads the artifact in `from`, which is `len` bytes long. Code and data are skipped.
///
/// # Errors
/// If it is no artifact, or damaged.
pub fn inspect(from: impl Read + Seek, len: u64) -> Result<Report, InspectError> {
    let mut walk = FileWalk::new(from, len);
    check_header(&mut walk, len)?;
    let mut parts = Parts::default();
    parts.sizes.file = len;
    for _ in 0..MAX_SECTIONS {
        if walk.is_at_end() {
            return parts.report();
        }
        parts.read_section(&mut walk)?;
    }
    Err(InspectError::malformed(walk.at(), "number of sections"))
}

pub(crate) fn check_header(
    walk: &mut FileWalk<impl Read + Seek>,
    len: u64,
) -> Result<(), InspectError> {
    let start = walk.bytes(len.min(CORE_MODULE.len() as u64))?;
    if start == CORE_MODULE {
        return Ok(());
    }
    Err(InspectError::NotAnArtifact(match &start[..] {
        start if start.starts_with(b"\x7fELF") => {
            "this is a compiled form, the .wasm it was made from can be inspected"
        }
        start if start.starts_with(WASM_MAGIC) && start.len() == CORE_MODULE.len() => {
            "a component, which other runtimes run; give the artifact that it was made from"
        }
        start if WASM_MAGIC.starts_with(start) || start.starts_with(WASM_MAGIC) => {
            "the file is cut off"
        }
        _ => "not WebAssembly",
    }))
}

impl Parts {
    fn read_section(&mut self, walk: &mut FileWalk<impl Read + Seek>) -> Result<(), InspectError> {
        let id = walk.byte()?;
        let len = u64::from(walk.number()?);
        let at = walk.at();
        walk.expect(len)?;
        match id {
            id if id == SectionId::Custom as u8 => self.read_custom(&metadata(walk, len)?, at)?,
            id if id == SectionId::Import as u8 => {
                self.imports = import_names(&metadata(walk, len)?, at)?;
            }
            id if id == SectionId::Export as u8 => {
                self.exports = export_names(&metadata(walk, len)?, at)?;
            }
            id if id == SectionId::Data as u8 => self.read_data(walk, at + len)?,
            id => {
                self.has_start |= id == SectionId::Start as u8;
                if id == SectionId::Code as u8 {
                    self.sizes.code = len;
                }
                walk.skip(len)?;
            }
        }
        if walk.at() == at + len { Ok(()) } else { Err(InspectError::malformed(at, "section")) }
    }

    fn read_custom(&mut self, section: &[u8], at: u64) -> Result<(), InspectError> {
        let mut reader = BinaryReader::new(section, 0);
        let name = reader.read_string().map_err(|_| InspectError::malformed(at, "section name"))?;
        let data = &section[reader.original_position()..];
        match name {
            MANIFEST => self.manifest = Some(json(MANIFEST, data)?),
            IMAGE_CONFIG => self.image_config = Some(json(IMAGE_CONFIG, data)?),
            _ => {}
        }
        Ok(())
    }

    /// The rootfs is the last segment and the only passive one that is not empty.
    fn read_data(
        &mut self,
        walk: &mut FileWalk<impl Read + Seek>,
        end: u64,
    ) -> Result<(), InspectError> {
        let at = walk.at();
        let count = walk.number()?;
        if count > MAX_SEGMENTS {
            return Err(InspectError::malformed(at, "number of data segments"));
        }
        for _ in 0..count {
            let segment = segment_header(walk)?;
            let is_rom = !segment.is_active;
            let start =
                if is_rom { walk.bytes(segment.len.min(Header::LEN as u64))? } else { Vec::new() };
            walk.skip(segment.len - start.len() as u64)?;
            if walk.at() > end {
                return Err(InspectError::malformed(at, "data section"));
            }
            if segment.is_active {
                self.sizes.image += segment.len;
            } else {
                self.sizes.rom = segment.len;
                self.rom = RomReport::read(&start, segment.len)?;
            }
        }
        Ok(())
    }

    fn report(self) -> Result<Report, InspectError> {
        let missing = InspectError::NotAnArtifact("a WebAssembly module that lithify did not make");
        match (self.manifest, self.image_config) {
            (Some(manifest), Some(image_config)) => Ok(Report {
                manifest,
                image_config,
                sizes: self.sizes,
                rom: self.rom,
                imports: self.imports,
                exports: self.exports,
                has_start: self.has_start,
            }),
            _ => Err(missing),
        }
    }
}

/// One data segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) is_active: bool,
    /// Where in the file its bytes are.
    pub(crate) at: u64,
    pub(crate) len: u64,
}

/// Reads what is in front of a segment; the walk then stands at its first byte.
pub(crate) fn segment_header(
    walk: &mut FileWalk<impl Read + Seek>,
) -> Result<Segment, InspectError> {
    const I32_CONST: u8 = 0x41;
    const END: u8 = 0x0b;
    let at = walk.at();
    let is_active = match walk.byte()? {
        0 => true,
        1 => false,
        _ => return Err(InspectError::malformed(at, "data segment kind")),
    };
    if is_active {
        let opcode = walk.byte()?;
        // A signed LEB128 ends where an unsigned one does; the address itself is of no interest.
        let mut ended = false;
        for _ in 0..5 {
            ended = walk.byte()? & 0x80 == 0;
            if ended {
                break;
            }
        }
        if opcode != I32_CONST || !ended || walk.byte()? != END {
            return Err(InspectError::malformed(at, "data segment address"));
        }
    }
    let len = u64::from(walk.number()?);
    Ok(Segment { is_active, at: walk.at(), len })
}

fn metadata(walk: &mut FileWalk<impl Read + Seek>, len: u64) -> Result<Vec<u8>, InspectError> {
    if len > MAX_METADATA {
        return Err(InspectError::malformed(walk.at(), "section length"));
    }
    walk.bytes(len)
}

fn json<T: serde::de::DeserializeOwned>(
    section: &'static str,
    data: &[u8],
) -> Result<T, InspectError> {
    serde_json::from_slice(data).map_err(|source| InspectError::Json { section, source })
}

fn import_names(section: &[u8], at: u64) -> Result<Vec<String>, InspectError> {
    let read = || -> wasmparser::Result<Vec<String>> {
        ImportSectionReader::new(BinaryReader::new(section, 0))?
            .into_imports()
            .map(|import| import.map(|import| format!("{}.{}", import.module, import.name)))
            .collect()
    };
    read().map_err(|_| InspectError::malformed(at, "import section"))
}

fn export_names(section: &[u8], at: u64) -> Result<Vec<String>, InspectError> {
    let read = || -> wasmparser::Result<Vec<String>> {
        ExportSectionReader::new(BinaryReader::new(section, 0))?
            .into_iter()
            .map(|export| export.map(|export| export.name.to_owned()))
            .collect()
    };
    read().map_err(|_| InspectError::malformed(at, "export section"))
}
