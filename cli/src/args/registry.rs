//! Arguments of the commands that speak to registries and name what is in the store.

use super::ProgressMode;
use super::values::guest_memory_size;
use clap::{Args, ValueEnum};
use lithify_rom::Compression;
use std::path::PathBuf;

/// How to speak to registries.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct RegistryArgs {
    /// Speak http; registries on this machine may do so anyway
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// Accept any certificate, and http where there is no https
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Trust these certificates, too
    #[arg(long, value_name = "FILE.pem")]
    pub(crate) ca_file: Option<PathBuf>,
    /// How many blobs move at once
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) concurrency: u8,
    /// File with credentials [default: docker's, else podman's]
    #[arg(long, value_name = "FILE.json")]
    pub(crate) registry_config: Option<PathBuf>,
}

/// `--pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pull {
    /// Also what is in the store
    Always,
    /// What is not in the store
    Missing,
    /// Nothing
    Never,
}

/// How transfers show.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// How to show progress
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto)]
    pub(crate) progress: ProgressMode,
    /// Show no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Arguments of `login`.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// User name
    #[arg(short, long, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// The registry
    #[arg(value_name = "HOST[:PORT]", default_value = "docker.io")]
    pub(crate) server: String,
}

/// Arguments of `logout`.
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    /// File with credentials [default: docker's]
    #[arg(long, value_name = "FILE.json")]
    pub(crate) registry_config: Option<PathBuf>,
    /// The registry
    #[arg(value_name = "HOST[:PORT]", default_value = "docker.io")]
    pub(crate) server: String,
}

/// `push --as`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// As it is in the store
    #[value(name = "artifact")]
    AsIs,
    /// A plain OCI image with the module as a file, for containerd and Kubernetes
    Image,
}

/// Arguments of `push`.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// What the registry gets
    #[arg(long = "as", value_enum, default_value_t = Form::AsIs)]
    pub(crate) form: Form,
    /// Attach native code for this machine's processor, and list it in the artifact
    #[arg(long, conflicts_with = "form")]
    pub(crate) compiled: bool,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// A name in the store
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) name: lithify_image::Reference,
}

/// Arguments of `pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Which image of several [default: a module, or else one to build from]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<lithify_image::Platform>,
    /// Fetch native code, too, if the artifact lists some: it runs outside the sandbox
    #[arg(long)]
    pub(crate) trust_compiled: bool,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// What to fetch
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    pub(crate) name: lithify_image::Reference,
}

/// Arguments of `tag`.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// A name in the store
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) source: lithify_image::Reference,
    /// The other name
    #[arg(value_name = "NEW_NAME[:TAG]")]
    pub(crate) name: lithify_image::Reference,
}

/// Arguments of `rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Names in the store
    #[arg(value_name = "NAME[:TAG]", required = true)]
    pub(crate) names: Vec<lithify_image::Reference>,
}

/// Arguments of `convert`.
#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// Where to write the artifact [default: the image's name, .wasm]
    #[arg(short, long, value_name = "FILE.wasm")]
    pub(crate) output: Option<PathBuf>,
    /// Name in the local store
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    pub(crate) tags: Vec<lithify_image::Reference>,
    /// The machine's memory, at most 3g
    #[arg(short, long, value_name = "SIZE", default_value = "256m", value_parser = guest_memory_size)]
    pub(crate) memory: u64,
    /// How to pack the root file system: none, lz4, zstd or zstd:LEVEL
    #[arg(long, value_name = "METHOD", default_value = "lz4")]
    pub(crate) compress: Compression,
    /// When to pull the image
    #[arg(long, value_enum, default_value_t = Pull::Missing)]
    pub(crate) pull: Pull,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Folder with kernel, initramfs and emulator
    #[arg(long, value_name = "FOLDER", env = "LITHIFY_BOOT_FILES")]
    pub(crate) boot_files: Option<PathBuf>,
    /// A name, or an OCI layout, OCI archive or docker archive
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
}
