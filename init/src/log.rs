//! The kernel log, the only place to speak before the host listens.

use crate::error::Error;
use std::io::Write;

/// `KERN_ERR`, the prefix that makes the message appear on the console.
const LEVEL_ERR: &str = "<3>";

/// Writes one line at error level; to the console where there is no kernel log.
pub(crate) fn error(error: &Error) {
    let line = format!("{LEVEL_ERR}lithify-init: {error}\n");
    let written = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/kmsg")
        .and_then(|mut log| log.write_all(line.as_bytes()));
    if written.is_err() {
        eprint!("{}", &line[LEVEL_ERR.len()..]);
    }
}
