//! Seals the rootfs into a frozen module.
//!
//! The rootfs becomes ONE passive data segment at the end of the data section. It lies outside
//! linear memory, costs a start nothing and is mapped from the compiled form as it is touched.
//! The emulator reaches it through the function that used to be the import `rom_read` and is now
//! a bounds check and one `memory.init`.
//!
//! The segment holds the image as it is, or packed (see `lithify_rom`); the code is the same for both,
//! and `rom_len` is the length of the image. [`Engine::compile`](lithify_runner::Engine::compile)
//! unpacks it again by exchanging that one segment.
//!
//! Sealing is a pass from module to module and comes last: what adds functions, tables or segments to a
//! frozen module does so before, and finds the imports from `lithify` still there. Functions and
//! segments of the input keep their meaning whatever their number.
//!
//! The imports from `lithify` leave the import section and return, in the same order, as the
//! first defined functions. So functions that were defined keep their indices, and only
//! the remaining imports move up.

use crate::hints;
use crate::imports::{BuildImport, LITHIFY};
use crate::{Frozen, Sections, StoredRom};
use lithify_rom::MAGIC;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    BlockType, CodeSection, CustomSection, DataCountSection, ElementSection, Encode, ExportSection,
    Function, FunctionSection, GlobalSection, ImportSection, Module, RawSection, Section,
    SectionId, TableSection,
};
use wasmparser::{BinaryReader, FuncType, Import, Parser, Payload, TypeRef};

/// A section's length is a `u32`, and so are the engine's offsets into all data of a module, of which
/// the frozen memory is one piece with the zeros in it. More segments would not lift this.
const MAX_DATA: u64 = u32::MAX as u64;
/// Flag of a passive data segment.
const PASSIVE: u8 = 1;
/// The only memory of an emulator.
const MEMORY: u32 = 0;
const WASM_PAGE: u64 = 64 << 10;

/// Why a frozen module could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The frozen module does not have the expected shape.
    #[error("the frozen machine cannot be sealed: {0}")]
    Module(String),
    /// Rootfs and memory image together pass what a module can hold.
    #[error(
        "the rootfs image is too large: {rom} bytes and {memory} bytes of frozen memory, \
         a WebAssembly module holds {MAX_DATA} bytes of data{}",
        if *packed { "" } else { "; packed it is smaller (--compress)" }
    )]
    TooLarge {
        /// Length of the rootfs image as it is stored, in bytes.
        rom: u64,
        /// Length of the frozen memory in bytes.
        memory: u64,
        /// Whether the image is packed.
        packed: bool,
    },
    /// A reader could not tell the rootfs image from a packed one.
    #[error("the rootfs image starts like a packed one")]
    Ambiguous,
    /// The rootfs image could not be read.
    #[error("cannot read the rootfs image: {0}")]
    ReadRom(#[source] io::Error),
    /// The rootfs image is not as long as announced.
    #[error("the rootfs image changed while it was read: {found} bytes, {expected} expected")]
    RomLength {
        /// Bytes read.
        found: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// The artifact could not be written.
    #[error("cannot write the artifact: {0}")]
    Write(#[source] io::Error),
}

impl From<wasmparser::Error> for SealError {
    fn from(error: wasmparser::Error) -> Self {
        Self::Module(error.to_string())
    }
}

impl From<reencode::Error> for SealError {
    fn from(error: reencode::Error) -> Self {
        match error {
            reencode::Error::ParseError(error) => error.into(),
            other => Self::Module(other.to_string()),
        }
    }
}

/// Writes the artifact: `frozen` with `rom` inside. The rootfs is streamed, never held in memory.
///
/// # Errors
/// If the parts pass 4 GiB, `rom` is not as long as it says, or reading or writing fails.
pub fn seal(
    frozen: &Frozen,
    rom: &StoredRom,
    sections: &Sections,
    out: &mut impl Write,
) -> Result<(), SealError> {
    let outline = Outline::read(&frozen.module)?;
    let data_len = outline.sealed_data_len(rom)?;
    let module =
        Sealing { outline: &outline, rom_len: rom.raw_len }.module(&frozen.module, sections)?;
    let mut header = vec![u8::from(SectionId::Data)];
    data_len.encode(&mut header);
    (outline.data_count + 1).encode(&mut header);
    let mut rom_header = vec![PASSIVE];
    leb_u32(rom.stored_len).encode(&mut rom_header);
    for part in [&module[..], &header, outline.segments, &rom_header] {
        out.write_all(part).map_err(SealError::Write)?;
    }
    copy_rom(rom, out)
}

/// Checked by [`Outline::sealed_data_len`] before anything is written.
fn leb_u32(len: u64) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn encoded_len(value: u32) -> u64 {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    bytes.len() as u64
}

fn copy_rom(rom: &StoredRom, out: &mut impl Write) -> Result<(), SealError> {
    const PIECE: usize = 1 << 20;
    let expected = rom.stored_len;
    let mut buffer = vec![0; PIECE];
    let mut found = 0;
    loop {
        let len = match rom.file.read_at(&mut buffer, found) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(SealError::ReadRom(error)),
        };
        if found == 0 && buffer[..len].starts_with(&MAGIC) != rom.packed {
            return Err(SealError::Ambiguous);
        }
        found += len as u64;
        if found > expected || len == 0 {
            break;
        }
        out.write_all(&buffer[..len]).map_err(SealError::Write)?;
    }
    if found == expected { Ok(()) } else { Err(SealError::RomLength { found, expected }) }
}

/// What must be known of a module before the first section is written.
struct Outline<'a> {
    imports: Vec<Import<'a>>,
    /// For each imported function, in order: its type index, and what it is if it goes.
    functions: Vec<(u32, Option<BuildImport>)>,
    /// Length of the memory in bytes.
    memory_len: u64,
    data_count: u32,
    /// The data section without its count.
    segments: &'a [u8],
}

impl<'a> Outline<'a> {
    fn read(wasm: &'a [u8]) -> Result<Self, SealError> {
        let mut types: Vec<FuncType> = Vec::new();
        let mut imports = Vec::new();
        let mut memory_len = 0;
        let mut data = None;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(section) => {
                    types = section.into_iter_err_on_gc_types().collect::<Result<_, _>>()?;
                }
                Payload::ImportSection(section) => {
                    imports = section.into_imports().collect::<Result<_, _>>()?;
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        memory_len = memory?.initial.saturating_mul(WASM_PAGE);
                    }
                }
                Payload::DataSection(section) => {
                    let mut reader = BinaryReader::new(&wasm[section.range()], 0);
                    let count = reader.read_var_u32()?;
                    data = Some((count, reader.read_bytes(reader.bytes_remaining())?));
                }
                _ => {}
            }
        }
        let functions = imported_functions(&imports, &types)?;
        let (data_count, segments) =
            data.ok_or_else(|| SealError::Module("it has no data section".into()))?;
        Ok(Self { imports, functions, memory_len, data_count, segments })
    }

    /// Length of the data section with the rootfs in it, without its header.
    fn sealed_data_len(&self, rom: &StoredRom) -> Result<u32, SealError> {
        let (memory, rom_len, packed) = (self.memory_len, rom.stored_len, rom.packed);
        let counts = encoded_len(self.data_count + 1) + 1 + encoded_len(leb_u32(rom_len));
        let section = (self.segments.len() as u64 + counts).saturating_add(rom_len);
        match u32::try_from(section) {
            Ok(section) if memory.saturating_add(rom_len) <= MAX_DATA => Ok(section),
            _ => Err(SealError::TooLarge { rom: rom_len, memory, packed }),
        }
    }

    fn kept(&self) -> usize {
        self.functions.iter().filter(|(_, gone)| gone.is_none()).count()
    }

    /// The functions that return as defined ones, in order.
    fn returning(&self) -> impl Iterator<Item = (u32, BuildImport)> {
        self.functions.iter().filter_map(|(ty, gone)| Some((*ty, (*gone)?)))
    }

    fn index_of(&self, function: u32) -> u32 {
        let Some((_, gone)) = self.functions.get(function as usize) else { return function };
        let before = &self.functions[..function as usize];
        let gone_before = before.iter().filter(|(_, gone)| gone.is_some()).count();
        let index =
            if gone.is_some() { self.kept() + gone_before } else { before.len() - gone_before };
        index as u32
    }
}

fn imported_functions(
    imports: &[Import<'_>],
    types: &[FuncType],
) -> Result<Vec<(u32, Option<BuildImport>)>, SealError> {
    let mut functions = Vec::new();
    for import in imports {
        let TypeRef::Func(ty) = import.ty else { continue };
        let gone = (import.module == LITHIFY).then(|| {
            BuildImport::of_name(import.name)
                .filter(|known| types.get(ty as usize).is_some_and(|ty| known.has_type(ty)))
                .ok_or_else(|| {
                    SealError::Module(format!("unknown or mistyped import `{}`", import.name))
                })
        });
        functions.push((ty, gone.transpose()?));
    }
    Ok(functions)
}

struct Sealing<'a> {
    outline: &'a Outline<'a>,
    rom_len: u64,
}

impl Reencode for Sealing<'_> {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error> {
        Ok(self.outline.index_of(function))
    }
}

impl Sealing<'_> {
    /// Everything but the data section.
    fn module(mut self, wasm: &[u8], sections: &Sections) -> Result<Vec<u8>, SealError> {
        let mut to = Module::new();
        let custom = sections.encode().map_err(|error| SealError::Module(error.to_string()))?;
        for (name, data) in custom {
            to.section(&CustomSection { name: name.into(), data: data.into() });
        }
        for payload in Parser::new(0).parse_all(wasm) {
            self.section(payload?, wasm, &mut to)?;
        }
        Ok(to.finish())
    }

    fn section(
        &mut self,
        payload: Payload<'_>,
        wasm: &[u8],
        to: &mut Module,
    ) -> Result<(), SealError> {
        match payload {
            Payload::ImportSection(_) => self.imports(to),
            Payload::FunctionSection(section) => {
                let mut functions = FunctionSection::new();
                for (ty, _) in self.outline.returning() {
                    functions.function(ty);
                }
                self.parse_function_section(&mut functions, section)?;
                put(to, &functions)
            }
            Payload::TableSection(section) => {
                let mut tables = TableSection::new();
                self.parse_table_section(&mut tables, section)?;
                put(to, &tables)
            }
            Payload::GlobalSection(section) => {
                let mut globals = GlobalSection::new();
                self.parse_global_section(&mut globals, section)?;
                put(to, &globals)
            }
            Payload::ExportSection(section) => {
                let mut exports = ExportSection::new();
                self.parse_export_section(&mut exports, section)?;
                put(to, &exports)
            }
            Payload::ElementSection(section) => {
                let mut elements = ElementSection::new();
                self.parse_element_section(&mut elements, section)?;
                put(to, &elements)
            }
            Payload::StartSection { .. } => {
                Err(SealError::Module("it has a start function".into()))
            }
            Payload::CodeSectionStart { range, .. } => {
                put(to, &DataCountSection { count: self.outline.data_count + 1 })?;
                self.code(&wasm[range], to)
            }
            // No index of a function in these.
            Payload::TypeSection(section) => raw(to, SectionId::Type, &wasm[section.range()]),
            Payload::MemorySection(section) => raw(to, SectionId::Memory, &wasm[section.range()]),
            Payload::TagSection(section) => raw(to, SectionId::Tag, &wasm[section.range()]),
            // Written by hand after all others, and the count before the code.
            Payload::DataSection(_) | Payload::DataCountSection { .. } => Ok(()),
            // It names functions that were defined, which call no import.
            Payload::CustomSection(section) if section.name() == hints::SECTION => {
                put(to, &CustomSection { name: section.name().into(), data: section.data().into() })
            }
            // Names, relocations and the like hold indices that have changed.
            Payload::CustomSection(_) => Ok(()),
            Payload::Version { .. } | Payload::CodeSectionEntry(_) | Payload::End(_) => Ok(()),
            other => Err(SealError::Module(format!("unexpected part: {other:?}"))),
        }
    }

    fn imports(&mut self, to: &mut Module) -> Result<(), SealError> {
        let mut imports = ImportSection::new();
        for import in self.outline.imports.iter().filter(|import| import.module != LITHIFY) {
            self.parse_import(&mut imports, *import)?;
        }
        put(to, &imports)
    }

    fn code(&mut self, section: &[u8], to: &mut Module) -> Result<(), SealError> {
        let mut code = CodeSection::new();
        for (_, import) in self.outline.returning() {
            code.function(&self.replacement(import));
        }
        let bodies = wasmparser::CodeSectionReader::new(BinaryReader::new(section, 0))?;
        self.parse_code_section(&mut code, bodies)?;
        put(to, &code)
    }

    fn replacement(&self, import: BuildImport) -> Function {
        let mut body = Function::new([]);
        let mut code = body.instructions();
        match import {
            BuildImport::RomLen => code.i64_const(self.rom_len.cast_signed()),
            BuildImport::RomRead => code
                // memory.init takes the low half of the offset only.
                .local_get(1)
                .i64_const(32)
                .i64_shr_u()
                .i64_eqz()
                .if_(BlockType::Empty)
                .local_get(0)
                .local_get(1)
                .i32_wrap_i64()
                .local_get(2)
                .memory_init(MEMORY, self.outline.data_count)
                .else_()
                .unreachable()
                .end(),
            BuildImport::BootLen
            | BuildImport::BootRead
            | BuildImport::BootLog
            | BuildImport::BootOutput => code.unreachable(),
        };
        body.instructions().end();
        body
    }
}

fn put(to: &mut Module, section: &impl Section) -> Result<(), SealError> {
    to.section(section);
    Ok(())
}

fn raw(to: &mut Module, id: SectionId, data: &[u8]) -> Result<(), SealError> {
    put(to, &RawSection { id: id.into(), data })
}

#[cfg(test)]
mod tests {
    use lithify_translate::Function as Translated;
    use wasmparser::{BranchHintFunction, KnownCustom, Operator};

    use super::*;
    use crate::append::{Place, append};

    const EMULATOR: &str = r#"(module
      (import "lithify" "rom_len" (func $rom_len (result i64)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory 1) (table 1 funcref) (elem (i32.const 0) $exit)
      (func (export "_start") (drop (call $rom_len)) (call $exit (i32.const 0)))
      (data (i32.const 8) "frozen"))"#;

    /// Goes on in function `next` unless its first parameter is zero.
    fn translated(next: u32) -> Translated {
        let mut function = Function::new([]);
        function.instructions().block(BlockType::Empty).local_get(0).i32_eqz();
        let unlikely = vec![function.byte_len() as u32];
        let mut code = function.instructions();
        code.br_if(0).local_get(0).local_get(1).local_get(2).return_call(next);
        code.end().local_get(1).end();
        Translated { body: function.into_raw_body(), unlikely }
    }

    #[test]
    fn unlikely_branches_are_named_in_the_artifact() {
        let emulator = wat::parse_str(EMULATOR).expect("valid");
        let place = Place::find(&emulator).expect("it has a table");
        let functions = [translated(place.first_function + 1), translated(place.first_function)];
        let frozen = append(&emulator, place, &functions).expect("it has not moved");
        let outline = Outline::read(&frozen).expect("an emulator");
        let (mut sealing, mut module) = (Sealing { outline: &outline, rom_len: 7 }, Module::new());
        for payload in Parser::new(0).parse_all(&frozen) {
            sealing.section(payload.expect("valid"), &frozen, &mut module).expect("it has a place");
        }
        let sealed = module.finish();
        let (mut hints, mut bodies) = (Vec::new(), Vec::new());
        // The data section, which is written apart, is missing at the end.
        for payload in Parser::new(0).parse_all(&sealed).map_while(Result::ok) {
            match payload {
                Payload::CustomSection(section) => {
                    let KnownCustom::BranchHints(functions) = section.as_known() else { continue };
                    hints.extend(functions.into_iter().map(|function| function.expect("valid")));
                }
                Payload::CodeSectionEntry(body) => bodies.push(body),
                _ => {}
            }
        }
        // One import is left; the other came back as the first function.
        let imported = 1;
        assert_eq!(hints.len(), functions.len());
        for BranchHintFunction { func, hints } in hints {
            let body = &bodies[func as usize - imported];
            let hints: Vec<_> = hints.into_iter().map(|hint| hint.expect("valid")).collect();
            assert_eq!(hints.len(), 1);
            assert!(!hints[0].taken);
            let mut operators =
                body.get_operators_reader().expect("valid").into_iter_with_offsets();
            let at = body.range().start + hints[0].func_offset as usize;
            let found = operators.find_map(|found| found.ok().filter(|(_, place)| *place == at));
            assert!(matches!(found, Some((Operator::BrIf { .. }, _))), "{found:?}");
        }
    }
}
