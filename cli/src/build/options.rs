//! The builder's options from the command line and the environment.

use crate::args::BuildArgs;
use crate::boot_files::{ARCHITECTURE, BootFiles};
use crate::build::input::Input;
use crate::error::CliError;
use lithify_builder::{CacheExport, CacheMode, CacheOptions, Options, RunMachine};
use lithify_image::Platform;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Variable and build argument that fix all times of a build.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// What to build.
pub(crate) fn options(args: &BuildArgs, input: &Input) -> Result<Options, CliError> {
    let mut options = Options::new(&input.context);
    options.dockerfile = input.dockerfile.clone();
    options.target.clone_from(&args.target);
    options.build_args = build_args(&args.build_args);
    options.contexts = args.build_contexts.iter().cloned().collect();
    options.platform = Platform::linux(ARCHITECTURE);
    options.source_date_epoch = source_date_epoch(&options.build_args)?;
    options.cache = CacheOptions {
        ignore_all: args.no_cache,
        ignore_stages: args.no_cache_filter.clone(),
        import: args.cache_from.iter().map(|CacheSource(dir)| dir.clone()).collect(),
        export: args.cache_to.iter().map(|CacheTarget(export)| export.clone()).collect(),
    };
    args.run.apply(&mut options);
    Ok(options)
}

/// Where RUN's commands are executed.
pub(crate) fn run_machine(args: &BuildArgs, boot: &BootFiles, scratch: &Path) -> RunMachine {
    let (kernel, initramfs) = (boot.kernel.as_slice(), boot.initramfs.as_slice());
    RunMachine::new(kernel.into(), initramfs.into(), args.build_memory, scratch.to_owned())
}

/// A name alone takes its value from the environment, and is not set if it has none there.
fn build_args(written: &[String]) -> BTreeMap<String, String> {
    let valued = written.iter().filter_map(|written| match written.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((written.clone(), std::env::var(written).ok()?)),
    });
    valued.collect()
}

/// The build argument, else the environment's variable, else 0.
fn source_date_epoch(build_args: &BTreeMap<String, String>) -> Result<u32, CliError> {
    let written = build_args
        .get(SOURCE_DATE_EPOCH)
        .cloned()
        .or_else(|| std::env::var(SOURCE_DATE_EPOCH).ok());
    written.map_or(Ok(0), |seconds| {
        seconds.parse().map_err(|_| {
            CliError::usage(format!(
                "{SOURCE_DATE_EPOCH}: expected seconds since 1970 below 2^32, found `{seconds}`"
            ))
        })
    })
}

/// `--cache-from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheSource(PathBuf);

impl std::str::FromStr for CacheSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields = local_cache(text, &["src"])?;
        let dir = fields.get("src").ok_or("expected type=local,src=FOLDER")?;
        Ok(Self(dir.into()))
    }
}

/// `--cache-to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheTarget(CacheExport);

impl std::str::FromStr for CacheTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields = local_cache(text, &["dest", "mode"])?;
        let dir = fields.get("dest").ok_or("expected type=local,dest=FOLDER[,mode=min|max]")?;
        let mode = match fields.get("mode").copied() {
            None | Some("min") => CacheMode::Min,
            Some("max") => CacheMode::Max,
            Some(mode) => return Err(format!("unknown mode `{mode}`, expected min or max")),
        };
        Ok(Self(CacheExport { dir: dir.into(), mode }))
    }
}

/// The fields of a cache besides its type, of which there is one.
fn local_cache<'a>(text: &'a str, known: &[&str]) -> Result<BTreeMap<&'a str, &'a str>, String> {
    let mut fields = BTreeMap::new();
    for field in text.split(',') {
        let (name, value) = field.split_once('=').ok_or("expected type=local,NAME=VALUE")?;
        if name != "type" && !known.contains(&name) {
            return Err(format!("unknown field `{name}`, expected {}", known.join(" or ")));
        }
        fields.insert(name, value);
    }
    match fields.remove("type") {
        Some("local") => Ok(fields),
        Some(kind) => Err(format!("type `{kind}` is not supported, only local")),
        None => Err("expected type=local".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_local_folders() {
        assert_eq!("type=local,src=a/b".parse(), Ok(CacheSource("a/b".into())));
        let target = |text: &str| text.parse::<CacheTarget>().map(|target| target.0);
        let export = |mode| Ok(CacheExport { dir: "d".into(), mode });
        assert_eq!(target("type=local,dest=d"), export(CacheMode::Min));
        assert_eq!(target("mode=max,dest=d,type=local"), export(CacheMode::Max));
        for (text, expected) in [
            ("type=registry,dest=x", "`registry` is not supported"),
            ("dest=x", "expected type=local"),
            ("type=local", "expected type=local,dest="),
            ("type=local,dest=x,mode=all", "unknown mode `all`"),
            ("type=local,src=x", "unknown field `src`"),
            ("x", "expected type=local"),
        ] {
            let message = target(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
