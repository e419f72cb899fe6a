//! Layers: compressed tars of file system changes.

use std::io::{self, Read, Write};

use crate::blob::{check_digest, copy};
use crate::compression::Compression;
use crate::{Blob, Digest, Error, Hasher};

/// Media type of an uncompressed layer.
const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// A layer and where its bytes are.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The descriptor's media type.
    pub media_type: String,
    /// Digest of the bytes as stored, compressed or not.
    pub digest: Digest,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// The bytes as stored. Not verified until they are read through this type.
    pub blob: Blob,
}

impl Layer {
    /// A layer that is stored as an uncompressed tar.
    pub fn uncompressed(diff_id: Digest, blob: Blob) -> Self {
        Self { media_type: LAYER_TAR.to_owned(), digest: diff_id, diff_id, blob }
    }

    /// A layer that is stored with `compression`, the media type's suffix.
    pub(crate) fn compressed(
        compression: &str,
        digest: Digest,
        diff_id: Digest,
        blob: Blob,
    ) -> Self {
        Self { media_type: format!("{LAYER_TAR}+{compression}"), digest, diff_id, blob }
    }

    /// Writes the uncompressed tar to `out` and returns its length in bytes. Fails, after bytes
    /// were written, if they turn out not to be those that [`Layer::digest`] and
    /// [`Layer::diff_id`] name: `out` must not be used then.
    pub fn copy_tar_to(&self, out: &mut dyn Write) -> Result<u64, Error> {
        let compression = Compression::detect(&self.blob)?;
        let mut stored = Hashing { input: self.blob.reader(), hasher: Hasher::new() };
        let mut tar_hasher = Hasher::new();
        let mut written = 0;
        {
            let mut tar = compression
                .decode(&mut stored, self.blob.len())
                .map_err(Error::read(&self.to_string()))?;
            copy(&mut tar, &self.to_string(), |chunk| {
                tar_hasher.update(chunk);
                written += chunk.len() as u64;
                out.write_all(chunk).map_err(|source| self.write_error(source))
            })?;
        }
        // A decoder may stop before the end of its input; the digest covers all of it.
        copy(&mut stored, self.blob.name(), |_| Ok(()))?;
        check_digest(&self.to_string(), &self.digest, stored.hasher.finish())?;
        check_digest(&format!("{self}, uncompressed,"), &self.diff_id, tar_hasher.finish())?;
        Ok(written)
    }

    fn write_error(&self, source: io::Error) -> Error {
        Error::Write { what: self.to_string(), source }
    }

    /// The blob itself, verified, if it is an uncompressed tar.
    pub(crate) fn verified_plain_tar(&self) -> Result<Option<Blob>, Error> {
        if Compression::detect(&self.blob)? != Compression::None {
            return Ok(None);
        }
        let actual = self.blob.digest()?;
        check_digest(&self.to_string(), &self.digest, actual)?;
        check_digest(&self.to_string(), &self.diff_id, actual)?;
        Ok(Some(self.blob.clone()))
    }
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "layer {} in {}", self.digest, self.blob.name())
    }
}

struct Hashing<R> {
    input: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(stored: &[u8], digest: Digest, diff_id: Digest) -> Layer {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(stored).unwrap();
        let blob = Blob::whole(file, stored.len() as u64, "test".into());
        Layer { media_type: LAYER_TAR.into(), digest, diff_id, blob }
    }

    #[test]
    fn both_digests_are_checked() {
        let tar = b"not really a tar, but bytes are bytes";
        let stored = zstd::encode_all(&tar[..], 1).unwrap();
        let (digest, diff_id) = (Digest::of(&stored), Digest::of(tar));

        let mut out = Vec::new();
        assert_eq!(
            layer(&stored, digest, diff_id).copy_tar_to(&mut out).unwrap(),
            tar.len() as u64
        );
        assert_eq!(out, tar);

        for wrong in [layer(&stored, diff_id, diff_id), layer(&stored, digest, digest)] {
            let error = wrong.copy_tar_to(&mut Vec::new()).unwrap_err();
            assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
        }
    }

    #[test]
    fn a_truncated_layer_is_an_error_that_names_it() {
        let stored = zstd::encode_all(&[7; 5000][..], 1).unwrap();
        let cut = &stored[..stored.len() - 2];
        let layer = layer(cut, Digest::of(&stored), Digest::of(&[7; 5000]));
        let message = layer.copy_tar_to(&mut Vec::new()).unwrap_err().to_string();
        assert!(message.contains(&layer.digest.to_string()), "{message}");
    }
}
