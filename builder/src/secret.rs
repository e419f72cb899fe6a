//! Secrets that a build is given: read when a step needs them, and part of nothing that stays.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// Bytes of one secret, BuildKit's limit: more is a mistake in the file's name.
const MAX_SECRET_BYTES: u64 = 500 << 10;

/// Where a secret comes from. The secret itself is held by nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// A file of the host.
    File(PathBuf),
    /// An environment variable of this process.
    Environment(String),
}

impl Secret {
    /// The secret, or why there is none.
    pub(crate) fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Environment(name) => match std::env::var_os(name) {
                Some(value) => Ok(std::os::unix::ffi::OsStringExt::into_vec(value)),
                None => Err(format!("the environment has no variable `{name}`")),
            },
            Self::File(path) => {
                let mut bytes = Vec::new();
                File::open(path)
                    .and_then(|file| file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes))
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                if bytes.len() as u64 > MAX_SECRET_BYTES {
                    return Err(format!(
                        "{} has more than {MAX_SECRET_BYTES} bytes",
                        path.display()
                    ));
                }
                Ok(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_cannot_be_read_say_why() {
        let large = tempfile::NamedTempFile::new().unwrap();
        large.as_file().set_len(MAX_SECRET_BYTES + 1).unwrap();
        let message = |secret: Secret| secret.read().unwrap_err();
        assert!(message(Secret::File(large.path().into())).ends_with("more than 512000 bytes"));
        assert!(message(Secret::File("/no/such".into())).starts_with("/no/such: "));
        let unset = Secret::Environment("LITHIFY_NOT_SET".into());
        assert_eq!(message(unset), "the environment has no variable `LITHIFY_NOT_SET`");
    }
}
