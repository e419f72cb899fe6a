//! The archive of a step's changes on its way from the guest.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use lithify_image::Blob;
use lithify_image::limits::MAX_LAYER_BYTES;

use super::MachineError;
use super::host::failed;

/// What a tar ends with (POSIX.1-2017 pax, "ustar Interchange Format").
const END: [u8; 1024] = [0; 1024];

/// A file without a name; it is gone when the build ends, however it ends.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    folder: PathBuf,
    len: u64,
}

impl Spool {
    pub(super) fn create(folder: &Path) -> Result<Self, MachineError> {
        let file = tempfile::tempfile_in(folder).map_err(failed("create a file in", folder))?;
        Ok(Self { file, folder: folder.to_owned(), len: 0 })
    }

    /// Takes all of `bytes`, up to the size that any layer may have.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), MachineError> {
        self.len += bytes.len() as u64;
        if self.len > MAX_LAYER_BYTES {
            return Err(MachineError::LayerTooLarge { limit: MAX_LAYER_BYTES });
        }
        self.file.write_all(bytes).map_err(failed("write a file in", &self.folder))
    }

    /// The archive, if it has its end.
    pub(super) fn archive(&self) -> Result<Blob, MachineError> {
        let file = self.file.try_clone().map_err(failed("open a file in", &self.folder))?;
        let blob = Blob::whole(file, self.len, "the step's layer".to_owned());
        let mut end = [1; END.len()];
        let whole = self
            .len
            .checked_sub(END.len() as u64)
            .is_some_and(|at| blob.read_at(&mut end, at).is_ok() && end == END);
        if whole { Ok(blob) } else { Err(MachineError::CutOff { len: self.len }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_without_its_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(folder.path()).unwrap();
        assert!(matches!(spool.archive(), Err(MachineError::CutOff { len: 0 })));
        spool.write(&[1; 512]).unwrap();
        spool.write(&[0; 512]).unwrap();
        assert!(matches!(spool.archive(), Err(MachineError::CutOff { len: 1024 })));
        spool.write(&[0; 512]).unwrap();
        assert_eq!(spool.archive().unwrap().len(), 1536);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_endless_archive_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(folder.path()).unwrap();
        spool.len = MAX_LAYER_BYTES;
        assert!(matches!(spool.write(&[0]), Err(MachineError::LayerTooLarge { .. })));
    }
}
