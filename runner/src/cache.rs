//! Compiled forms by digest, in a folder that only the user can enter.

use crate::error::RunnerError;
use crate::{Engine, trust};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, Metadata};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::NamedTempFile;
use wasmtime::Module;

const PRIVATE: u32 = 0o700;
/// Holes are punched in units of the host's page: smaller ones save no disk block.
const HOLE: usize = 4096;

/// The folder `lithify/compiled` in the user's cache.
///
/// A file's name is the module's SHA-256 and a number for engine version, configuration and host
/// processor, so that a new version finds nothing of the old one.
#[derive(Debug, Clone)]
pub struct CompiledCache {
    folder: PathBuf,
}

impl CompiledCache {
    /// The cache of the user who runs this program, created on first use.
    ///
    /// # Errors
    /// If there is no home, or the folder exists and others can write it.
    pub fn of_user() -> Result<Self, RunnerError> {
        Self::at(user_cache()?.join("compiled"))
    }

    /// A cache in a folder of its own.
    ///
    /// # Errors
    /// If the folder cannot be created, or exists and others can write it.
    pub fn at(folder: PathBuf) -> Result<Self, RunnerError> {
        DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE)
            .create(&folder)
            .map_err(|source| RunnerError::Write { path: folder.clone(), source })?;
        check_private(&folder)?;
        Ok(Self { folder })
    }

    /// Loads the compiled form of `wasm`, compiling it first if it is not there.
    ///
    /// # Errors
    /// If `wasm` is no valid module or the compiled form cannot be kept.
    pub fn module(&self, engine: &Engine, wasm: &[u8]) -> Result<Module, RunnerError> {
        let path = self.path_of(engine, wasm);
        match trust::load(engine, &path) {
            Ok(module) => return Ok(module),
            Err(untrusted @ RunnerError::Untrusted { .. }) => return Err(untrusted),
            // Absent, or damaged by a crash: made anew.
            Err(_) => {}
        }
        write_compiled(&path, &engine.compile(wasm)?)?;
        trust::load(engine, &path)
    }

    /// As [`module`](Self::module) for the contents of a file. A file that has not changed since
    /// an earlier call is not read again.
    ///
    /// # Errors
    /// As [`module`](Self::module), and if the file cannot be read.
    pub fn module_of_file(&self, engine: &Engine, path: &Path) -> Result<Module, RunnerError> {
        let read = |source| RunnerError::Read { path: path.into(), source };
        let metadata = fs::metadata(path).map_err(read)?;
        let link = self.folder.join(format!("{}.file", file_identity(&metadata)));
        if let Ok(name) = fs::read_link(&link) {
            match trust::load(engine, &self.folder.join(name)) {
                Ok(module) => return Ok(module),
                Err(untrusted @ RunnerError::Untrusted { .. }) => return Err(untrusted),
                // Another engine version's, or removed.
                Err(_) => {}
            }
        }
        let wasm = fs::read(path).map_err(read)?;
        let module = self.module(engine, &wasm)?;
        if is_settled(&metadata) {
            let _ = fs::remove_file(&link);
            // Without the link the next start takes longer, nothing else.
            let _ = std::os::unix::fs::symlink(self.name_of(engine, &wasm), &link);
        }
        Ok(module)
    }

    fn name_of(&self, engine: &Engine, wasm: &[u8]) -> String {
        format!("{}-{:016x}.cwasm", hex(&Sha256::digest(wasm)), engine.compatibility())
    }

    fn path_of(&self, engine: &Engine, wasm: &[u8]) -> PathBuf {
        self.folder.join(self.name_of(engine, wasm))
    }
}

/// Changes with every change of a file: the kernel sets the status time, nobody else can.
fn file_identity(metadata: &Metadata) -> String {
    format!(
        "{:x}-{:x}-{:x}-{:x}-{:x}",
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.ctime(),
        metadata.ctime_nsec()
    )
}

/// Two changes within one tick of the kernel's clock give the same status time: a file is
/// remembered only when its last change is long past.
fn is_settled(metadata: &Metadata) -> bool {
    const LONG: i64 = 2;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_secs().cast_signed() - metadata.ctime() > LONG
}

/// The folder `lithify` in the user's cache folder: `$XDG_CACHE_HOME`, else `~/.cache`.
///
/// # Errors
/// [`RunnerError::NoCacheFolder`] if neither has a place.
pub fn user_cache() -> Result<PathBuf, RunnerError> {
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|base| base.join("lithify"))
        .ok_or(RunnerError::NoCacheFolder)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_private(folder: &Path) -> Result<(), RunnerError> {
    let metadata = fs::symlink_metadata(folder)
        .map_err(|source| RunnerError::Read { path: folder.into(), source })?;
    let untrusted = |reason: String| RunnerError::Untrusted { path: folder.into(), reason };
    if !metadata.is_dir() {
        return Err(untrusted("not a folder".into()));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(untrusted(format!("owned by user {}, not by you", metadata.uid())));
    }
    match metadata.mode() & 0o777 {
        mode if mode & 0o022 == 0 => Ok(()),
        mode => Err(untrusted(format!("others can write it (mode {mode:03o}), make it 700"))),
    }
}

/// Writes a `.cwasm` whole or not at all: a temporary file beside it, then a rename.
///
/// # Errors
/// If the folder cannot be written or the disk is full; nothing is left then.
pub fn write_compiled(path: &Path, compiled: &[u8]) -> Result<(), RunnerError> {
    let write = |source| RunnerError::Write { path: path.into(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(write)?;
    write_sparse(file.as_file_mut(), compiled).map_err(write)?;
    file.persist(path).map_err(|error| write(error.error))?;
    Ok(())
}

/// Writes from where `file` stands to its end. The flat memory image is mostly zeros; they become holes
/// instead of disk blocks.
pub(crate) fn write_sparse(file: &mut fs::File, bytes: &[u8]) -> io::Result<()> {
    let start = file.stream_position()?;
    let zeros = [0; HOLE];
    for page in bytes.chunks(HOLE) {
        if *page == zeros[..page.len()] {
            file.seek(SeekFrom::Current(page.len() as i64))?;
        } else {
            file.write_all(page)?;
        }
    }
    file.set_len(start + bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn second_use_loads_what_the_first_one_wrote() {
        let home = tempfile::tempdir().unwrap();
        let engine = Engine::new().unwrap();
        let cache = CompiledCache::at(home.path().join("a/b")).unwrap();
        cache.module(&engine, EMPTY_MODULE).unwrap();
        let path = cache.path_of(&engine, EMPTY_MODULE);
        let inode = path.metadata().unwrap().ino();
        cache.module(&engine, EMPTY_MODULE).unwrap();
        assert_eq!(path.metadata().unwrap().ino(), inode);
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 1);
    }

    #[test]
    fn changed_file_is_not_taken_for_the_old_one() {
        let home = tempfile::tempdir().unwrap();
        let engine = Engine::new().unwrap();
        let cache = CompiledCache::at(home.path().join("c")).unwrap();
        let path = home.path().join("app.wasm");
        fs::write(&path, EMPTY_MODULE).unwrap();
        cache.module_of_file(&engine, &path).unwrap();
        let metadata = path.metadata().unwrap();
        let link = cache.folder.join(format!("{}.file", file_identity(&metadata)));
        assert!(!link.exists(), "too fresh to be remembered");
        std::os::unix::fs::symlink(cache.name_of(&engine, EMPTY_MODULE), &link).unwrap();
        assert!(cache.module_of_file(&engine, &path).is_ok());
        fs::write(&path, b"\0asm\x01\0\0\0broken").unwrap();
        assert!(cache.module_of_file(&engine, &path).is_err());
    }

    #[test]
    fn damaged_entry_is_made_anew() {
        let home = tempfile::tempdir().unwrap();
        let engine = Engine::new().unwrap();
        let cache = CompiledCache::at(home.path().join("c")).unwrap();
        let path = cache.path_of(&engine, EMPTY_MODULE);
        fs::write(&path, b"half a file").unwrap();
        cache.module(&engine, EMPTY_MODULE).unwrap();
        assert!(trust::load(&engine, &path).is_ok());
    }

    #[test]
    fn folder_that_others_can_write_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("open");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
        let error = CompiledCache::at(folder).unwrap_err();
        assert!(error.to_string().contains("others can write it (mode 777)"), "{error}");
    }

    #[test]
    fn entry_that_others_can_write_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let engine = Engine::new().unwrap();
        let cache = CompiledCache::at(home.path().join("c")).unwrap();
        cache.module(&engine, EMPTY_MODULE).unwrap();
        let path = cache.path_of(&engine, EMPTY_MODULE);
        fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        let error = cache.module(&engine, EMPTY_MODULE).unwrap_err();
        assert!(matches!(error, RunnerError::Untrusted { .. }), "{error}");
    }

    #[test]
    fn sparse_writer_keeps_every_byte_and_saves_blocks() {
        let mut bytes = vec![0; 1 << 20];
        bytes[5 * HOLE + 7] = 1;
        bytes.extend([0, 0, 9, 0]);
        let mut file = tempfile::tempfile().unwrap();
        write_sparse(&mut file, &bytes).unwrap();
        let mut read = Vec::new();
        file.rewind().unwrap();
        io::Read::read_to_end(&mut file, &mut read).unwrap();
        assert_eq!(read, bytes);
        assert!(file.metadata().unwrap().blocks() * 512 < 1 << 16);
    }

    #[test]
    fn unwritable_place_leaves_nothing() {
        let missing = Path::new("/nonexistent/folder/x.cwasm");
        assert!(matches!(write_compiled(missing, b"x"), Err(RunnerError::Write { .. })));
    }
}
