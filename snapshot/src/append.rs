//! Appends translated functions to the emulator's module.
//!
//! The functions get the indices behind all others and are put at the end of the module's table,
//! which grows by them. What was there keeps its index. This comes after the freeze and before
//! [`seal`](crate::seal); the exports by which the build talked to the emulator go.

use std::ops::Range;

use wasm_encoder::reencode::{self, Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, ConstExpr, ElementSection, Elements, ExportSection, FunctionSection, Module,
    RawSection, TableSection, TypeSection, ValType,
};
use wasmparser::{CompositeInnerType, FuncType, Parser, Payload, TypeRef};

use lithify_translate::Function;

use crate::hints;

/// The table that Rust's function pointers are indices of.
const TABLE: u32 = 0;
/// What exports of the emulator begin with that only the build calls.
pub(crate) const BUILD_EXPORT: &str = "lithify_";

/// The module does not have the expected shape.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct AppendError(String);

impl From<wasmparser::Error> for AppendError {
    fn from(error: wasmparser::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<reencode::Error> for AppendError {
    fn from(error: reencode::Error) -> Self {
        Self(error.to_string())
    }
}

/// What of a module decides the indices of appended things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index of the type of translated functions.
    pub(crate) function_type: u32,
    /// Whether that type has to be added.
    is_new_type: bool,
    /// Index of the first appended function.
    pub(crate) first_function: u32,
    /// Number of the table.
    pub(crate) table: u32,
    /// Index in the table of the first appended function.
    pub(crate) first_element: u32,
}

fn is_translated(ty: &FuncType) -> bool {
    use wasmparser::ValType::{I32, I64};
    ty.params() == [I32, I64, I32] && ty.results() == [I64]
}

impl Place {
    pub(crate) fn find(wasm: &[u8]) -> Result<Self, AppendError> {
        let (mut types, mut found, mut functions, mut elements) = (0, None, 0, None);
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        for ty in group?.into_types() {
                            match ty.composite_type.inner {
                                CompositeInnerType::Func(ty) if is_translated(&ty) => {
                                    found.get_or_insert(types);
                                }
                                _ => {}
                            }
                            types += 1;
                        }
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        functions += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                    }
                }
                Payload::FunctionSection(section) => functions += section.count(),
                Payload::TableSection(section) => {
                    let first = section.into_iter().next().transpose()?;
                    elements = first.and_then(|table| u32::try_from(table.ty.initial).ok());
                }
                _ => {}
            }
        }
        Ok(Self {
            function_type: found.unwrap_or(types),
            is_new_type: found.is_none(),
            first_function: functions,
            table: TABLE,
            first_element: elements.ok_or_else(|| AppendError("it has no table".into()))?,
        })
    }
}

/// `wasm` with `functions` at `place`.
pub(crate) fn append(
    wasm: &[u8],
    place: Place,
    functions: &[Function],
) -> Result<Vec<u8>, AppendError> {
    if Place::find(wasm)? != place {
        return Err(AppendError("the freeze has moved its functions".into()));
    }
    let mut appending = Appending { wasm, place, functions, code: CodeSection::new(), left: 0 };
    let mut to = Module::new();
    for payload in Parser::new(0).parse_all(wasm) {
        appending.section(payload?, &mut to)?;
    }
    Ok(to.finish())
}

struct Appending<'a> {
    wasm: &'a [u8],
    place: Place,
    functions: &'a [Function],
    code: CodeSection,
    /// Functions of the code section that are still to come.
    left: u32,
}

impl Appending<'_> {
    fn count(&self) -> u32 {
        self.functions.len() as u32
    }

    fn section(&mut self, payload: Payload<'_>, to: &mut Module) -> Result<(), AppendError> {
        let same = &mut RoundtripReencoder;
        match payload {
            Payload::TypeSection(section) => {
                let mut types = TypeSection::new();
                same.parse_type_section(&mut types, section)?;
                if self.place.is_new_type {
                    let parameters = [ValType::I32, ValType::I64, ValType::I32];
                    types.ty().function(parameters, [ValType::I64]);
                }
                to.section(&types);
            }
            Payload::FunctionSection(section) => {
                let mut functions = FunctionSection::new();
                same.parse_function_section(&mut functions, section)?;
                for _ in self.functions {
                    functions.function(self.place.function_type);
                }
                to.section(&functions);
            }
            Payload::TableSection(section) => {
                let mut tables = TableSection::new();
                for (number, table) in section.into_iter().enumerate() {
                    let mut ty = same.table_type(table?.ty)?;
                    if number == TABLE as usize {
                        ty.minimum += u64::from(self.count());
                        ty.maximum = ty.maximum.map(|max| max + u64::from(self.count()));
                    }
                    tables.table(ty);
                }
                to.section(&tables);
            }
            Payload::ExportSection(section) => {
                let mut exports = ExportSection::new();
                for export in section {
                    let export = export?;
                    if !export.name.starts_with(BUILD_EXPORT) {
                        same.parse_export(&mut exports, export)?;
                    }
                }
                to.section(&exports);
            }
            Payload::ElementSection(section) => {
                let mut elements = ElementSection::new();
                same.parse_element_section(&mut elements, section)?;
                self.elements(&mut elements);
                to.section(&elements);
            }
            Payload::CodeSectionStart { count, .. } => self.left = count,
            Payload::CodeSectionEntry(body) => {
                self.code.raw(&self.wasm[body.range()]);
                self.left -= 1;
                if self.left == 0 {
                    for function in self.functions {
                        self.code.raw(&function.body);
                    }
                    let unlikely = self.functions.iter().map(|function| &function.unlikely[..]);
                    hints::put(to, (self.place.first_function..).zip(unlikely));
                    to.section(&self.code);
                }
            }
            Payload::Version { .. } | Payload::End(_) => {}
            other => {
                let (id, range): (u8, Range<usize>) = other
                    .as_section()
                    .ok_or_else(|| AppendError(format!("unexpected part: {other:?}")))?;
                to.section(&RawSection { id, data: &self.wasm[range] });
            }
        }
        Ok(())
    }

    fn elements(&self, elements: &mut ElementSection) {
        let first = self.place.first_function;
        let functions: Vec<u32> = (first..first + self.count()).collect();
        // Segments are not to be empty for the sake of engines that look at each.
        if !functions.is_empty() {
            let offset = ConstExpr::i32_const(self.place.first_element.cast_signed());
            elements.active(None, &offset, Elements::Functions(functions.into()));
        }
    }
}
