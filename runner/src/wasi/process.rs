//! Arguments, environment, randomness and the end.

use super::errno::Errno;
use super::memory::GuestMemory;
use super::{Host, Outcome};

/// `proc_exit`, carried through the engine as an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("exit code {0}")]
pub(crate) struct Exit(pub(crate) u32);

impl Host {
    pub(super) fn args_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        argv: u32,
        buffer: u32,
    ) -> Outcome {
        put_strings(memory, &self.args, argv, buffer)
    }

    pub(super) fn args_sizes_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        count: u32,
        size: u32,
    ) -> Outcome {
        put_sizes(memory, &self.args, count, size)
    }

    pub(super) fn environ_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        environ: u32,
        buffer: u32,
    ) -> Outcome {
        put_strings(memory, &self.env, environ, buffer)
    }

    pub(super) fn environ_sizes_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        count: u32,
        size: u32,
    ) -> Outcome {
        put_sizes(memory, &self.env, count, size)
    }

    pub(super) fn random_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        buffer: u32,
        len: u32,
    ) -> Outcome {
        let mut rest = memory.bytes_mut(buffer, len)?;
        while !rest.is_empty() {
            let got = rustix::io::retry_on_intr(|| {
                rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty())
            });
            rest = &mut rest[got.map_err(Errno::from)?..];
        }
        Ok(())
    }

    pub(super) fn sched_yield(&mut self, _: &mut GuestMemory<'_>) -> Outcome {
        std::thread::yield_now();
        Ok(())
    }
}

/// Each string with a NUL behind it goes to `buffer`, its address to the list at `pointers`.
fn put_strings(
    memory: &mut GuestMemory<'_>,
    strings: &[Vec<u8>],
    mut pointers: u32,
    mut buffer: u32,
) -> Outcome {
    for string in strings {
        memory.put_u32(pointers, buffer)?;
        memory.put(buffer, string)?;
        let end = buffer.checked_add(wasm_len(string.len())?).ok_or(Errno::Fault)?;
        memory.put(end, &[0])?;
        buffer = end.checked_add(1).ok_or(Errno::Fault)?;
        pointers = pointers.checked_add(4).ok_or(Errno::Fault)?;
    }
    Ok(())
}

fn put_sizes(memory: &mut GuestMemory<'_>, strings: &[Vec<u8>], count: u32, size: u32) -> Outcome {
    let bytes = strings.iter().map(|string| string.len() + 1).sum();
    memory.put_u32(count, wasm_len(strings.len())?)?;
    Ok(memory.put_u32(size, wasm_len(bytes)?)?)
}

fn wasm_len(len: usize) -> Result<u32, Errno> {
    u32::try_from(len).map_err(|_| Errno::Inval)
}
