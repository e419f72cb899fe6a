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

/// The far end of the network device's cable.
///
/// Frames are Ethernet without a frame check sequence, at most
/// [`MAX_FRAME_LEN`](crate::devices::virtio::MAX_FRAME_LEN) bytes. Both ends are in one process and
/// trust the memory between them, so checksums of TCP and UDP are neither filled in nor looked at;
/// those of IPv4 headers and ICMP are.
pub trait Link {
    /// Takes a frame that the guest sent. `false` means that there is no room now: the frame is
    /// offered again at the next poll.
    fn send(&mut self, frame: &[u8]) -> bool;

    /// Moves data between this end and what lies behind it. Called between slices and after the
    /// guest sent frames.
    fn poll(&mut self);

    /// Hands frames for the guest to `take`, oldest first, until there is none left or `take`
    /// refuses one, which is then the first of the next call.
    fn receive(&mut self, take: &mut dyn FnMut(&[u8]) -> bool);
}

/// Answers the messages of the 9P device.
pub trait FileServer {
    /// Executes the request, which may be anything, and replaces `answer` by its answer.
    fn serve(&mut self, request: &[u8], answer: &mut Vec<u8>);

    /// The guest has reset the device: nobody will ask for what is open any more.
    fn reset(&mut self);
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
