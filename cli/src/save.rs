//! `lithify run --save` and `--name`: runs that end as artifacts.

use crate::build::output::new_file_beside;
use crate::error::CliError;
use crate::freeze_point::FreezePoint;
use crate::inspect::report_of;
use crate::run_name::{Name, NamedRun};
use clap::Args;
use lithify_control::Readiness;
use lithify_runner::{Freezer, OutputWatch, Standstill};
use lithify_snapshot::check;
use signal_hook::iterator::Signals;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

const BUFFER: usize = 1 << 20;
/// `signal(7)`: the power fails. No container is ever sent this one.
const SIGPWR: i32 = rustix::process::Signal::POWER.as_raw();

/// Options that say when a run becomes an artifact.
#[derive(Debug, Clone, Args)]
pub(crate) struct SaveOptions {
    /// End the run by keeping the machine, the program running in it, as another artifact
    #[arg(long, value_name = "FILE.wasm")]
    save: Option<PathBuf>,
    /// When: the program listens at port:NUMBER, prints line:REGEX, makes file:PATH or is executed
    /// (exec), or this process gets SIGPWR (signal)
    #[arg(
        long,
        requires = "save",
        value_name = "port:NUMBER|line:REGEX|file:PATH|exec|signal",
        default_value = "signal"
    )]
    save_on: SaveOn,
    /// The name by which `lithify freeze` finds this run
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
}

/// `--save-on`.
#[derive(Debug, Clone)]
enum SaveOn {
    Point(FreezePoint),
    Signal,
}

impl FromStr for SaveOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "signal" => Ok(Self::Signal),
            "notify" => {
                Err("only `lithify build --warm` gives programs the socket for that".into())
            }
            _ => match text.parse() {
                Ok(point) => Ok(Self::Point(point)),
                Err(error) if error.starts_with("expected port:NUMBER") => {
                    Err("expected port:NUMBER, line:REGEX, file:PATH, exec or signal".into())
                }
                Err(error) => Err(error),
            },
        }
    }
}

impl SaveOptions {
    /// Whether this run may end as an artifact.
    fn is_wanted(&self) -> bool {
        self.save.is_some() || self.name.is_some()
    }

    /// What init is to wait for.
    pub(crate) fn freeze_at(&self) -> Option<Readiness> {
        match (&self.save, &self.save_on) {
            (Some(_), SaveOn::Point(point)) => point.inside(),
            _ => None,
        }
    }

    /// What looks at the output, if it is to be looked at.
    pub(crate) fn watch(&self, freezer: &Freezer) -> Option<OutputWatch> {
        let (Some(_), SaveOn::Point(point)) = (&self.save, &self.save_on) else { return None };
        let pattern = point.line()?;
        Some(OutputWatch::new(freezer.clone(), move |line| pattern.is_match(line)))
    }

    /// Prepares for a run of the artifact in `wasm`; nothing if it is not to be kept.
    pub(crate) fn prepare(
        &self,
        wasm: &Path,
        freezer: &Freezer,
        has_mounts: bool,
    ) -> Result<Option<Saving>, CliError> {
        if !self.is_wanted() {
            return Ok(None);
        }
        let refusal = has_mounts.then_some("host directories are mounted, which cannot be kept");
        if let (Some(_), Some(refusal)) = (&self.save, refusal) {
            return Err(CliError::usage(format!("--save: {refusal}")));
        }
        if self.save.is_some() && matches!(self.save_on, SaveOn::Signal) {
            freeze_on_signal(freezer.clone())?;
        }
        let named = self.name.as_ref().map(|name| NamedRun::listen(name, freezer.clone(), refusal));
        Ok(Some(Saving {
            source: open_module(wasm)?,
            path: self.save.clone(),
            named: named.transpose()?,
        }))
    }
}

fn freeze_on_signal(freezer: Freezer) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::own(format!("cannot take signals: {error}"));
    let mut signals = Signals::new([SIGPWR]).map_err(failed)?;
    let wait = move || signals.forever().for_each(|_| freezer.freeze());
    std::thread::Builder::new().name("save".into()).spawn(wait).map(drop).map_err(failed)
}

/// The module that a run comes from; its code and files are taken from there.
fn open_module(path: &Path) -> Result<File, CliError> {
    const MAGIC: &[u8; 4] = b"\0asm";
    let named = |error: std::io::Error| CliError::own(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(named)?;
    let mut start = Vec::new();
    (&file).take(MAGIC.len() as u64).read_to_end(&mut start).map_err(named)?;
    match &start[..] == MAGIC {
        true => Ok(file),
        false => Err(CliError::usage(format!(
            "{}: only runs of a .wasm can be saved, a compiled form lacks what is to be kept",
            path.display()
        ))),
    }
}

/// A run that may end as an artifact.
pub(crate) struct Saving {
    source: File,
    path: Option<PathBuf>,
    named: Option<NamedRun>,
}

impl Saving {
    /// Writes the artifact, and tells who asked for it.
    pub(crate) fn save(self, machine: &Standstill) -> Result<(), CliError> {
        let request = self.named.as_ref().and_then(NamedRun::take_request);
        let path = request.as_ref().map(|request| request.path.clone()).or(self.path);
        let Some(path) = path else {
            return Err(CliError::own("the machine stands still, but nobody asked for it"));
        };
        let saved = write(self.source, machine, &path);
        if let Some(request) = request {
            request.answer(saved.as_ref().err());
        }
        let len = saved?;
        eprintln!("saved as {} ({})", path.display(), indicatif::BinaryBytes(len));
        Ok(())
    }

    /// What is wrong with a program that has ended with `code` already.
    pub(crate) fn missed(&self, code: u32) -> Option<CliError> {
        let path = self.path.as_ref()?.display();
        Some(CliError::own(format!(
            "the program ended with exit code {code} before it was saved: {path} was not written"
        )))
    }
}

/// Writes the artifact, and checks what was written; its length.
fn write(source: File, machine: &Standstill, path: &Path) -> Result<u64, CliError> {
    let failed = |error: &dyn std::fmt::Display| {
        CliError::own(format!("cannot save the machine as {}: {error}", path.display()))
    };
    let file = new_file_beside(path).map_err(|error| failed(&error))?;
    let mut out = BufWriter::with_capacity(BUFFER, file);
    lithify_snapshot::save(source, machine.memory(), &mut out).map_err(|error| failed(&error))?;
    out.flush().map_err(|error| failed(&error))?;
    let file = out.into_inner().map_err(|error| failed(&error))?;
    let report = report_of(file.path())?;
    check(&report).map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(report.sizes.file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_warm_and_a_signal() {
        assert!(matches!("signal".parse(), Ok(SaveOn::Signal)));
        assert!(matches!("exec".parse(), Ok(SaveOn::Point(FreezePoint::Inside(Readiness::Exec)))));
        for (text, expected) in [
            ("notify", "only `lithify build --warm`"),
            ("now", "file:PATH, exec or signal"),
            ("port:x", "from 1 to 65535"),
        ] {
            let message = text.parse::<SaveOn>().unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn only_modules_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.cwasm");
        std::fs::write(&path, b"\x7fELF").unwrap();
        let message = open_module(&path).unwrap_err().to_string();
        assert!(message.contains("only runs of a .wasm can be saved"), "{message}");
        std::fs::write(&path, b"\0asm\x01\0\0\0").unwrap();
        open_module(&path).unwrap();
    }
}
