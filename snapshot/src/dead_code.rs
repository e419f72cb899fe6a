//! Leaves out the functions that an artifact has no use for.
//!
//! Half of what boots a machine, trains and rehearses is called by the build alone. Once the exports that
//! led there are gone, no call does, and such a function's body becomes a single trap. Its index stays, and so
//! does everybody else's.

use wasm_encoder::{CodeSection, Module, RawSection};
use wasmparser::{
    ConstExpr, ElementItems, ExternalKind, FunctionBody, Operator, Parser, Payload, TypeRef,
};

/// No locals, `unreachable`, `end`.
const TRAP: [u8; 3] = [0x00, 0x00, 0x0b];

/// What of a module leads to functions.
#[derive(Default)]
struct Calls<'a> {
    imported: usize,
    /// Functions that are reached from outside, or by a table.
    roots: Vec<u32>,
    bodies: Vec<FunctionBody<'a>>,
}

/// `wasm` without the bodies of functions that neither an export nor a table leads to.
pub(crate) fn remove(wasm: &[u8]) -> wasmparser::Result<Vec<u8>> {
    let live = Calls::of(wasm)?.live()?;
    let (mut to, mut code, mut bodies) = (Module::new(), CodeSection::new(), live.iter());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::CodeSectionEntry(body) => {
                let is_live = bodies.next().is_some_and(|is_live| *is_live);
                code.raw(if is_live { &wasm[body.range()] } else { &TRAP });
                if bodies.len() == 0 {
                    to.section(&code);
                }
            }
            other => {
                if let Some((id, range)) = other.as_section().filter(|_| !is_code(&other)) {
                    to.section(&RawSection { id, data: &wasm[range] });
                }
            }
        }
    }
    Ok(to.finish())
}

fn is_code(payload: &Payload<'_>) -> bool {
    matches!(payload, Payload::CodeSectionStart { .. })
}

impl<'a> Calls<'a> {
    fn of(wasm: &'a [u8]) -> wasmparser::Result<Self> {
        let mut calls = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            calls.section(payload?)?;
        }
        Ok(calls)
    }

    fn section(&mut self, payload: Payload<'a>) -> wasmparser::Result<()> {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.imported += usize::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    self.add_constant(&global?.init_expr)?;
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    self.roots.extend((export.kind == ExternalKind::Func).then_some(export.index));
                }
            }
            Payload::StartSection { func, .. } => self.roots.push(func),
            Payload::ElementSection(section) => {
                for element in section {
                    match element?.items {
                        ElementItems::Functions(functions) => {
                            for function in functions {
                                self.roots.push(function?);
                            }
                        }
                        ElementItems::Expressions(_, expressions) => {
                            for expression in expressions {
                                self.add_constant(&expression?)?;
                            }
                        }
                    }
                }
            }
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            _ => {}
        }
        Ok(())
    }

    fn add_constant(&mut self, expression: &ConstExpr<'_>) -> wasmparser::Result<()> {
        for operator in expression.get_operators_reader() {
            self.roots.extend(callee(&operator?));
        }
        Ok(())
    }

    /// For each function of the code section, whether it can be called.
    fn live(mut self) -> wasmparser::Result<Vec<bool>> {
        let mut live = vec![false; self.bodies.len()];
        while let Some(function) = self.roots.pop() {
            let Some(index) = (function as usize).checked_sub(self.imported) else { continue };
            let Some(is_live) = live.get_mut(index) else { continue };
            if !std::mem::replace(is_live, true) {
                for operator in self.bodies[index].get_operators_reader()? {
                    self.roots.extend(callee(&operator?));
                }
            }
        }
        Ok(live)
    }
}

/// The function that an instruction names.
fn callee(operator: &Operator<'_>) -> Option<u32> {
    match operator {
        Operator::Call { function_index }
        | Operator::ReturnCall { function_index }
        | Operator::RefFunc { function_index } => Some(*function_index),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_leads_to_becomes_a_trap() {
        let wasm = wat::parse_str(
            r#"(module
                (import "a" "b" (func))
                (table 2 funcref)
                (func $exported (export "f") (result i32) call $called)
                (func $called (result i32) i32.const 1)
                (func $dead (result i32) call $dead_too)
                (func $dead_too (result i32) i32.const 2)
                (func $in_table i32.const 3 drop)
                (elem (i32.const 1) $in_table)
                (data "kept"))"#,
        )
        .expect("text");
        let less = remove(&wasm).expect("a module");
        wasmparser::validate(&less).expect("still one");
        let bodies = |wasm: &[u8]| -> Vec<Vec<u8>> {
            let bodies = Calls::of(wasm).expect("a module").bodies;
            bodies.iter().map(|body| wasm[body.range()].to_vec()).collect()
        };
        let (before, after) = (bodies(&wasm), bodies(&less));
        assert_eq!(
            after,
            [&before[0], &before[1], &TRAP.to_vec(), &TRAP.to_vec(), &before[4]].map(Clone::clone)
        );
        assert!(less.windows(4).any(|bytes| bytes == b"kept"));
        assert_eq!(remove(&less).expect("a module"), less);
    }
}
