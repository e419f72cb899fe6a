//! `lithify-run`: runs a compiled artifact, with no compiler in the program.
//!
//! The options are those of `lithify run` that a start needs, with the same meaning. Inside a bundle
//! every argument is the container's, and the options come from a variable.

use lexopt::prelude::*;
use lithify_control::{Overrides, exit_code};
use lithify_runner::{
    Artifact, Bundle, Engine, Events, HostMount, Meter, MountError, Network, NetworkWish,
    RunOptions, Stats, Streams, Terminal, run, variable,
};
use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, stdin, stdout};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::exit;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

const HELP: &str = "\
Run a compiled artifact

Usage: lithify-run [OPTIONS] FILE.cwasm [ARG]...

Arguments:
  FILE.cwasm  what `lithify compile` wrote
  ARG...      replace the image's CMD

Options:
  -e, --env NAME[=VALUE]    set a variable; without a value, to the one it has here
  -i, --interactive         connect standard input
  -t, --tty                 give the container a terminal
  -v, --volume HOST:GUEST[:ro]
                            let the container use a directory or file of the host
      --mount type=bind,source=HOST,target=GUEST[,readonly]
                            the same
  -p, --publish [IP:]HOST:GUEST[/udp]
                            let this host's network reach a port of the container
      --network MODE        default (other hosts), none, or host (this one, too)
      --add-host NAME:IP|host-gateway
                            add a name to /etc/hosts
      --dns IP[:PORT]       ask this name server in place of this host's
      --entrypoint PROGRAM  replace the image's ENTRYPOINT; empty removes it
  -w, --workdir DIR         working directory
  -u, --user USER[:GROUP]   names or numbers
      --hostname NAME       host name
      --stats[=json]        say at the end what the run took, on standard error
  -h, --help                print this
  -V, --version             print the version

Ends with the program's exit code; 125 if it could not be run, 2 if the command line is wrong.
";

/// Docker's code for a wrong command line is its own; ours is that of `lithify`.
const USAGE: i32 = 2;

/// The command line.
#[derive(Default)]
struct Args {
    /// The file, then what replaces `CMD`.
    words: Vec<OsString>,
    env: Vec<Vec<u8>>,
    interactive: bool,
    tty: bool,
    mounts: Vec<HostMount>,
    network: NetworkWish,
    overrides: Overrides,
    stats: Option<Stats>,
}

/// The variable with the options of a bundle.
const BUNDLE_OPTIONS: &str = "LITHIFY_OPTIONS";

fn main() {
    let bundle = Bundle::of_program();
    let args = match &bundle {
        Some(_) => Args::of_bundle()
            .unwrap_or_else(|error| fail(USAGE, &format!("{BUNDLE_OPTIONS}: {error}"))),
        None => Args::parse(lexopt::Parser::from_env()).unwrap_or_else(|error| {
            fail(USAGE, &format!("{error}\ntry `lithify-run --help`"));
        }),
    };
    match start(args, bundle) {
        Ok(code) => exit(code.cast_signed()),
        Err(message) => fail(exit_code::LITHIFY.cast_signed(), &message),
    }
}

fn fail(code: i32, message: &str) -> ! {
    eprintln!("lithify-run: {message}");
    exit(code);
}

impl Args {
    fn parse(parser: lexopt::Parser) -> Result<Self, lexopt::Error> {
        let args = Self::default().options(parser)?;
        if args.words.is_empty() {
            return Err("no artifact given".into());
        }
        Ok(args)
    }

    /// A program as any other: its arguments and streams are the container's, and so is the terminal
    /// where it has one.
    fn of_bundle() -> Result<Self, lexopt::Error> {
        let tty = stdin().is_terminal() && stdout().is_terminal();
        let args = Self { interactive: true, tty, ..Self::default() };
        let options = std::env::var_os(BUNDLE_OPTIONS).unwrap_or_default();
        let mut args = args.options(lexopt::Parser::from_args(bundle_options(&options)))?;
        if let Some(word) = args.words.first() {
            return Err(format!("expected options, found `{}`", word.to_string_lossy()).into());
        }
        args.words = std::env::args_os().collect();
        Ok(args)
    }

    fn options(self, mut parser: lexopt::Parser) -> Result<Self, lexopt::Error> {
        let mut args = self;
        while let Some(argument) = parser.next()? {
            match argument {
                Short('e') | Long("env") => args.env.extend(variable(&parser.value()?)),
                Short('v') | Long("volume") => {
                    args.mounts.push(HostMount::volume(&parser.value()?).map_err(wrong)?);
                }
                Long("mount") => {
                    args.mounts.push(HostMount::mount(&parser.value()?).map_err(wrong)?);
                }
                Short('p') | Long("publish") => {
                    args.network.published.push(parser.value()?.parse()?);
                }
                Long("network" | "net") => args.network.mode = parser.value()?.parse()?,
                Long("dns") => args.network.name_servers.push(parser.value()?.parse()?),
                Long("add-host") => args.network.hosts.push(parser.value()?.parse()?),
                Short('i') | Long("interactive") => args.interactive = true,
                Short('t') | Long("tty") => args.tty = true,
                Long("entrypoint") => args.overrides.entrypoint = Some(words(parser.value()?)),
                Short('w') | Long("workdir") => {
                    args.overrides.cwd = Some(parser.value()?.into_vec());
                }
                Short('u') | Long("user") => {
                    args.overrides.user = Some(parser.value()?.into_vec());
                }
                Long("stats") => {
                    args.stats = Some(match parser.optional_value() {
                        Some(form) => form.parse()?,
                        None => Stats::Text,
                    });
                }
                Long("hostname") => args.overrides.hostname = Some(parser.value()?.into_vec()),
                Short('h') | Long("help") => print_and_exit(HELP),
                Short('V') | Long("version") => {
                    print_and_exit(concat!("lithify-run ", env!("CARGO_PKG_VERSION"), "\n"));
                }
                // The first word ends the options: the rest is the guest's.
                Value(file) => {
                    args.words.push(file);
                    args.words.extend(parser.raw_args()?);
                }
                unknown => return Err(unknown.unexpected()),
            }
        }
        Ok(args)
    }
}

/// Words between blanks, or lines where there are several.
fn bundle_options(text: &OsStr) -> Vec<OsString> {
    let is_end: fn(&u8) -> bool =
        if text.as_bytes().contains(&b'\n') { |byte| *byte == b'\n' } else { |byte| *byte == b' ' };
    let words = text.as_bytes().split(is_end).filter(|word| !word.is_empty());
    words.map(|word| OsString::from_vec(word.to_vec())).collect()
}

fn wrong(error: MountError) -> lexopt::Error {
    lexopt::Error::Custom(Box::new(error))
}

fn print_and_exit(text: &str) -> ! {
    print!("{text}");
    exit(0);
}

fn words(program: OsString) -> Vec<Vec<u8>> {
    if program.is_empty() { Vec::new() } else { vec![program.into_vec()] }
}

fn start(args: Args, bundle: Option<Bundle>) -> Result<u32, String> {
    let meter = args.stats.as_ref().map(|_| Meter::start());
    let terminal = args.tty.then(|| Terminal::of_process(args.interactive));
    let terminal = terminal.transpose().map_err(|error| error.to_string())?;
    let engine = Engine::new().map_err(|error| error.to_string())?;
    let artifact = match bundle {
        Some(bundle) => bundle.open(&engine),
        None => Artifact::open_precompiled(&engine, Path::new(&args.words[0])),
    };
    let artifact = artifact.map_err(|error| error.to_string())?;
    let streams = Streams::inherit(args.interactive)
        .map_err(|error| format!("a standard stream is closed: {error}"))?;
    let events = Events::of_process().map_err(|error| format!("cannot take signals: {error}"))?;
    let network = args.network.open().map_err(|error| error.to_string())?;
    for port in network.iter().flat_map(Network::chosen) {
        eprintln!("{}", port.as_route());
    }
    let options = RunOptions {
        overrides: Overrides { hosts: args.network.host_lines(), ..args.overrides },
        args: args.words.into_iter().map(OsString::into_vec).collect(),
        env: args.env,
        mounts: args.mounts,
        network,
        streams,
        events: Some(events),
        terminal,
        meter: meter.clone(),
    };
    let code = run(&engine, &artifact, options).map_err(|error| error.to_string())?;
    if let (Some(meter), Some(form)) = (meter, args.stats) {
        eprint!("{}", form.of(&meter));
    }
    Ok(code)
}
