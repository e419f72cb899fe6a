//! `lithify build`: Dockerfile → root file system → frozen machine → artifact.

use crate::args::BuildArgs;
use crate::boot_files::{ARCHITECTURE, BootFiles};
use crate::error::CliError;
use crate::exit::Exit;
use crate::inspect::report_of;
use crate::progress::Progress;
use lithify_builder::{Built, DockerfileInput, Options, RunMachine};
use lithify_control::{BootConfig, ENTROPY_SEED_LEN, ImageProcess};
use lithify_image::{Digest, ImageConfig, Platform, Store};
use lithify_rootfs::{SquashfsOptions, write_squashfs};
use lithify_runner::{CompiledCache, Engine, user_cache};
use lithify_snapshot::{Frozen, Machine, Manifest, SealError, Sections, check, freeze, seal};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Variable and build argument that fix all times of a build.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
const BUFFER: usize = 1 << 20;
/// Less what the umask takes.
const ARTIFACT_MODE: u32 = 0o666;

/// Builds an artifact and prints its path, or with `--quiet` its digest.
pub(crate) fn build(args: &BuildArgs) -> Result<Exit, CliError> {
    let output = output_path(args)?;
    let mut options = options(args)?;
    let boot = BootFiles::read(args.boot_files.as_deref())?;
    let cache = user_cache().map_err(CliError::build)?;
    let store = Store::open(cache.join("store")).map_err(CliError::build)?;
    options.machine = Some(run_machine(args, &boot, &cache));
    let progress = Progress::new(args.progress, args.quiet);

    let built =
        lithify_builder::build(&options, &store, &mut progress.clone()).map_err(|error| {
            progress.fail();
            CliError::build(error.render())
        })?;
    let rootfs = progress.step("root file system", |_| Rootfs::write(&built, &cache, &progress))?;
    let sections = sections(args, &boot, &rootfs, &built.config);
    let config = boot_config(args, &options, &rootfs, &built.config);
    let frozen = progress.step("boot and freeze", |id| {
        let log = progress.clone();
        boot_and_freeze(boot, &rootfs, config, move |line| {
            log.log(id, &String::from_utf8_lossy(line));
        })
    })?;
    let digest = progress.step(&format!("write {}", output.display()), |_| {
        write_artifact(&output, &frozen, &rootfs, &sections)
    })?;
    let result = if args.quiet { digest.to_string() } else { output.display().to_string() };
    crate::print(format!("{result}\n").as_bytes()).map_err(CliError::of_build)
}

fn options(args: &BuildArgs) -> Result<Options, CliError> {
    let mut options = Options::new(&args.context);
    options.dockerfile = match &args.file {
        None => DockerfileInput::InContext,
        Some(path) if path == Path::new("-") => {
            let mut text = Vec::new();
            io::stdin()
                .read_to_end(&mut text)
                .map_err(|error| CliError::build(format!("standard input: {error}")))?;
            DockerfileInput::Bytes(text)
        }
        Some(path) => DockerfileInput::Path(path.clone()),
    };
    options.target.clone_from(&args.target);
    options.build_args = build_args(&args.build_args);
    options.contexts = args.build_contexts.iter().cloned().collect();
    options.platform = Platform::linux(ARCHITECTURE);
    options.source_date_epoch = source_date_epoch(&options.build_args)?;
    Ok(options)
}

/// Where RUN's commands are executed.
fn run_machine(args: &BuildArgs, boot: &BootFiles, scratch: &Path) -> RunMachine {
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

fn output_path(args: &BuildArgs) -> Result<PathBuf, CliError> {
    if let Some(path) = &args.output {
        return Ok(path.clone());
    }
    let name = match args.tags.first() {
        Some(tag) => tag.repository().rsplit('/').next().map(str::to_owned),
        None => {
            let context = args.context.canonicalize().map_err(|error| {
                CliError::build(format!("build context {}: {error}", args.context.display()))
            })?;
            context.file_name().and_then(|name| name.to_str()).map(str::to_owned)
        }
    };
    name.map(|name| PathBuf::from(format!("{name}.wasm")))
        .ok_or_else(|| CliError::usage("the build context has no name, say where with -o"))
}

/// The image's files as the machine's root disk, in a file that has no name.
struct Rootfs {
    file: File,
    digest: Sha256Bytes,
    len: u64,
}

type Sha256Bytes = [u8; ENTROPY_SEED_LEN];

impl Rootfs {
    fn write(built: &Built, cache: &Path, progress: &Progress) -> Result<Self, CliError> {
        let failed = |error: &dyn Display| CliError::build(format!("root file system: {error}"));
        let mut file = tempfile::tempfile_in(cache).map_err(|error| failed(&error))?;
        let warnings = write_squashfs(&built.tree, &mut file, &SquashfsOptions::default())
            .map_err(|error| failed(&error))?;
        for warning in &warnings {
            progress.warn("RootFileSystem", &warning.to_string(), None);
        }
        file.rewind().map_err(|error| failed(&error))?;
        let mut hash = HashWriter { to: io::sink(), hasher: Sha256::new() };
        let len = io::copy(&mut file, &mut hash).map_err(|error| failed(&error))?;
        Ok(Self { file, digest: hash.hasher.finalize().into(), len })
    }
}

fn boot_config(
    args: &BuildArgs,
    options: &Options,
    rootfs: &Rootfs,
    image: &ImageConfig,
) -> BootConfig {
    BootConfig {
        memory_bytes: args.memory,
        epoch_seconds: options.source_date_epoch.into(),
        // Different for different images, the same for the same one; replaced at every start.
        entropy_seed: rootfs.digest,
        kernel_args: Vec::new(),
        process: process(image),
    }
}

fn process(image: &ImageConfig) -> ImageProcess {
    let bytes = |words: &[String]| words.iter().map(|word| word.clone().into_bytes()).collect();
    let config = &image.config;
    ImageProcess {
        entrypoint: bytes(config.entrypoint.as_deref().unwrap_or_default()),
        cmd: bytes(config.cmd.as_deref().unwrap_or_default()),
        env: bytes(&config.env),
        cwd: config.working_dir.clone().into_bytes(),
        user: config.user.clone().into_bytes(),
    }
}

fn sections(args: &BuildArgs, boot: &BootFiles, rootfs: &Rootfs, image: &ImageConfig) -> Sections {
    let digest = |bytes: &[u8]| Digest::of(bytes).to_string();
    Sections {
        manifest: Manifest {
            format: Manifest::FORMAT,
            tool: concat!("lithify ", env!("CARGO_PKG_VERSION")).into(),
            architecture: ARCHITECTURE.into(),
            memory_bytes: args.memory,
            kernel: digest(&boot.kernel),
            initramfs: digest(&boot.initramfs),
            emulator: digest(&boot.emulator),
            rootfs: sha256_name(&rootfs.digest),
        },
        image_config: image.to_json(),
    }
}

fn sha256_name(digest: &Sha256Bytes) -> String {
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn boot_and_freeze(
    boot: BootFiles,
    rootfs: &Rootfs,
    config: BootConfig,
    log: impl FnMut(&[u8]) + Send + 'static,
) -> Result<Frozen, CliError> {
    let engine = Engine::new().map_err(CliError::build)?;
    let cache = CompiledCache::of_user().map_err(CliError::build)?;
    let rootfs = rootfs.file.try_clone().map_err(CliError::build)?;
    let machine = Machine {
        emulator: boot.emulator,
        kernel: boot.kernel,
        initramfs: boot.initramfs,
        config,
        rootfs,
    };
    freeze(&engine, &cache, machine, log).map_err(CliError::build)
}

/// Writes the artifact whole or not at all, and returns its digest.
fn write_artifact(
    output: &Path,
    frozen: &Frozen,
    rootfs: &Rootfs,
    sections: &Sections,
) -> Result<String, CliError> {
    let failed = |error: &dyn Display| CliError::build(format!("{}: {error}", output.display()));
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
    let file = tempfile::Builder::new()
        .prefix(".lithify-")
        .permissions(Permissions::from_mode(ARTIFACT_MODE))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(|error| failed(&error))?;
    let digest =
        write_sealed(file.as_file(), frozen, rootfs, sections).map_err(|error| failed(&error))?;
    let report = report_of(file.path()).map_err(CliError::of_build)?;
    check(&report).map_err(|error| failed(&error))?;
    file.persist(output).map_err(|error| failed(&error.error))?;
    Ok(digest)
}

fn write_sealed(
    file: &File,
    frozen: &Frozen,
    rootfs: &Rootfs,
    sections: &Sections,
) -> Result<String, SealError> {
    let mut rom = &rootfs.file;
    rom.rewind().map_err(SealError::ReadRom)?;
    let to = BufWriter::with_capacity(BUFFER, file);
    let mut out = HashWriter { to, hasher: Sha256::new() };
    seal(frozen, rom, rootfs.len, sections, &mut out)?;
    out.flush().map_err(SealError::Write)?;
    Ok(sha256_name(&out.hasher.finalize().into()))
}

/// Hashes what is written through it.
struct HashWriter<W> {
    to: W,
    hasher: Sha256,
}

impl<W: Write> Write for HashWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.to.write(bytes)?;
        self.hasher.update(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
