//! What the machine asks of whoever runs it.
//!
//! Each trait is the need of one device, small enough to bind to WASI, to std or, in tests, to
//! plain memory. Implementations of the WASI program are zero-sized: a frozen machine holds no
//! host handle.

/// Host side of the console ports.
pub trait Console {
    /// Takes bytes the guest wrote to `port`; returns how many were taken. Fewer than offered
    /// means the host is busy: the rest is offered again at the next poll.
    fn write(&mut self, port: u32, bytes: &[u8]) -> usize;

    /// Fills `into` with input for `port`.
    fn read(&mut self, port: u32, into: &mut [u8]) -> Input;
}

/// Answer of [`Console::read`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// So many bytes were written to the buffer; at least one.
    Bytes(usize),
    /// Nothing now, ask again later.
    Empty,
    /// Nothing ever again.
    Closed,
}

/// Sink for what the guest's kernel prints.
pub trait KernelLog {
    /// Takes all of `bytes`.
    fn write(&mut self, bytes: &[u8]);
}

/// Time as the guest sees it.
pub trait Clock {
    /// Nanoseconds since some fixed point, never going back.
    fn monotonic_ns(&mut self) -> u64;
    /// Nanoseconds since the Unix epoch.
    fn realtime_ns(&mut self) -> u64;
}

/// Random bytes.
pub trait Entropy {
    /// Fills all of `into`.
    fn fill(&mut self, into: &mut [u8]);
}

/// A read-only disk.
pub trait BlockSource {
    /// Size in bytes, a multiple of 512.
    fn len(&self) -> u64;

    /// Whether the disk holds nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `into` from byte `offset`; the range lies inside [`len`](Self::len).
    fn read(&mut self, offset: u64, into: &mut [u8]);
}

/// A disk of no size: a place for the one that a thaw brings.
#[derive(Debug, Clone, Copy)]
pub struct NoDisk;

impl BlockSource for NoDisk {
    fn len(&self) -> u64 {
        0
    }

    fn read(&mut self, _offset: u64, into: &mut [u8]) {
        into.fill(0);
    }
}

/// A file that RAM is loaded from at power-on.
pub trait BootFile {
    /// Size in bytes.
    fn len(&self) -> u64;

    /// Whether the file is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `into` from byte `offset`; the range lies inside [`len`](Self::len).
    fn read(&mut self, offset: u64, into: &mut [u8]);
}
