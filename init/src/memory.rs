//! Memory pressure: a guest that runs out of it must end a program, not hang.

use crate::error::{Context, Error};
use std::fs;
use std::io::ErrorKind;

/// Pages used within this many milliseconds stay; where they cannot, the kernel kills the largest
/// program (`Documentation/admin-guide/mm/multigen_lru.rst`, "Thrashing prevention"). Without swap
/// the kernel would otherwise drop the code that runs and read it back for ever.
const MIN_TTL_MS: &str = "1000";

/// Turns thrashing prevention on; a kernel built without it goes on as it is.
///
/// # Errors
/// If the kernel refuses the value.
pub(crate) fn prevent_thrashing() -> Result<(), Error> {
    let path = "/sys/kernel/mm/lru_gen/min_ttl_ms";
    match fs::write(path, MIN_TTL_MS) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        written => written.during(|| format!("write {path}")),
    }
}
