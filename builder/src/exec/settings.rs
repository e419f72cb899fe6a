//! Instructions that change the image's configuration only.

use std::ops::RangeInclusive;

use lithify_image::HealthCheck as ImageHealthCheck;

use super::{Applier, ExecError, StageState};
use crate::dockerfile::Step;
use crate::error::{Error, Hint};
use crate::instruction::{ArgDeclaration, CommandLine, HealthCheck, Instruction, Pairs};
use crate::parser::Pair;

/// Signals of Linux without their SIG.
const SIGNALS: [&str; 35] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN",
];

/// Highest signal number of Linux.
const MAX_SIGNAL: u8 = 64;

impl Applier<'_> {
    pub(super) fn setting(&self, state: &mut StageState, step: &Step) -> Result<(), Error> {
        match &step.instruction {
            Instruction::Arg(declarations) => self.arg(state, declarations, step)?,
            Instruction::Env(pairs) => {
                for pair in self.pairs(state, pairs, step)? {
                    state.set_env(&pair.name, &pair.value)?;
                }
            }
            Instruction::Label(pairs) => {
                let pairs = self.pairs(state, pairs, step)?.into_iter();
                state.config.config.labels.extend(pairs.map(|pair| (pair.name, pair.value)));
            }
            Instruction::Cmd(line) => {
                state.config.config.cmd = Some(command(state, line));
                state.own_cmd = true;
            }
            Instruction::Entrypoint(line) => {
                state.config.config.entrypoint = Some(command(state, line));
                // The base's CMD are arguments of the base's entrypoint.
                if !state.own_cmd {
                    state.config.config.cmd = None;
                }
            }
            Instruction::Shell(words) => state.config.config.shell = Some(words.clone()),
            Instruction::User(user) => {
                state.config.config.user = self.not_empty(state, user, "USER", step)?;
            }
            Instruction::Expose(ports) => self.expose(state, ports, step)?,
            Instruction::Volume(paths) => {
                for path in paths {
                    let path = self.not_empty(state, path, "VOLUME", step)?;
                    state.config.config.volumes.insert(path);
                }
            }
            Instruction::StopSignal(signal) => {
                let signal = self.not_empty(state, signal, "STOPSIGNAL", step)?;
                check_signal(&signal)?;
                state.config.config.stop_signal = Some(signal);
            }
            Instruction::HealthCheck(check) => {
                state.config.config.healthcheck = Some(health_check(check));
            }
            Instruction::OnBuild(trigger) => {
                state.config.config.on_build.push(trigger.text.clone());
            }
            Instruction::Maintainer(name) => state.config.author = Some(name.clone()),
            Instruction::From(_)
            | Instruction::Run(_)
            | Instruction::Transfer(_)
            | Instruction::Workdir(_) => unreachable!("applied elsewhere"),
        }
        state.record(&step.text, self.epoch, true);
        Ok(())
    }

    fn arg(
        &self,
        state: &mut StageState,
        declarations: &[ArgDeclaration],
        step: &Step,
    ) -> Result<(), Error> {
        for declaration in declarations {
            let default = match &declaration.default {
                Some(word) => Some(self.expand(state, word, step)?),
                None => None,
            };
            if let Some(value) = self.plan.args.in_stage(&declaration.name, default) {
                state.set_arg(&declaration.name, value)?;
            }
        }
        Ok(())
    }

    /// All values see the variables as they were before the instruction.
    fn pairs(&self, state: &StageState, pairs: &Pairs, step: &Step) -> Result<Vec<Pair>, Error> {
        let mut expanded = Vec::new();
        for pair in &pairs.pairs {
            expanded.push(Pair {
                name: self.expand(state, &pair.name, step)?,
                value: self.expand(state, &pair.value, step)?,
            });
        }
        Ok(expanded)
    }

    fn not_empty(
        &self,
        state: &StageState,
        word: &str,
        keyword: &'static str,
        step: &Step,
    ) -> Result<String, Error> {
        self.expand_some(state, word, step, ExecError::Empty { keyword })
    }

    fn expose(&self, state: &mut StageState, ports: &[String], step: &Step) -> Result<(), Error> {
        for word in ports {
            for port in self.expand_words(state, word, step)?.1 {
                let (numbers, protocol) =
                    parse_ports(&port).ok_or_else(|| ExecError::BadPort { port: port.clone() })?;
                let exposed = numbers.map(|number| format!("{number}/{protocol}"));
                state.config.config.exposed_ports.extend(exposed);
            }
        }
        Ok(())
    }
}

fn command(state: &StageState, line: &CommandLine) -> Vec<String> {
    match line {
        CommandLine::Exec(words) => words.clone(),
        CommandLine::Shell(text) if text.is_empty() => Vec::new(),
        CommandLine::Shell(text) => {
            let mut words = state.shell();
            words.push(text.clone());
            words
        }
    }
}

/// `[[ADDRESS:][PORT[-PORT]]:]PORT[-PORT][/PROTOCOL]`, of which all before the last colon is about the
/// host: checked as far as it is ports, and dropped, as in BuildKit.
fn parse_ports(text: &str) -> Option<(RangeInclusive<u16>, String)> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let (host, numbers) = numbers.rsplit_once(':').unwrap_or(("", numbers));
    let host_ports = host.rsplit(':').next().unwrap_or(host);
    if !host_ports.is_empty() && parse_range(host_ports).is_none() {
        return None;
    }
    let range = parse_range(numbers)?;
    matches!(&*protocol, "tcp" | "udp" | "sctp").then_some((range, protocol))
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    (first > 0 && first <= last).then_some(first..=last)
}

fn check_signal(signal: &str) -> Result<(), ExecError> {
    let upper = signal.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let base = name.split(['+', '-']).next().unwrap_or(name);
    let known = match signal.parse::<u8>() {
        Ok(number) => (1..=MAX_SIGNAL).contains(&number),
        Err(_) => SIGNALS.contains(&name) || matches!(base, "RTMIN" | "RTMAX"),
    };
    if known {
        return Ok(());
    }
    let hint = Hint::nearest(name, SIGNALS);
    Err(ExecError::BadSignal { signal: signal.to_owned(), hint })
}

fn health_check(check: &HealthCheck) -> ImageHealthCheck {
    match check {
        HealthCheck::None => {
            ImageHealthCheck { test: vec!["NONE".to_owned()], ..ImageHealthCheck::default() }
        }
        HealthCheck::Command {
            command,
            interval,
            timeout,
            start_period,
            start_interval,
            retries,
        } => {
            let (kind, words) = match command {
                CommandLine::Exec(words) => ("CMD", words.clone()),
                CommandLine::Shell(text) => ("CMD-SHELL", vec![text.clone()]),
            };
            ImageHealthCheck {
                test: std::iter::once(kind.to_owned()).chain(words).collect(),
                interval: *interval,
                timeout: *timeout,
                start_period: *start_period,
                start_interval: *start_interval,
                retries: *retries,
                ..ImageHealthCheck::default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_with_ranges_and_protocols() {
        let ports = |text: &str| {
            parse_ports(text).map(|(range, protocol)| (*range.start(), *range.end(), protocol))
        };
        assert_eq!(ports("80"), Some((80, 80, "tcp".into())));
        assert_eq!(ports("80-82/UDP"), Some((80, 82, "udp".into())));
        assert_eq!(ports("8080:80"), Some((80, 80, "tcp".into())));
        assert_eq!(ports("127.0.0.1::80/udp"), Some((80, 80, "udp".into())));
        for wrong in ["", "0", "x", "82-80", "65536", "80/icmp", "x:80", "80:", "-1"] {
            assert_eq!(ports(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn signals_by_name_and_number() {
        for signal in ["SIGTERM", "kill", "9", "SIGRTMIN+3", "RTMAX-1"] {
            assert_eq!(check_signal(signal), Ok(()), "{signal}");
        }
        for wrong in ["0", "65", "SIGFOO", ""] {
            assert!(check_signal(wrong).is_err(), "{wrong}");
        }
        let hint = check_signal("SIGTREM").unwrap_err().to_string();
        assert!(hint.ends_with("(did you mean `TERM`?)"), "{hint}");
    }
}
