//! Brings the image's program into the page cache before the freeze, so that no start reads it from
//! the disk: the program, the interpreter it names, and the libraries these need.
//!
//! Nothing of the image is executed for this. Files are taken from the places where a distribution
//! has them; what lies elsewhere, or is not what it seems, is read when the program starts, as it
//! would be without all this. So no failure here is an error.

mod elf;

use lithify_control::prefetch;
use rustix::fs::{Advice, Mode, OFlags};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where libraries are, in the order of the dynamic linker's own defaults.
const LIBRARIES: [&str; 7] = [
    "/lib/riscv64-linux-gnu",
    "/usr/lib/riscv64-linux-gnu",
    "/usr/local/lib",
    "/lib64/lp64d",
    "/usr/lib64/lp64d",
    "/lib",
    "/usr/lib",
];

/// The image holds the cache of every frozen machine: a large program must not make it much larger.
const MAX_BYTES: u64 = 16 << 20;
/// Nor fill a small machine's RAM.
const SHARE_OF_RAM: u64 = 8;
/// Most files: one that needs more is built to be awkward.
const MAX_FILES: usize = 64;
/// The kernel cuts a single wish to its read-ahead window.
const WINDOW: u64 = 128 << 10;
/// What a script's first line is looked for in.
const FIRST_LINE: usize = 256;

/// Reads the program that the kernel's command line names.
pub(crate) fn program() {
    let Some(name) = std::env::var_os(prefetch::PROGRAM) else { return };
    let path = std::env::var_os(prefetch::PATH).unwrap_or_default();
    let ram = rustix::system::sysinfo();
    let left = MAX_BYTES.min(ram.totalram.saturating_mul(u64::from(ram.mem_unit)) / SHARE_OF_RAM);
    let mut reader = Reader { left, files: Vec::new(), wanted: VecDeque::new() };
    reader.wanted.extend(find(&name, &path));
    while let Some(file) = reader.wanted.pop_front() {
        if reader.left == 0 || reader.files.len() == MAX_FILES {
            return;
        }
        if !reader.files.contains(&file) {
            reader.read(file);
        }
    }
}

/// The program as a shell would find it.
fn find(name: &OsStr, path: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(Path::new("/").join(name));
    }
    let folders = path.as_bytes().split(|byte| *byte == b':');
    let files = folders.map(|folder| Path::new(OsStr::from_bytes(folder)).join(name));
    files.into_iter().find(|file| file.is_file())
}

struct Reader {
    /// Bytes that may still be read.
    left: u64,
    files: Vec<PathBuf>,
    wanted: VecDeque<PathBuf>,
}

impl Reader {
    fn read(&mut self, path: PathBuf) {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let Ok(file) = rustix::fs::open(&path, flags, Mode::empty()).map(File::from) else {
            return;
        };
        self.files.push(path);
        let Ok(metadata) = file.metadata() else { return };
        if metadata.is_file() {
            self.cache(&file, metadata.len());
            self.want_what_it_needs(&file);
        }
    }

    fn cache(&mut self, file: &File, len: u64) {
        let len = len.min(self.left);
        self.left -= len;
        for at in (0..len).step_by(WINDOW as usize) {
            let piece = NonZeroU64::new((len - at).min(WINDOW));
            let _ = rustix::fs::fadvise(file, at, piece, Advice::WillNeed);
        }
    }

    fn want_what_it_needs(&mut self, file: &File) {
        let mut line = [0; FIRST_LINE];
        let len = file.read_at(&mut line, 0).unwrap_or(0);
        match line[..len].strip_prefix(b"#!") {
            Some(line) => self.wanted.extend(interpreter(line)),
            None => self.wanted.extend(elf::needs(file).into_iter().filter_map(library)),
        }
    }
}

/// The program that the first line of a script names.
fn interpreter(line: &[u8]) -> Option<PathBuf> {
    let line = line.split(|byte| *byte == b'\n').next()?.trim_ascii_start();
    let name = line.split(u8::is_ascii_whitespace).next()?;
    name.starts_with(b"/").then(|| OsStr::from_bytes(name).into())
}

fn library(name: OsString) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    LIBRARIES.iter().map(|folder| Path::new(folder).join(&name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_name_interpreters() {
        let found = |line: &[u8]| interpreter(line).map(|path| path.display().to_string());
        assert_eq!(found(b"/bin/sh\necho"), Some("/bin/sh".into()));
        assert_eq!(found(b" /usr/bin/env python3"), Some("/usr/bin/env".into()));
        assert_eq!(found(b"sh\n"), None);
        assert_eq!(found(b""), None);
    }
}
