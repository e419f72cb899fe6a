//! The environment as a user writes it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Docker's `--env`: `NAME=VALUE` as it is; `NAME` with the value it has in this process, or
/// nothing if it has none.
#[must_use]
pub fn variable(written: &OsStr) -> Option<Vec<u8>> {
    if written.as_bytes().contains(&b'=') {
        return Some(written.as_bytes().to_vec());
    }
    let value = std::env::var_os(written)?;
    Some([written.as_bytes(), b"=", value.as_bytes()].concat())
}
