//! The command line.

mod registry;
mod values;

pub(crate) use registry::{
    ConvertArgs, Form, LoginArgs, LogoutArgs, Pull, PullArgs, PushArgs, RegistryArgs, RmArgs,
    TagArgs,
};
pub(crate) use values::{duration, memory_size};

use crate::build::options::{CacheSource, CacheTarget};
use crate::build::output::Output;
use crate::build::run_options::RunOptions;
use crate::build::translate::TranslateOptions;
use crate::build::warm::WarmOptions;
use crate::run_name::Name;
use crate::save::SaveOptions;
use clap::{Args, Parser, Subcommand, ValueEnum};
use lithify_control::Trial;
use lithify_hostnet::{ExtraHost, NameServer, Published};
use lithify_rom::Compression;
use lithify_runner::{NetworkMode, Stats};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use values::{guest_memory_size, name_and_source, name_and_value, until};

/// Turns a Dockerfile into one WebAssembly module that holds an emulator, an already-booted Linux
/// and the image's files.
#[derive(Debug, Parser)]
#[command(name = "lithify", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: the guest program's own; 1 a build failed, 2 wrong usage, \
    125 lithify failed, 126 the program cannot be executed, 127 it was not found, 128+n it was \
    killed by signal n.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build an artifact from a Dockerfile
    Build(Box<BuildArgs>),
    /// Run an artifact, a file or by its name
    Run(Box<RunArgs>),
    /// End a run by keeping the machine as an artifact, the program running in it
    Freeze(FreezeArgs),
    /// Translate an artifact to native code, which starts in a millisecond
    Compile(CompileArgs),
    /// Make one executable file of an artifact, which runs where nothing is installed
    Bundle(BundleArgs),
    /// Make a WASI 0.2 component of an artifact, to which stock runtimes give a network
    Component(ComponentArgs),
    /// Make a web page of an artifact, which runs in the browser
    Web(WebArgs),
    /// Show what an artifact holds
    Inspect(InspectArgs),
    /// Log in to a registry
    Login(LoginArgs),
    /// Log out of a registry
    Logout(LogoutArgs),
    /// Send an artifact or image to its registry
    Push(PushArgs),
    /// Fetch an artifact or image from its registry
    Pull(PullArgs),
    /// Give an artifact or image another name
    Tag(TagArgs),
    /// Remove names of artifacts and images; `prune` then frees the space
    Rm(RmArgs),
    /// Turn an image into an artifact
    Convert(ConvertArgs),
    /// List named images and artifacts
    Images(ImagesArgs),
    /// Remove cached results and what nothing needs
    Prune(PruneArgs),
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

/// Arguments of `build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Dockerfile, or - for standard input [default: PATH/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Name in the local store; the default output file is named after the first one
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    pub(crate) tags: Vec<lithify_image::Reference>,
    /// What to write and where: FILE.wasm, or type=wasm|oci|docker|tar|local,dest=PATH, where - is
    /// standard output [default: the image's or the context's name, .wasm]
    #[arg(short, long, value_name = "FILE|type=KIND,dest=PATH")]
    pub(crate) output: Vec<Output>,
    /// Make everything anew, and use nothing made earlier
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Make these stages anew
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(crate) no_cache_filter: Vec<String>,
    /// A folder of results to use: type=local,src=FOLDER
    #[arg(long, value_name = "type=local,src=FOLDER")]
    pub(crate) cache_from: Vec<CacheSource>,
    /// A folder to write results to: type=local,dest=FOLDER[,mode=min|max]
    #[arg(long, value_name = "type=local,dest=FOLDER")]
    pub(crate) cache_to: Vec<CacheTarget>,
    /// Set a label of the image
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) labels: Vec<(String, String)>,
    /// Set an annotation of the manifest
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) annotations: Vec<(String, String)>,
    /// Write the digest of the manifest to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,
    /// Write what came out to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// Value for an ARG; a name alone takes the value from the environment
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub(crate) build_args: Vec<String>,
    /// Files or image behind a name: a folder, oci-layout://, oci-archive:// or docker-archive://
    #[arg(long = "build-context", value_name = "NAME=SOURCE", value_parser = name_and_source)]
    pub(crate) build_contexts: Vec<(String, String)>,
    /// Stage to build [default: the last one]
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// The machine's memory, at most 3g
    #[arg(short, long, value_name = "SIZE", default_value = "256m", value_parser = guest_memory_size)]
    pub(crate) memory: u64,
    /// How to pack the root file system: none, lz4, zstd or zstd:LEVEL
    #[arg(long, value_name = "METHOD", default_value = "lz4")]
    pub(crate) compress: Compression,
    /// Memory of the machine that executes RUN; it holds what a step writes, too
    #[arg(long, value_name = "SIZE", default_value = "2g", value_parser = memory_size)]
    pub(crate) build_memory: u64,
    /// Word for the command line of the guest's kernel
    #[arg(long = "kernel-arg", value_name = "WORD")]
    pub(crate) kernel_args: Vec<String>,
    #[command(flatten)]
    pub(crate) run: RunOptions,
    #[command(flatten)]
    pub(crate) warm: WarmOptions,
    #[command(flatten)]
    pub(crate) translate: TranslateOptions,
    /// When to pull base images
    // BuildKit's flag without a value is the one that always pulls.
    #[arg(long, value_enum, default_value_t = Pull::Missing, num_args = 0..=1, require_equals = true, default_missing_value = "always")]
    pub(crate) pull: Pull,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// How to show progress
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto)]
    pub(crate) progress: ProgressMode,
    /// Show no progress and print only the digest of the artifact, or of the image if none is made
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Folder with kernel, initramfs and emulator
    #[arg(long, value_name = "FOLDER", env = "LITHIFY_BOOT_FILES")]
    pub(crate) boot_files: Option<PathBuf>,
    /// Build context: a folder, or - for a tar or a Dockerfile on standard input
    #[arg(value_name = "PATH")]
    pub(crate) context: PathBuf,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// `tty` on a terminal, else `plain`
    Auto,
    /// Lines, as BuildKit prints them
    Plain,
    /// A display that updates itself
    Tty,
    /// One JSON object per line
    Json,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Set a variable; a name alone takes the value from the environment
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<OsString>,
    /// Read variables from a file, one per line
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Working directory in the guest
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<OsString>,
    /// User and group in the guest, names or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<OsString>,
    /// Program to run instead of the image's entrypoint; empty for none
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<OsString>,
    /// The guest's host name
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<OsString>,
    /// Let the container use a directory or file of the host
    #[arg(short, long, value_name = "HOST:GUEST[:ro]")]
    pub(crate) volume: Vec<OsString>,
    /// The same in words: type=bind,source=HOST,target=GUEST and, if it is, ,readonly
    #[arg(long, value_name = "type=bind,...")]
    pub(crate) mount: Vec<OsString>,
    /// Let this host's network reach a port of the container
    #[arg(short, long, value_name = "[IP:]HOST:GUEST[/udp]")]
    pub(crate) publish: Vec<Published>,
    /// Publish every port that the image EXPOSEs on a free one of this host, and say which
    #[arg(short = 'P', long)]
    pub(crate) publish_all: bool,
    /// What the container reaches: default (other hosts), none, or host (this one, too)
    #[arg(long, value_name = "MODE", default_value = "default", alias = "net")]
    pub(crate) network: NetworkMode,
    /// Add a name to /etc/hosts; host-gateway is this host's loopback interface
    #[arg(long, value_name = "NAME:IP|host-gateway")]
    pub(crate) add_host: Vec<ExtraHost>,
    /// Ask this name server in place of this host's
    #[arg(long, value_name = "IP[:PORT]")]
    pub(crate) dns: Vec<NameServer>,
    #[command(flatten)]
    pub(crate) save: SaveOptions,
    /// Connect standard input
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the container a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Print the kernel's messages to standard error
    #[arg(long)]
    pub(crate) kernel_log: bool,
    /// Print to standard error at the end what the run took: phases, instructions, memory
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub(crate) stats: Option<Stats>,
    /// Run in virtual time on seeded randomness, without a network, and say at the end what two such runs
    /// must have in common
    #[arg(
        long,
        value_name = "slice=N,tlb=N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        hide = true
    )]
    pub(crate) trial: Option<Trial>,
    /// Accepted for docker's sake: nothing of a run is ever kept
    #[arg(long, hide = true)]
    pub(crate) rm: bool,
    /// When to pull an artifact that is given by name
    #[arg(long, value_enum, default_value_t = Pull::Missing)]
    pub(crate) pull: Pull,
    /// Use native code from the registry if the artifact lists it: it runs outside the sandbox
    #[arg(long)]
    pub(crate) trust_compiled: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// The artifact, and the arguments that replace the image's CMD
    // One list: only so does the first word end the options, as docker's users expect.
    #[arg(
        value_names = ["FILE|NAME", "COMMAND"],
        required = true,
        num_args = 1..,
        trailing_var_arg = true
    )]
    pub(crate) words: Vec<OsString>,
}

/// Arguments of `freeze`.
#[derive(Debug, Args)]
pub(crate) struct FreezeArgs {
    /// Where to write the artifact [default: NAME.wasm]
    #[arg(short, long, value_name = "FILE.wasm")]
    pub(crate) output: Option<PathBuf>,
    /// The run, as `lithify run --name` calls it
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
}

/// Arguments of `compile`.
#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// Where to write the native code [default: FILE.cwasm]
    #[arg(short, long, value_name = "FILE.cwasm")]
    pub(crate) output: Option<PathBuf>,
    /// The artifact
    #[arg(value_name = "FILE.wasm")]
    pub(crate) file: PathBuf,
}

/// Arguments of `bundle`.
#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// Where to write the executable [default: FILE]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The static runner to put in [default: lithify-run beside this program]
    #[arg(long, value_name = "FILE", env = "LITHIFY_RUNNER")]
    pub(crate) runner: Option<PathBuf>,
    /// The artifact
    #[arg(value_name = "FILE.wasm")]
    pub(crate) file: PathBuf,
}

/// Arguments of `component`.
#[derive(Debug, Args)]
pub(crate) struct ComponentArgs {
    /// Where to write the component [default: FILE.component.wasm]
    #[arg(short, long, value_name = "FILE.wasm")]
    pub(crate) output: Option<PathBuf>,
    /// Folder with the component's program
    #[arg(long, value_name = "FOLDER", env = "LITHIFY_BOOT_FILES")]
    pub(crate) boot_files: Option<PathBuf>,
    /// The artifact, a file or a name in the store
    #[arg(value_name = "FILE|NAME")]
    pub(crate) artifact: OsString,
}

/// Arguments of `web`.
#[derive(Debug, Args)]
pub(crate) struct WebArgs {
    /// The folder to make, for any web server to serve [default: FILE.web]
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// The artifact, a file or a name in the store
    #[arg(value_name = "FILE|NAME")]
    pub(crate) artifact: OsString,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the manifest that the name means, byte by byte
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    /// The artifact, a file or a name in the store
    #[arg(value_name = "FILE|NAME")]
    pub(crate) artifact: OsString,
}

/// Arguments of `images`.
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Print only digests
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Show whole digests
    #[arg(long)]
    pub(crate) digests: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub(crate) format: ListFormat,
}

/// `--format` of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// Columns
    Table,
    /// One JSON object per line
    Json,
}

/// Arguments of `prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Remove named images and artifacts, too
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Keep results used in the last TIME: until=TIME, as in until=24h
    #[arg(long, value_name = "until=TIME", value_parser = until)]
    pub(crate) filter: Option<Duration>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
}
#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn first_word_after_the_options_ends_them() {
        let parse = |line: &[&str]| match Arguments::try_parse_from(line).unwrap().command {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        };
        let run = parse(&["lithify", "run", "-i", "app.wasm", "-e", "--", "-i"]);
        assert!(run.interactive && run.env.is_empty());
        assert_eq!(run.words, ["app.wasm", "-e", "--", "-i"]);
        let run = parse(&["lithify", "run", "-e", "A=1", "-eB", "app.wasm"]);
        assert_eq!(run.env, ["A=1", "B"]);
    }
}
