//! Puts an artifact into a WASI 0.2 component, so that stock runtimes give it their sockets.
//!
//! A component is three core modules: the program of crate `lithify-component`, the artifact as it is,
//! and between them a bridge that copies from one's memory to the other's, for no module of a compiler
//! names two. `wit-component` makes the frame around them, with stubs in the places of artifact and
//! bridge, for it joins functions only; what they are joined to is then changed here, and the artifact
//! itself is copied, never held whole.

use crate::imports::WASI;
use crate::inspect::Report;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasm_encoder::reencode::{self, Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, ComponentSection, Encode, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, ImportSection, InstanceSection, Instruction, MemorySection, MemoryType,
    Module, ModuleArg, TypeSection, ValType,
};
use wasmparser::{
    BinaryReader, CompositeInnerType, ExternalKind, FuncType, Instance, InstanceSectionReader,
    Parser, Payload, TypeRef,
};
use wit_component::{ComponentEncoder, LibraryInfo};

/// What exports of the program begin with that answer the artifact's imports.
const ANSWER: &str = "artifact_";
/// The import module of the program's that the bridge answers.
const BRIDGE: &str = "lithify-bridge";
/// The import module by which `wit-component` joins functions to the program.
const MAIN_MODULE: &str = "__main_module__";
/// The artifact's name in the component.
const ARTIFACT: &str = "lithify-artifact";
/// The entry and the memory of an artifact.
const START: &str = "_start";
const MEMORY: &str = "memory";

/// Bytes that are copied at once.
const CHUNK: usize = 1 << 20;

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// The artifact needs what the program does not have.
    #[error("the artifact imports `{0}`, which the component's program does not have")]
    Import(String),
    /// The program is none.
    #[error("the component's program: {0}")]
    Program(String),
    /// A section of a component is below 4 GiB.
    #[error("the artifact has {0} bytes, a component holds less than 4 GiB")]
    TooLarge(u64),
    /// The artifact cannot be read.
    #[error("cannot read: {0}")]
    Read(#[source] io::Error),
    /// The component cannot be written.
    #[error("cannot write: {0}")]
    Write(#[source] io::Error),
}

fn program_error(error: impl std::fmt::Display) -> ComponentError {
    ComponentError::Program(format!("{error:#}"))
}

/// Writes the component of the artifact in `from`, which is `report`'s, around `program`.
///
/// # Errors
/// If the program does not fit the artifact, or a file cannot be read or written.
pub fn write_component(
    program: &[u8],
    report: &Report,
    from: impl Read + Seek,
    to: impl Write,
) -> Result<(), ComponentError> {
    let len = report.sizes.file;
    let len = u32::try_from(len).map_err(|_| ComponentError::TooLarge(len))?;
    Frame::new(program, &report.imports)?.write(len, from, to)
}

fn copy(mut from: impl Read, len: u32, to: &mut impl Write) -> Result<(), ComponentError> {
    let mut chunk = vec![0; CHUNK];
    let mut left = len as usize;
    while left > 0 {
        let now = chunk.len().min(left);
        from.read_exact(&mut chunk[..now]).map_err(ComponentError::Read)?;
        to.write_all(&chunk[..now]).map_err(ComponentError::Write)?;
        left -= now;
    }
    Ok(())
}

/// A component without its artifact.
struct Frame {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Frame {
    fn new(program: &[u8], imports: &[String]) -> Result<Self, ComponentError> {
        let stubs = Stubs { artifact: artifact_stub(program, imports)?, bridge: bridge_stub() };
        let component = stubs.encode(program).map_err(program_error)?;
        stubs.replace(&component).map_err(program_error)
    }

    /// Writes the component of the artifact of `len` bytes in `from`.
    fn write(
        &self,
        len: u32,
        mut from: impl Read + Seek,
        mut to: impl Write,
    ) -> Result<(), ComponentError> {
        let mut before = self.before.clone();
        before.push(CORE_MODULE);
        len.encode(&mut before);
        from.seek(SeekFrom::Start(0)).map_err(ComponentError::Read)?;
        to.write_all(&before).map_err(ComponentError::Write)?;
        copy(from, len, &mut to)?;
        to.write_all(&self.after).map_err(ComponentError::Write)
    }
}

/// What `wit-component` joins.
struct Stubs {
    artifact: Vec<u8>,
    bridge: Vec<u8>,
}

impl Stubs {
    fn encode(&self, program: &[u8]) -> Result<Vec<u8>, impl std::fmt::Display> {
        let library = || LibraryInfo { instantiate_after_shims: false, arguments: Vec::new() };
        let adapter = WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
        ComponentEncoder::default()
            .module(program)
            .and_then(|to| to.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter))
            .and_then(|to| to.library(ARTIFACT, &self.artifact, library()))
            .and_then(|to| to.library(BRIDGE, &self.bridge, library()))
            .and_then(|to| to.validate(true).encode())
    }

    /// The component with the bridge in its place, cut where the artifact is.
    fn replace(&self, component: &[u8]) -> Result<Frame, reencode::Error> {
        let (mut joined, mut cut) = (component[..HEADER_LEN].to_vec(), None);
        let mut modules = Modules::default();
        for (id, range) in sections(component)? {
            let body = &component[range];
            match id {
                CORE_MODULE if body == self.artifact => {
                    modules.artifact = modules.count;
                    cut = Some(joined.len());
                }
                CORE_MODULE if body == self.bridge => {
                    modules.bridge = modules.count;
                    put_section(&mut joined, CORE_MODULE, &bridge());
                }
                CORE_INSTANCES => modules.join(body)?.append_to_component(&mut joined),
                id => put_section(&mut joined, id, body),
            }
            modules.count += u32::from(id == CORE_MODULE);
        }
        let after = joined.split_off(cut.unwrap_or_default());
        Ok(Frame { before: joined, after })
    }
}

/// Length of a component's magic number and version.
const HEADER_LEN: usize = 8;
const CORE_MODULE: u8 = 1;
const CORE_INSTANCES: u8 = 2;

/// The sections of a component: kind and where its body is.
fn sections(component: &[u8]) -> wasmparser::Result<Vec<(u8, Range<usize>)>> {
    let mut reader = BinaryReader::new(component, 0);
    reader.read_bytes(HEADER_LEN)?;
    let mut sections = Vec::new();
    while !reader.eof() {
        let (id, len) = (reader.read_u8()?, reader.read_var_u32()? as usize);
        let at = reader.original_position();
        reader.read_bytes(len)?;
        sections.push((id, at..at + len));
    }
    Ok(sections)
}

fn put_section(to: &mut Vec<u8>, id: u8, body: &[u8]) {
    to.push(id);
    body.encode(to);
}

/// The modules seen so far, and the instances.
#[derive(Default)]
struct Modules {
    count: u32,
    instances: u32,
    artifact: u32,
    bridge: u32,
    /// The artifact's instance.
    artifact_instance: u32,
}

impl Modules {
    /// Joins the artifact to the program's answers, and the bridge to the artifact.
    fn join(&mut self, body: &[u8]) -> Result<InstanceSection, reencode::Error> {
        let mut to = InstanceSection::new();
        let instances = InstanceSectionReader::new(BinaryReader::new(body, 0))?;
        for instance in instances {
            match instance? {
                Instance::Instantiate { module_index, args } => {
                    let args = args.iter().map(|arg| match arg.name {
                        MAIN_MODULE if module_index == self.artifact => (WASI, arg.index),
                        name => (name, arg.index),
                    });
                    let mut args: Vec<(&str, u32)> = args.collect();
                    if module_index == self.artifact {
                        self.artifact_instance = self.instances;
                    } else if module_index == self.bridge {
                        args.push((ARTIFACT, self.artifact_instance));
                    }
                    let args = args.into_iter().map(|(name, at)| (name, ModuleArg::Instance(at)));
                    to.instantiate(module_index, args);
                }
                Instance::FromExports(exports) => {
                    // Only the artifact is given answers, and only by their names.
                    let exports = exports.iter().map(|export| {
                        let name = export.name.strip_prefix(ANSWER).unwrap_or(export.name);
                        Ok((name, RoundtripReencoder.export_kind(export.kind)?, export.index))
                    });
                    to.export_items(exports.collect::<Result<Vec<_>, reencode::Error>>()?);
                }
            }
            self.instances += 1;
        }
        Ok(to)
    }
}

/// The name of a function that is imported from WASI.
fn wasi_name(import: &str) -> Option<&str> {
    import.strip_prefix(WASI)?.strip_prefix('.')
}

/// A module that imports the program's answers to `imports`, and exports what an artifact does.
fn artifact_stub(program: &[u8], imports: &[String]) -> Result<Vec<u8>, ComponentError> {
    let (mut types, mut to) = (TypeSection::new(), ImportSection::new());
    let answers = answers(program).map_err(program_error)?;
    for import in imports {
        let answer = wasi_name(import).map(|name| format!("{ANSWER}{name}"));
        let found = answers.iter().find(|(name, _)| Some(*name) == answer.as_deref());
        let (name, ty) = found.ok_or_else(|| ComponentError::Import(import.clone()))?;
        let ty = RoundtripReencoder.func_type(ty.clone()).map_err(program_error)?;
        to.import(MAIN_MODULE, name, EntityType::Function(types.len()));
        types.ty().func_type(&ty);
    }
    let entry = types.len();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(entry);
    let mut memories = MemorySection::new();
    memories.memory(any_memory());
    let mut exports = ExportSection::new();
    exports.export(MEMORY, ExportKind::Memory, 0);
    exports.export(START, ExportKind::Func, imports.len() as u32);
    let mut code = CodeSection::new();
    code.function(&function(&[Instruction::Unreachable]));
    let mut module = Module::new();
    module.section(&types).section(&to).section(&functions).section(&memories);
    module.section(&exports).section(&code);
    Ok(module.finish())
}

/// The functions by which the program answers, and their types.
fn answers(program: &[u8]) -> wasmparser::Result<Vec<(&str, FuncType)>> {
    let (mut types, mut functions, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(program) {
        match payload? {
            Payload::TypeSection(section) => {
                for group in section {
                    types.extend(group?.into_types().map(|ty| match ty.composite_type.inner {
                        CompositeInnerType::Func(ty) => Some(ty),
                        _ => None,
                    }));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Func(ty) = import?.ty {
                        functions.push(ty);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    functions.push(ty?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let ty = functions.get(export.index as usize).map(|ty| *ty as usize);
                    let ty = ty.and_then(|ty| types.get(ty)).and_then(Option::clone);
                    if export.kind == ExternalKind::Func && export.name.starts_with(ANSWER) {
                        found.extend(ty.map(|ty| (export.name, ty)));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A memory of any size.
fn any_memory() -> MemoryType {
    MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None }
}

fn function(instructions: &[Instruction<'_>]) -> Function {
    let mut function = Function::new([]);
    for instruction in instructions.iter().chain([&Instruction::End]) {
        function.instruction(instruction);
    }
    function
}

/// The bridge between the memories of program (0) and artifact (1).
fn bridge() -> Vec<u8> {
    let mut imports = ImportSection::new();
    imports.import("env", MEMORY, any_memory());
    imports.import(ARTIFACT, MEMORY, any_memory());
    imports.import(ARTIFACT, START, EntityType::Function(NO_PARAMETERS));
    let copy = |src_mem, dst_mem| {
        let [to, from, len] = [0, 1, 2].map(Instruction::LocalGet);
        function(&[to, from, len, Instruction::MemoryCopy { src_mem, dst_mem }])
    };
    bridge_module(&imports, &[copy(1, 0), copy(0, 1), function(&[Instruction::Call(0)])], 1)
}

/// What has its exports, and of its imports the one that `wit-component` knows.
fn bridge_stub() -> Vec<u8> {
    let mut imports = ImportSection::new();
    imports.import("env", MEMORY, any_memory());
    bridge_module(&imports, &[(); 3].map(|()| function(&[Instruction::Unreachable])), 0)
}

/// Indices of the bridge's types.
const COPY: u32 = 0;
const NO_PARAMETERS: u32 = 1;

fn bridge_module(imports: &ImportSection, bodies: &[Function; 3], first: u32) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 3], []);
    types.ty().function([], []);
    let (mut functions, mut exports) = (FunctionSection::new(), ExportSection::new());
    let mut code = CodeSection::new();
    let names = [("bridge_read", COPY), ("bridge_write", COPY), ("bridge_start", NO_PARAMETERS)];
    for ((body, (name, ty)), number) in bodies.iter().zip(names).zip(first..) {
        functions.function(ty);
        exports.export(name, ExportKind::Func, number);
        code.function(body);
    }
    let mut module = Module::new();
    module.section(&types).section(imports).section(&functions).section(&exports);
    module.section(&code);
    module.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    const PROGRAM: &str = r#"(module
        (import "lithify-bridge" "bridge_start" (func))
        (import "lithify-bridge" "bridge_read" (func (param i32 i32 i32)))
        (import "lithify-bridge" "bridge_write" (func (param i32 i32 i32)))
        (memory (export "memory") 1)
        (func (export "artifact_fd_sync") (param i32) (result i32) i32.const 0)
        (func (export "artifact_proc_exit") (param i32)))"#;

    const ARTIFACT_TEXT: &str = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
        (import "wasi_snapshot_preview1" "fd_sync" (func (param i32) (result i32)))
        (memory (export "memory") 7)
        (func (export "_start"))
        (data "rom"))"#;

    fn imports(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("wasi_snapshot_preview1.{name}")).collect()
    }

    #[test]
    fn the_artifact_is_joined_as_it_is() {
        let program = wat::parse_str(PROGRAM).unwrap();
        let artifact = wat::parse_str(ARTIFACT_TEXT).unwrap();
        let frame = Frame::new(&program, &imports(&["proc_exit", "fd_sync"])).unwrap();
        let mut component = Vec::new();
        frame.write(artifact.len() as u32, Cursor::new(&artifact), &mut component).unwrap();
        wasmparser::Validator::new().validate_all(&component).unwrap();
        let modules =
            sections(&component).unwrap().into_iter().filter(|(id, _)| *id == CORE_MODULE);
        let modules: Vec<_> = modules.map(|(_, range)| &component[range]).collect();
        assert_eq!(modules.iter().filter(|module| ***module == artifact).count(), 1);
        assert_eq!(modules.iter().filter(|module| ***module == bridge()).count(), 1);
    }

    #[test]
    fn what_the_program_lacks_is_named() {
        let program = wat::parse_str(PROGRAM).unwrap();
        for import in ["wasi_snapshot_preview1.sock_recv", "env.fd_sync", "fd_sync"] {
            let error = Frame::new(&program, &[import.to_owned()]).err().expect("an error");
            assert!(error.to_string().contains(&format!("imports `{import}`")), "{error}");
        }
        let error = Frame::new(b"no module", &[]).err().expect("an error");
        assert!(matches!(error, ComponentError::Program(_)), "{error}");
    }

    #[test]
    fn an_artifact_that_is_cut_off_is_an_error() {
        let program = wat::parse_str(PROGRAM).unwrap();
        let frame = Frame::new(&program, &imports(&["fd_sync"])).unwrap();
        let error = frame.write(9, Cursor::new(b"12345678"), Vec::new()).unwrap_err();
        assert!(matches!(error, ComponentError::Read(_)), "{error}");
    }
}
