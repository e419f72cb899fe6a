//! Writes bundles.

use super::{ELF_MAGIC, OS_ABI, WASMTIME};
use crate::RunnerError;
use crate::cache::write_sparse;
use std::fs::Permissions;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The largest page of the processors that bundles are for: what is mapped starts at a multiple.
const ALIGNMENT: u64 = 64 << 10;
const EXECUTABLE: u32 = 0o755;
/// `EI_CLASS` and `EI_DATA` of 64-bit little-endian files.
const CLASS_AND_DATA: [u8; 2] = [2, 1];
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const PT_INTERP: u32 = 3;
const SHT_NULL: u32 = 0;
const HEADER_LEN: usize = 64;
const PROGRAM_HEADER_LEN: u16 = 56;
const SECTION_HEADER_LEN: u16 = 64;

/// Why two files do not make a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The runner is not one.
    #[error("not a runner: {0}")]
    Runner(&'static str),
    /// Runner and artifact are for different processors.
    #[error(
        "the runner is for another processor (ELF machine {runner}, the artifact's is {compiled})"
    )]
    Machine {
        /// `e_machine` of the runner.
        runner: u16,
        /// `e_machine` of the compiled artifact.
        compiled: u16,
    },
    /// The compiled artifact is not what the engine writes.
    #[error("the compiled artifact has no sections where it says")]
    Compiled,
    /// The bundle could not be written.
    #[error(transparent)]
    Write(#[from] RunnerError),
}

/// Numbers in an ELF file, `None` where it ends before.
trait Elf {
    fn u16(&self, at: usize) -> Option<u16>;
    fn u32(&self, at: usize) -> Option<u32>;
    fn u64(&self, at: usize) -> Option<u64>;
}

impl Elf for [u8] {
    fn u16(&self, at: usize) -> Option<u16> {
        self.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
    }
}

/// Fields of the ELF header.
mod field {
    pub(super) const TYPE: usize = 16;
    pub(super) const MACHINE: usize = 18;
    pub(super) const PROGRAM_HEADERS: usize = 32;
    pub(super) const SECTION_HEADERS: usize = 40;
    pub(super) const FLAGS: usize = 48;
    pub(super) const PROGRAM_HEADER_LEN: usize = 54;
    pub(super) const PROGRAM_HEADER_COUNT: usize = 56;
    pub(super) const SECTION_HEADER_LEN: usize = 58;
    pub(super) const SECTION_COUNT: usize = 60;
}

/// Writes the bundle of a runner's file and what [`Engine::compile`](crate::Engine::compile) returned,
/// whole or not at all.
///
/// # Errors
/// If either is not what it should be, or the file cannot be written.
pub fn write_bundle(path: &Path, runner: &[u8], mut compiled: Vec<u8>) -> Result<(), BundleError> {
    check_runner(runner)?;
    let machine = |file: &[u8]| file.u16(field::MACHINE).unwrap_or_default();
    if machine(runner) != machine(&compiled) {
        let (runner, compiled) = (machine(runner), machine(&compiled));
        return Err(BundleError::Machine { runner, compiled });
    }
    let shift = (runner.len() as u64).next_multiple_of(ALIGNMENT);
    let header = shared_header(runner, &compiled, shift).ok_or(BundleError::Compiled)?;
    move_sections(&mut compiled, shift).ok_or(BundleError::Compiled)?;
    let write = |source| RunnerError::Write { path: path.into(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(EXECUTABLE))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(write)?;
    let mut put = || {
        file.write_all(&header)?;
        file.write_all(&runner[HEADER_LEN..])?;
        file.seek(SeekFrom::Start(shift))?;
        write_sparse(file.as_file_mut(), &compiled)
    };
    put().map_err(write)?;
    file.persist(path).map_err(|error| write(error.error))?;
    Ok(())
}

fn check_runner(runner: &[u8]) -> Result<(), BundleError> {
    let wrong = |what| Err(BundleError::Runner(what));
    if !runner.starts_with(ELF_MAGIC) || runner.get(4..6) != Some(&CLASS_AND_DATA) {
        return wrong("no 64-bit ELF program");
    }
    if runner[OS_ABI] == WASMTIME {
        return wrong("a bundle or a compiled artifact");
    }
    let headers = program_header_types(runner);
    match (runner.u16(field::TYPE), headers) {
        (_, None) => wrong("the file is cut off"),
        (Some(ET_EXEC | ET_DYN), Some(types)) if !types.is_empty() => {
            if types.contains(&PT_INTERP) {
                return wrong("it needs libraries, a static one is built by `make runner`");
            }
            Ok(())
        }
        _ => wrong("no program"),
    }
}

fn program_header_types(runner: &[u8]) -> Option<Vec<u32>> {
    let start = usize::try_from(runner.u64(field::PROGRAM_HEADERS)?).ok()?;
    let count = runner.u16(field::PROGRAM_HEADER_COUNT)?;
    let len = runner.u16(field::PROGRAM_HEADER_LEN)?;
    if count > 0 && len != PROGRAM_HEADER_LEN {
        return None;
    }
    (0..usize::from(count)).map(|i| runner.u32(start.checked_add(i * usize::from(len))?)).collect()
}

/// The runner's header, with the marks and section headers of the artifact.
fn shared_header(runner: &[u8], compiled: &[u8], shift: u64) -> Option<[u8; HEADER_LEN]> {
    let mut header: [u8; HEADER_LEN] = *runner.first_chunk()?;
    let theirs: &[u8; HEADER_LEN] = compiled.first_chunk()?;
    header[OS_ABI] = theirs[OS_ABI];
    let sections = compiled.u64(field::SECTION_HEADERS)?.checked_add(shift)?;
    header[field::SECTION_HEADERS..][..8].copy_from_slice(&sections.to_le_bytes());
    header[field::FLAGS..][..4].copy_from_slice(&theirs[field::FLAGS..][..4]);
    // Length, number, and which one holds the names: the last fields.
    header[field::SECTION_HEADER_LEN..].copy_from_slice(&theirs[field::SECTION_HEADER_LEN..]);
    Some(header)
}

fn move_sections(compiled: &mut [u8], shift: u64) -> Option<()> {
    const KIND: usize = 4;
    const OFFSET: usize = 24;
    let start = usize::try_from(compiled.u64(field::SECTION_HEADERS)?).ok()?;
    let len = compiled.u16(field::SECTION_HEADER_LEN).filter(|len| *len == SECTION_HEADER_LEN)?;
    for number in 0..usize::from(compiled.u16(field::SECTION_COUNT)?) {
        let at = start.checked_add(number * usize::from(len))?;
        let header = compiled.get_mut(at..at.checked_add(len.into())?)?;
        if header.u32(KIND)? == SHT_NULL {
            continue;
        }
        let moved = header.u64(OFFSET)?.checked_add(shift)?;
        header[OFFSET..][..8].copy_from_slice(&moved.to_le_bytes());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Engine;

    /// The header of a static program without anything behind it.
    fn runner(machine: u16) -> Vec<u8> {
        let mut elf = b"\x7fELF\x02\x01\x01\0".to_vec();
        elf.resize(HEADER_LEN + usize::from(PROGRAM_HEADER_LEN), 0);
        for (at, value) in [
            (field::TYPE, ET_DYN),
            (field::MACHINE, machine),
            (field::PROGRAM_HEADERS, HEADER_LEN as u16),
            (field::PROGRAM_HEADER_LEN, PROGRAM_HEADER_LEN),
            (field::PROGRAM_HEADER_COUNT, 1),
            (HEADER_LEN, 1),
        ] {
            elf[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        elf
    }

    fn compiled() -> Vec<u8> {
        let text = r#"(module (memory (export "memory") 1) (data (i32.const 0) "x")
            (func (export "_start")))"#;
        Engine::new().unwrap().compile(&wat::parse_str(text).unwrap()).unwrap()
    }

    #[test]
    fn bundle_is_a_program_to_the_kernel_and_a_module_to_the_engine() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app");
        let compiled = compiled();
        let runner = runner(compiled.u16(field::MACHINE).unwrap());
        write_bundle(&path, &runner, compiled).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let kernel_s = field::TYPE..field::SECTION_HEADERS;
        assert_eq!(bytes[kernel_s.clone()], runner[kernel_s]);
        assert_eq!(bytes[HEADER_LEN..runner.len()], runner[HEADER_LEN..]);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, EXECUTABLE);
        let engine = Engine::new().unwrap();
        assert!(crate::Artifact::open_precompiled(&engine, &path).is_ok());
    }

    #[test]
    fn files_that_are_no_runners_are_named() {
        let ours = compiled().u16(field::MACHINE).unwrap();
        let change = |at: usize, byte: u8| {
            let mut elf = runner(ours);
            elf[at] = byte;
            elf
        };
        let path = Path::new("/nonexistent/app");
        for (file, expected) in [
            (b"#!/bin/sh\n".to_vec(), "no 64-bit ELF program"),
            (Vec::new(), "no 64-bit ELF program"),
            (change(4, 1), "no 64-bit ELF program"),
            (change(OS_ABI, WASMTIME), "a bundle or a compiled artifact"),
            (change(field::TYPE, 1), "no program"),
            (change(field::PROGRAM_HEADER_COUNT, 0), "no program"),
            (change(field::PROGRAM_HEADER_COUNT, 9), "cut off"),
            (change(field::PROGRAM_HEADERS + 7, 255), "cut off"),
            (change(HEADER_LEN, 3), "needs libraries"),
            (runner(ours)[..40].to_vec(), "cut off"),
            (runner(ours + 1), "for another processor"),
        ] {
            let message = write_bundle(path, &file, compiled()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message} lacks {expected}");
        }
        let error = write_bundle(path, &runner(ours), compiled()).unwrap_err();
        assert!(matches!(error, BundleError::Write(_)), "{error}");
    }

    #[test]
    fn compiled_forms_that_are_cut_off_are_refused() {
        let whole = compiled();
        let runner = runner(whole.u16(field::MACHINE).unwrap());
        for len in [HEADER_LEN, HEADER_LEN + 1, whole.len() - 1] {
            let cut = whole[..len].to_vec();
            let error = write_bundle(Path::new("/nonexistent/app"), &runner, cut).unwrap_err();
            assert!(matches!(error, BundleError::Compiled), "{len}: {error}");
        }
    }
}
