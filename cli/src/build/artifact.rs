//! The image's files and configuration become the artifact, a blob of the store. What was made once
//! of the same image, boot files and options is found there.

use super::system_profile::system_profile;
use crate::args::BuildArgs;
use crate::boot_files::{ARCHITECTURE, BootFiles};
use crate::error::CliError;
use crate::inspect::report_of;
use crate::progress::Progress;
use lithify_builder::Built;
use lithify_control::{BootConfig, ENTROPY_SEED_LEN, ImageProcess, Profile};
use lithify_image::{BlobWriter, Digest, Hasher, ImageConfig, Record, Store};
use lithify_rom::Compression;
use lithify_rootfs::{SquashfsOptions, write_squashfs};
use lithify_runner::{CompiledCache, Engine};
use lithify_snapshot::{
    Frozen, Machine, Manifest, Sections, Selection, StoredRom, check, freeze, seal, train,
};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};

const BUFFER: usize = 1 << 20;
const TOOL: &str = concat!("lithify ", env!("CARGO_PKG_VERSION"));
/// The kind of the records that remember artifacts.
const RECORDS: &str = "artifact";

/// An artifact in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Artifact {
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) len: u64,
}

/// What an artifact is made of.
pub(crate) struct Parts<'a> {
    pub(crate) args: &'a BuildArgs,
    pub(crate) boot: &'a BootFiles,
    pub(crate) built: &'a Built,
    pub(crate) config: &'a ImageConfig,
    pub(crate) epoch_seconds: u32,
}

impl Parts<'_> {
    /// Finds the artifact, or makes it.
    pub(crate) fn artifact(
        &self,
        store: &Store,
        progress: &Progress,
    ) -> Result<Artifact, CliError> {
        let (records, key) = (store.records(RECORDS), self.key()?);
        let found = records.get::<u64>(&key).and_then(|record| {
            let digest = *record.blobs.first()?;
            store.get(&digest).ok()?;
            Some(Artifact { digest, len: record.value })
        });
        let is_asked_anew = self.args.no_cache || self.args.translate.wants_profile();
        if let Some(artifact) = found.filter(|_| !is_asked_anew) {
            progress.cached("artifact");
            return Ok(artifact);
        }
        let artifact = self.make(store, progress)?;
        let record = Record { blobs: vec![artifact.digest], value: artifact.len };
        records.put(&key, &record).map_err(CliError::build)?;
        Ok(artifact)
    }

    /// All that decides the artifact's bytes. The image's config names the layers.
    fn key(&self) -> Result<Digest, CliError> {
        let parts = serde_json::json!([
            TOOL,
            Manifest::FORMAT,
            ARCHITECTURE,
            self.args.memory,
            self.args.kernel_args,
            self.args.compress.to_string(),
            self.epoch_seconds,
            self.boot.digests(),
            Digest::of(&self.config.to_json()),
            self.args.warm.key(),
            self.args.translate.key()?,
            self.boot.profile.as_deref().map(Digest::of),
        ]);
        Ok(Digest::of(parts.to_string().as_bytes()))
    }

    fn make(&self, store: &Store, progress: &Progress) -> Result<Artifact, CliError> {
        let rootfs =
            progress.step("root file system", |_| Rootfs::write(self.built, store, progress))?;
        let translate = self.selection(&rootfs, progress)?;
        let frozen = progress.step("boot and freeze", |id| {
            let log = progress.clone();
            let machine = Machine {
                awaited_line: self.args.warm.awaited_line(),
                translate,
                ..self.machine(&rootfs)?
            };
            let engine = Engine::new().map_err(CliError::build)?;
            let cache = CompiledCache::of_user().map_err(CliError::build)?;
            let log = move |line: &[u8]| log.log(id, &String::from_utf8_lossy(line));
            freeze(&engine, &cache, machine, log).map_err(CliError::build)
        })?;
        progress.step("artifact", |_| {
            let rom = rootfs.stored(self.args.compress, store)?;
            let written = write_sealed(store, &frozen, &rom, &self.sections(&rootfs, &frozen));
            written.map_err(|error| error.about("cannot write the artifact"))
        })
    }

    /// The machine to boot; nothing is awaited or translated.
    fn machine(&self, rootfs: &Rootfs) -> Result<Machine, CliError> {
        Ok(Machine {
            emulator: self.boot.emulator.clone(),
            kernel: self.boot.kernel.clone(),
            initramfs: self.boot.initramfs.clone(),
            config: self.boot_config(rootfs),
            rootfs: rootfs.file.try_clone().map_err(CliError::build)?,
            awaited_line: None,
            translate: None,
        })
    }

    /// What to translate.
    fn selection(
        &self,
        rootfs: &Rootfs,
        progress: &Progress,
    ) -> Result<Option<Selection>, CliError> {
        let options = &self.args.translate;
        let Some(budget) = options.budget() else { return Ok(None) };
        let mut profile = match options.given()? {
            Some(profile) => profile,
            None => self.trained(rootfs, progress)?,
        };
        options.keep(&profile)?;
        profile.add(system_profile(self.boot)?);
        Ok((budget.bytes > 0).then_some(Selection { profile, budget }))
    }

    fn trained(&self, rootfs: &Rootfs, progress: &Progress) -> Result<Profile, CliError> {
        let engine = Engine::new().map_err(CliError::build)?;
        let cache = CompiledCache::of_user().map_err(CliError::build)?;
        let mut profile = Profile::default();
        for training in self.args.translate.trainings(self.config) {
            let counted = progress.step(&format!("train: {}", training.name), |id| {
                let log = progress.clone();
                let mut machine = self.machine(rootfs)?;
                machine.config.process = training.process;
                machine.config.warm = None;
                let log = move |line: &[u8]| log.log(id, &String::from_utf8_lossy(line));
                train(&engine, &cache, machine, training.max_instructions, log)
                    .map_err(CliError::build)
            })?;
            profile.add(counted);
        }
        Ok(profile)
    }

    fn boot_config(&self, rootfs: &Rootfs) -> BootConfig {
        BootConfig {
            memory_bytes: self.args.memory,
            epoch_seconds: self.epoch_seconds.into(),
            // Different for different images, the same for the same one; replaced at every start.
            entropy_seed: *rootfs.digest.as_bytes(),
            kernel_args: self.args.kernel_args.join(" ").into_bytes(),
            process: process(self.config),
            prepared: self.args.translate.prepared(self.config),
            warm: self.args.warm.of_boot(),
        }
    }

    fn sections(&self, rootfs: &Rootfs, frozen: &Frozen) -> Sections {
        let [kernel, initramfs, emulator] = self.boot.digests().map(|digest| digest.to_string());
        Sections {
            manifest: Manifest {
                format: Manifest::FORMAT,
                tool: TOOL.into(),
                architecture: ARCHITECTURE.into(),
                memory_bytes: self.args.memory,
                kernel,
                initramfs,
                emulator,
                rootfs: rootfs.digest.to_string(),
                running: self.args.warm.key().is_some(),
                translation: frozen.translation(),
                machine: Some(frozen.sizes()),
            },
            image_config: self.config.to_json(),
        }
    }
}

const _: () = assert!(ENTROPY_SEED_LEN == 32, "a digest is the seed");

pub(super) fn process(image: &ImageConfig) -> ImageProcess {
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

/// The image's files as the machine's root disk, in a file that has no name.
struct Rootfs {
    file: File,
    digest: Digest,
    len: u64,
}

impl Rootfs {
    fn write(built: &Built, store: &Store, progress: &Progress) -> Result<Self, CliError> {
        let failed = |error: &dyn Display| CliError::build(format!("root file system: {error}"));
        let tree = built.tree().map_err(|error| failed(&error))?;
        let mut file = tempfile::tempfile_in(store.temporary()).map_err(|error| failed(&error))?;
        let warnings = write_squashfs(tree, &mut file, &SquashfsOptions::default())
            .map_err(|error| failed(&error))?;
        for warning in &warnings {
            progress.warn("RootFileSystem", &warning.to_string(), None);
        }
        file.rewind().map_err(|error| failed(&error))?;
        let mut hasher = Hasher::new();
        let len = io::copy(&mut file, &mut hasher).map_err(|error| failed(&error))?;
        Ok(Self { file, digest: hasher.finish(), len })
    }

    fn stored(&self, compression: Compression, store: &Store) -> Result<StoredRom, CliError> {
        let image = self.file.try_clone().map_err(CliError::build)?;
        StoredRom::new(image, self.len, compression, store.temporary()).map_err(CliError::build)
    }
}

/// Writes the artifact into the store, and checks what was written.
fn write_sealed(
    store: &Store,
    frozen: &Frozen,
    rom: &StoredRom,
    sections: &Sections,
) -> Result<Artifact, CliError> {
    let writer = store.writer().map_err(CliError::build)?;
    let mut out = BufWriter::with_capacity(BUFFER, writer);
    seal(frozen, rom, sections, &mut out).map_err(CliError::build)?;
    out.flush().map_err(CliError::build)?;
    let writer: BlobWriter = out.into_inner().map_err(CliError::build)?;
    let (digest, len) = writer.commit(None).map_err(CliError::build)?;
    let report = report_of(&store.blob_path(&digest)).map_err(CliError::of_build)?;
    check(&report).map_err(CliError::build)?;
    Ok(Artifact { digest, len })
}
