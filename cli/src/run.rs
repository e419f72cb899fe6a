//! `lithify run`.

use crate::args::{ProgressMode, RunArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::reference::{Finder, Target};
use crate::waiting::Waiting;
use lithify_control::Overrides;
use lithify_hostnet::Published;
use lithify_image::Reference;
use lithify_runner::{
    Artifact, CompiledCache, End, Engine, Events, HostMount, Meter, MountError, Network,
    NetworkWish, RunOptions, RunnerError, Streams, Terminal,
};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Runs an artifact and ends with the guest's exit code.
pub(crate) fn run(args: RunArgs) -> Result<Exit, CliError> {
    let mut env = Vec::new();
    for file in &args.env_file {
        env.extend(read_env_file(file)?);
    }
    env.extend(args.env.iter().filter_map(|variable| lithify_runner::variable(variable)));
    let Some(word) = args.words.first() else {
        return Err(CliError::usage("no artifact given"));
    };
    let meter = args.stats.map(|_| Meter::start());
    let terminal = args.tty.then(|| Terminal::of_process(args.interactive));
    let terminal = terminal.transpose().map_err(|error| CliError::own(error.to_string()))?;
    let engine = Engine::new()?;
    let (artifact, wasm) = match Target::of(word)? {
        Target::File(path) => (open(&engine, &path)?, path),
        Target::Name(reference) => open_named(&engine, &args, reference)?,
    };
    let streams = Streams::inherit(args.interactive)
        .map_err(|error| CliError::own(format!("a standard stream is closed: {error}")))?;
    let wish = NetworkWish {
        mode: args.network,
        published: published(&args, &wasm)?,
        hosts: args.add_host.clone(),
        name_servers: args.dns.clone(),
    };
    let overrides = Overrides {
        hosts: wish.host_lines(),
        freeze_at: args.save.freeze_at(),
        ..overrides(&args)
    };
    let mounts = mounts(&args)?;
    let network = wish.open().map_err(|error| CliError::own(error.to_string()))?;
    for port in network.iter().flat_map(Network::chosen) {
        eprintln!("{}", port.as_route());
    }
    let events = Events::of_process()
        .map_err(|error| CliError::own(format!("cannot take signals: {error}")))?;
    let freezer = events.freezer();
    let streams = match args.save.watch(&freezer) {
        Some(watch) => streams.watched(watch),
        None => streams,
    };
    let saving = args.save.prepare(&wasm, &freezer, !mounts.is_empty())?;
    let options = RunOptions {
        overrides,
        args: args.words.into_iter().map(OsString::into_vec).collect(),
        env,
        mounts,
        network,
        streams,
        events: Some(events),
        terminal,
        meter: meter.clone(),
    };
    let missed = |code| saving.as_ref().and_then(|saving| saving.missed(code));
    let end = lithify_runner::run_until_freeze(&engine, &artifact, options)?;
    if let (Some(meter), Some(form)) = (meter, args.stats) {
        eprint!("{}", form.of(&meter));
    }
    match end {
        End::Exit(code) => missed(code).map_or(Ok(Exit::Guest(code)), Err),
        End::Frozen(machine) => {
            saving.map_or(Ok(()), |saving| saving.save(&machine))?;
            Ok(Exit::Success)
        }
    }
}

/// The artifact of a name, and its module. Native code of others is used only if the user trusts it.
fn open_named(
    engine: &Engine,
    args: &RunArgs,
    reference: Reference,
) -> Result<(Artifact, PathBuf), CliError> {
    let progress = Progress::new(ProgressMode::Auto, false);
    let finder = Finder { registry: &args.registry, pull: args.pull, progress: &progress };
    let located = finder.artifact(reference)?;
    if args.trust_compiled
        && let Some(path) = finder.compiled(&located, engine)?
    {
        return Ok((Artifact::open_precompiled(engine, &path)?, located.file));
    }
    Ok((open(engine, &located.file)?, located.file))
}

fn open(engine: &Engine, path: &Path) -> Result<Artifact, CliError> {
    let outcome = match Artifact::open_precompiled(engine, path) {
        Err(RunnerError::NoCompiler { .. }) => open_wasm(engine, path),
        precompiled => precompiled,
    };
    outcome.map_err(|error| match error {
        RunnerError::Invalid(_) => CliError::own(format!("{}: {error}", path.display())),
        named => named.into(),
    })
}

/// The first time takes seconds: native code is made, and kept.
fn open_wasm(engine: &Engine, path: &Path) -> Result<Artifact, RunnerError> {
    let _waiting = Waiting::begin(format!("compiling {}", path.display()));
    match CompiledCache::of_user().and_then(|cache| Artifact::open(engine, path, &cache)) {
        Err(reason @ (RunnerError::NoCacheFolder | RunnerError::Write { .. })) => {
            eprintln!("warning: compiling for this run only: {reason}");
            Artifact::open_uncached(engine, path)
        }
        outcome => outcome,
    }
}

/// What is named, and with `-P` what the image exposes beyond that.
fn published(args: &RunArgs, artifact: &Path) -> Result<Vec<Published>, CliError> {
    let mut published = args.publish.clone();
    if !args.publish_all {
        return Ok(published);
    }
    let report = crate::inspect::report_of(artifact)?;
    for text in crate::inspect::exposed(&report) {
        let port = Published::exposed(text)
            .map_err(|error| CliError::own(format!("{}: {error}", artifact.display())))?;
        if !published.iter().any(|named| named.has_guest_of(&port)) {
            published.push(port);
        }
    }
    Ok(published)
}

/// A directory or file that is not there is lithify's failure, as it is docker's; a word that is no mount is
/// wrong usage.
fn mounts(args: &RunArgs) -> Result<Vec<HostMount>, CliError> {
    let volumes = args.volume.iter().map(|written| HostMount::volume(written));
    let binds = args.mount.iter().map(|written| HostMount::mount(written));
    let opened = volumes.chain(binds).map(|mount| {
        mount.map_err(|error| match error {
            MountError::Syntax { .. } => CliError::usage(error.to_string()),
            MountError::Open { .. } | MountError::Special { .. } => {
                CliError::own(error.to_string())
            }
        })
    });
    opened.collect()
}

fn overrides(args: &RunArgs) -> Overrides {
    let bytes = |value: &Option<OsString>| value.clone().map(OsString::into_vec);
    let entrypoint = bytes(&args.entrypoint)
        .map(|program| if program.is_empty() { Vec::new() } else { vec![program] });
    Overrides {
        entrypoint,
        cwd: bytes(&args.workdir),
        user: bytes(&args.user),
        hostname: bytes(&args.hostname),
        kernel_log: args.kernel_log,
        trial: args.trial,
        ..Overrides::default()
    }
}

/// Docker's format: one variable per line, empty lines and lines that start with # skipped.
fn read_env_file(path: &Path) -> Result<Vec<Vec<u8>>, CliError> {
    let bytes =
        fs::read(path).map_err(|error| CliError::own(format!("{}: {error}", path.display())))?;
    let mut variables = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let name = line.split(|byte| *byte == b'=').next().unwrap_or_default();
        if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
            return Err(CliError::own(format!(
                "{}:{number}: bad variable name `{}`",
                path.display(),
                String::from_utf8_lossy(name)
            )));
        }
        variables.extend(lithify_runner::variable(OsStr::from_bytes(line)));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_file_is_docker_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("env");
        fs::write(&path, "# note\n\nA=1\r\n  B= x = y \nLITHIFY_TEST_UNSET\nPATH\n").unwrap();
        let variables = read_env_file(&path).unwrap();
        assert_eq!(variables[..2], [b"A=1".to_vec(), b"B= x = y ".to_vec()]);
        assert!(variables[2].starts_with(b"PATH=/") && variables.len() == 3);

        fs::write(&path, "A=1\nBAD NAME=2\n").unwrap();
        let message = read_env_file(&path).unwrap_err().to_string();
        assert!(message.contains("env:2: bad variable name `BAD NAME`"), "{message}");
    }
}
