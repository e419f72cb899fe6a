//! What the user says in a variable: the options of `lithify run` that can be kept here.

use std::ffi::OsString;
use std::os::wasi::ffi::OsStringExt;

use lexopt::prelude::*;
use lithify_control::Overrides;
use lithify_hostnet::{ExtraHost, NameServer, NetworkMode, Published, host_lines};

/// The variable with the options, as a bundle has it.
pub(crate) const VARIABLE: &str = "LITHIFY_OPTIONS";

/// Meaning of the variable.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) env: Vec<Vec<u8>>,
    pub(crate) mode: NetworkMode,
    pub(crate) published: Vec<Published>,
    pub(crate) hosts: Vec<ExtraHost>,
    pub(crate) name_servers: Vec<NameServer>,
    overrides: Overrides,
}

impl Options {
    pub(crate) fn read() -> Result<Self, lexopt::Error> {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        let mut options = Self::default();
        options.parse(lexopt::Parser::from_args(words(&text)))?;
        Ok(options)
    }

    /// What the container is asked for.
    pub(crate) fn overrides(&self) -> Overrides {
        let hosts = host_lines(&self.hosts, self.mode == NetworkMode::Host).into_bytes();
        Overrides { hosts, ..self.overrides.clone() }
    }

    fn parse(&mut self, mut from: lexopt::Parser) -> Result<(), lexopt::Error> {
        while let Some(argument) = from.next()? {
            match argument {
                Short('e') | Long("env") => self.variable(from.value()?.into_vec()),
                Short('p') | Long("publish") => self.published.push(from.value()?.parse()?),
                Long("network" | "net") => self.mode = from.value()?.parse()?,
                Long("dns") => self.name_servers.push(from.value()?.parse()?),
                Long("add-host") => self.hosts.push(from.value()?.parse()?),
                Long("entrypoint") => {
                    let program = from.value()?.into_vec();
                    let words = if program.is_empty() { Vec::new() } else { vec![program] };
                    self.overrides.entrypoint = Some(words);
                }
                Short('w') | Long("workdir") => {
                    self.overrides.cwd = Some(from.value()?.into_vec());
                }
                Short('u') | Long("user") => self.overrides.user = Some(from.value()?.into_vec()),
                Long("hostname") => self.overrides.hostname = Some(from.value()?.into_vec()),
                // It is connected whatever is said.
                Short('i') | Long("interactive") => {}
                Short('v') | Long("volume" | "mount") => {
                    return Err("host directories are the runtime's: `--dir HOST::GUEST`".into());
                }
                Short('t') | Long("tty") => {
                    return Err("a terminal needs `lithify run`: WASI 0.2 cannot set one".into());
                }
                Value(word) => {
                    let word = word.to_string_lossy().into_owned();
                    return Err(format!("expected options, found `{word}`").into());
                }
                unknown => return Err(unknown.unexpected()),
            }
        }
        Ok(())
    }

    /// `NAME` alone has the value that it has already.
    fn variable(&mut self, written: Vec<u8>) {
        if written.contains(&b'=') {
            self.env.push(written);
        }
    }
}

/// Words between blanks, or lines where there are several.
fn words(text: &str) -> Vec<OsString> {
    let end = if text.contains('\n') { '\n' } else { ' ' };
    text.split(end).filter(|word| !word.is_empty()).map(OsString::from).collect()
}
