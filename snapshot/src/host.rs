//! The host side of a boot: boot files, the rootfs and the kernel's messages, nothing else.

use crate::freeze::{LineTest, Machine};
use crate::imports::{BuildImport, LITHIFY, WASI};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use wasmtime::{Caller, Error, ExternType, Linker, Memory, Module, Result, Store};

/// How much of the kernel's last words an error repeats, in bytes.
const LOG_TAIL: usize = 4096;
/// Longest line kept while it is incomplete, against a guest that never ends one.
const MAX_LINE: usize = 4096;

/// Receives the kernel's messages, a line at a time without its end.
type LogSink = Box<dyn FnMut(&[u8]) + Send>;

/// What the booting emulator can reach.
pub(crate) struct BootHost {
    kernel: Vec<u8>,
    initramfs: Vec<u8>,
    config: Vec<u8>,
    rootfs: File,
    rootfs_len: u64,
    log: Log,
    /// First call that would have frozen something of the host.
    touched: Option<String>,
    memory: Option<Memory>,
}

struct Log {
    sink: LogSink,
    /// What the container's output is searched for, until it was there.
    awaited: Option<LineTest>,
    line: Vec<u8>,
    tail: Vec<u8>,
}

impl Log {
    /// Output of the container; whether the awaited line has ended in it.
    fn write_output(&mut self, bytes: &[u8]) -> bool {
        let mut seen = false;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_met = |test: &mut LineTest| test.is_met(&[&self.line, piece].concat());
            if piece.ends_with(b"\n") && self.awaited.as_mut().is_some_and(is_met) {
                self.awaited = None;
                seen = true;
            }
            self.write(piece);
        }
        seen
    }

    fn write(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let excess = self.tail.len().saturating_sub(LOG_TAIL);
        self.tail.drain(..excess);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() > MAX_LINE {
                (self.sink)(self.line.trim_ascii_end());
                self.line.clear();
            }
        }
    }

    /// The whole lines of the tail.
    fn tail(&self) -> String {
        let text = String::from_utf8_lossy(&self.tail);
        let whole = match text.split_once('\n') {
            Some((_, rest)) if self.tail.len() == LOG_TAIL => rest,
            _ => &text,
        };
        whole.trim_end().to_owned()
    }
}

impl BootHost {
    pub(crate) fn new(machine: Machine, log: LogSink) -> io::Result<Self> {
        Ok(Self {
            config: machine.config.encode(),
            rootfs_len: machine.rootfs.metadata()?.len(),
            kernel: machine.kernel,
            initramfs: machine.initramfs,
            rootfs: machine.rootfs,
            log: Log {
                sink: log,
                awaited: machine.awaited_line,
                line: Vec::new(),
                tail: Vec::new(),
            },
            touched: None,
            memory: None,
        })
    }

    pub(crate) fn set_memory(&mut self, memory: Option<Memory>) {
        self.memory = memory;
    }

    pub(crate) fn memory(&self) -> Option<Memory> {
        self.memory
    }

    pub(crate) fn touched(&self) -> Option<&str> {
        self.touched.as_deref()
    }

    pub(crate) fn log_tail(&self) -> String {
        self.log.tail()
    }

    /// Boot items as ARCHITECTURE.md numbers them.
    fn item(&self, item: u32) -> Result<&[u8]> {
        match item {
            0 => Ok(&self.kernel),
            1 => Ok(&self.initramfs),
            2 => Ok(&self.config),
            _ => Err(Error::msg(format!("the emulator asked for boot item {item}"))),
        }
    }
}

fn with_memory<R>(
    caller: &mut Caller<'_, BootHost>,
    body: impl FnOnce(&mut [u8], &mut BootHost) -> Result<R>,
) -> Result<R> {
    let memory = caller.data().memory.ok_or_else(|| Error::msg("call before instantiation"))?;
    let (bytes, host) = memory.data_and_store_mut(&mut *caller);
    body(bytes, host)
}

fn slice(bytes: &mut [u8], at: u32, len: u32) -> Result<&mut [u8]> {
    let start = at as usize;
    bytes.get_mut(start..start + len as usize).ok_or_else(|| {
        Error::msg(format!("the emulator passed bad memory: {len} bytes at {at:#x}"))
    })
}

/// The linker for `module`: build imports answered, WASI refused.
pub(crate) fn link(store: &mut Store<BootHost>, module: &Module) -> Result<Linker<BootHost>> {
    let mut linker = Linker::new(store.engine());
    link_build_imports(&mut linker)?;
    link_stderr(&mut linker)?;
    for import in module.imports().filter(|import| import.module() == WASI) {
        let ExternType::Func(ty) = import.ty() else { continue };
        if linker.get_by_import(&mut *store, &import).is_some() {
            continue;
        }
        let name = import.name().to_owned();
        linker.func_new(WASI, &name.clone(), ty, move |mut caller, _, _| {
            caller.data_mut().touched.get_or_insert_with(|| name.clone());
            Err(Error::msg(format!("the emulator called `{name}` before the freeze")))
        })?;
    }
    Ok(linker)
}

fn link_build_imports(linker: &mut Linker<BootHost>) -> Result<()> {
    type Guest<'a> = Caller<'a, BootHost>;
    linker.func_wrap(LITHIFY, BuildImport::RomLen.name(), |caller: Guest<'_>| {
        caller.data().rootfs_len
    })?;
    linker.func_wrap(
        LITHIFY,
        BuildImport::RomRead.name(),
        |mut caller: Guest<'_>, to: u32, offset: u64, len: u32| {
            with_memory(&mut caller, |memory, host| {
                let to = slice(memory, to, len)?;
                host.rootfs.read_exact_at(to, offset).map_err(|error| {
                    Error::msg(format!("cannot read the rootfs at {offset:#x}: {error}"))
                })
            })
        },
    )?;
    linker.func_wrap(
        LITHIFY,
        BuildImport::BootLen.name(),
        |caller: Guest<'_>, item: u32| -> Result<u64> {
            Ok(caller.data().item(item)?.len() as u64)
        },
    )?;
    linker.func_wrap(
        LITHIFY,
        BuildImport::BootRead.name(),
        |mut caller: Guest<'_>, item: u32, to: u32, offset: u64, len: u32| {
            with_memory(&mut caller, |memory, host| {
                let from = usize::try_from(offset)
                    .ok()
                    .and_then(|start| host.item(item).ok()?.get(start..)?.get(..len as usize))
                    .ok_or_else(|| {
                        Error::msg(format!(
                            "the emulator read past boot item {item}: {len} bytes at {offset:#x}"
                        ))
                    })?;
                slice(memory, to, len)?.copy_from_slice(from);
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        LITHIFY,
        BuildImport::BootLog.name(),
        |mut caller: Guest<'_>, from: u32, len: u32| {
            with_memory(&mut caller, |memory, host| {
                let bytes = slice(memory, from, len)?;
                host.log.write(bytes);
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        LITHIFY,
        BuildImport::BootOutput.name(),
        |mut caller: Guest<'_>, from: u32, len: u32| {
            with_memory(&mut caller, |memory, host| {
                Ok(u32::from(host.log.write_output(slice(memory, from, len)?)))
            })
        },
    )?;
    Ok(())
}

/// Writes are taken into the log instead of refused: they are a panic's message, and the freeze
/// fails because of it in any case.
fn link_stderr(linker: &mut Linker<BootHost>) -> Result<()> {
    linker.func_wrap(
        WASI,
        "fd_write",
        |mut caller: Caller<'_, BootHost>, _fd: u32, iovs: u32, count: u32, written: u32| {
            with_memory(&mut caller, |memory, host| {
                host.touched.get_or_insert_with(|| "fd_write".into());
                let mut total = 0_u32;
                for index in 0..count {
                    let entry = slice(memory, iovs.saturating_add(index.saturating_mul(8)), 8)?;
                    let (at, len) = (word(&entry[..4]), word(&entry[4..]));
                    let bytes = slice(memory, at, len)?;
                    host.log.write(bytes);
                    total = total.saturating_add(len);
                }
                slice(memory, written, 4)?.copy_from_slice(&total.to_le_bytes());
                Ok(0_u32)
            })
        },
    )?;
    Ok(())
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn log_hands_on_lines_and_keeps_the_tail() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let sink = Box::new(move |line: &[u8]| sink.lock().unwrap().push(line.to_vec()));
        let mut log = Log { sink, awaited: None, line: Vec::new(), tail: Vec::new() };
        log.write(b"one\r\ntw");
        log.write(b"o\n\nrest");
        assert_eq!(*lines.lock().unwrap(), [&b"one"[..], b"two", b""]);
        assert_eq!(log.tail(), "one\r\ntwo\n\nrest");
        for number in 0..1000 {
            log.write(format!("line {number}\n").as_bytes());
        }
        let tail = log.tail();
        assert!(tail.len() < LOG_TAIL && tail.ends_with("line 999"));
        assert!(tail.lines().all(|line| line.starts_with("line ")), "{tail}");
    }

    #[test]
    fn awaited_line_is_seen_once_when_it_has_ended() {
        let awaited = Some(LineTest::new(|line| line.starts_with(b"ready ")));
        let mut log = Log { sink: Box::new(|_| ()), awaited, line: Vec::new(), tail: Vec::new() };
        let pieces = [&b"not ready \nrea"[..], b"dy at last", b"\nready again\n"];
        assert_eq!(pieces.map(|piece| log.write_output(piece)), [false, false, true]);
        assert!(!log.write_output(b"ready \n"));
        assert_eq!(log.tail().lines().count(), 4);
    }

    #[test]
    fn line_without_end_is_cut() {
        let lines = Arc::new(Mutex::new(0));
        let sink = Arc::clone(&lines);
        let sink = Box::new(move |_: &[u8]| *sink.lock().unwrap() += 1);
        let mut log = Log { sink, awaited: None, line: Vec::new(), tail: Vec::new() };
        for _ in 0..3 * MAX_LINE {
            log.write(b"x");
        }
        assert_eq!(*lines.lock().unwrap(), 2);
        assert!(log.line.len() <= MAX_LINE);
    }
}
