//! Descriptor chains: the buffers of one request, and cursors that walk them.

use super::COPY_LEN;
use super::queue::QueueError;
use crate::{GuestMemory, GuestPhysAddr, NotRam};

/// Most descriptors in a chain, direct or indirect. Stops descriptor loops and giant tables.
pub const MAX_CHAIN_SEGMENTS: usize = 1024;

/// Most bytes in a chain. Stops one notification from keeping the host copying for minutes: a
/// thousand descriptors of 4 GiB each could all name the same page.
pub const MAX_CHAIN_BYTES: u64 = 16 << 20;

/// A contiguous piece of guest memory.
#[derive(Debug, Clone, Copy)]
struct Segment {
    at: GuestPhysAddr,
    len: u32,
}

/// The buffers of one request: those the device reads, followed by those it writes.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    head: u16,
    segments: Vec<Segment>,
    readable_segments: usize,
    readable_bytes: u64,
    writable_bytes: u64,
}

impl Chain {
    /// Empties the chain, keeping its allocation, for the request starting at descriptor `head`.
    pub(super) fn restart(&mut self, head: u16) {
        let mut segments = std::mem::take(&mut self.segments);
        segments.clear();
        *self = Self { head, segments, ..Self::default() };
    }

    /// Index of the first descriptor.
    pub(super) fn head(&self) -> u16 {
        self.head
    }

    pub(super) fn push_readable(&mut self, at: u64, len: u32) -> Result<(), QueueError> {
        if self.segments.len() != self.readable_segments {
            return Err(QueueError::ReadableAfterWritable { head: self.head });
        }
        self.push(at, len)?;
        self.readable_segments += 1;
        self.readable_bytes += u64::from(len);
        Ok(())
    }

    pub(super) fn push_writable(&mut self, at: u64, len: u32) -> Result<(), QueueError> {
        self.push(at, len)?;
        self.writable_bytes += u64::from(len);
        Ok(())
    }

    fn push(&mut self, at: u64, len: u32) -> Result<(), QueueError> {
        if self.segments.len() == MAX_CHAIN_SEGMENTS {
            return Err(QueueError::ChainTooLong { head: self.head });
        }
        if self.readable_bytes + self.writable_bytes + u64::from(len) > MAX_CHAIN_BYTES {
            return Err(QueueError::ChainTooLarge { head: self.head });
        }
        at.checked_add(u64::from(len)).ok_or(NotRam { at: GuestPhysAddr(at) })?;
        self.segments.push(Segment { at: GuestPhysAddr(at), len });
        Ok(())
    }

    /// The bytes that the device reads.
    #[must_use]
    pub fn readable(&self) -> Cursor<'_> {
        Cursor::new(&self.segments[..self.readable_segments], self.readable_bytes)
    }

    /// The bytes that the device writes.
    #[must_use]
    pub fn writable(&self) -> Cursor<'_> {
        Cursor::new(&self.segments[self.readable_segments..], self.writable_bytes)
    }
}

/// A position in the readable or in the writable bytes of a chain.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    segments: &'a [Segment],
    /// Bytes of the first of `segments` already passed.
    passed: u32,
    remaining: u64,
}

impl<'a> Cursor<'a> {
    fn new(segments: &'a [Segment], remaining: u64) -> Self {
        let mut cursor = Self { segments, passed: 0, remaining };
        cursor.drop_passed_segments();
        cursor
    }

    /// Bytes between the position and the end.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The contiguous bytes at the position, cut at the end of the page; nothing at the end.
    #[must_use]
    pub fn run(&self) -> Option<(GuestPhysAddr, usize)> {
        let segment = self.segments.first()?;
        let at = segment.at.0 + u64::from(self.passed);
        let to_page_end = COPY_LEN - (at % COPY_LEN as u64) as usize;
        Some((GuestPhysAddr(at), to_page_end.min((segment.len - self.passed) as usize)))
    }

    /// Moves the position forward, at most to the end.
    pub fn advance(&mut self, bytes: u64) {
        let mut left = bytes.min(self.remaining);
        self.remaining -= left;
        while let Some(segment) = self.segments.first() {
            let step = left.min(u64::from(segment.len - self.passed));
            self.passed += step as u32;
            left -= step;
            if self.passed < segment.len {
                return;
            }
            self.drop_passed_segments();
        }
    }

    fn drop_passed_segments(&mut self) {
        while self.segments.first().is_some_and(|segment| segment.len == self.passed) {
            self.segments = &self.segments[1..];
            self.passed = 0;
        }
    }

    /// Fills as much of `into` as there are bytes; returns how many.
    ///
    /// # Errors
    /// If the driver named memory that is not RAM.
    pub fn read(&mut self, memory: &dyn GuestMemory, into: &mut [u8]) -> Result<usize, QueueError> {
        let mut done = 0;
        while let Some((at, run)) = self.run().filter(|_| done < into.len()) {
            let step = run.min(into.len() - done);
            memory.read(at, &mut into[done..done + step])?;
            self.advance(step as u64);
            done += step;
        }
        Ok(done)
    }

    /// Stores as much of `from` as there is room; returns how many bytes.
    ///
    /// # Errors
    /// If the driver named memory that is not RAM.
    pub fn write(
        &mut self,
        memory: &mut dyn GuestMemory,
        from: &[u8],
    ) -> Result<usize, QueueError> {
        let mut done = 0;
        while let Some((at, run)) = self.run().filter(|_| done < from.len()) {
            let step = run.min(from.len() - done);
            memory.write(at, &from[done..done + step])?;
            self.advance(step as u64);
            done += step;
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::test_support::Ram;

    const RAM: u64 = 0x8000_0000;

    fn chain(readable: &[(u64, u32)], writable: &[(u64, u32)]) -> Chain {
        let mut chain = Chain::default();
        for &(at, len) in readable {
            chain.push_readable(at, len).unwrap();
        }
        for &(at, len) in writable {
            chain.push_writable(at, len).unwrap();
        }
        chain
    }

    #[test]
    fn cursors_cross_segments_and_skip_empty_ones() {
        let mut ram = Ram::new(0x3000);
        let chain = chain(&[(RAM, 0), (RAM, 2), (RAM + 8, 0), (RAM + 16, 3)], &[(RAM + 64, 1)]);
        ram.write(GuestPhysAddr(RAM), b"ab").unwrap();
        ram.write(GuestPhysAddr(RAM + 16), b"cde").unwrap();
        let mut cursor = chain.readable();
        let mut bytes = [0; 8];
        assert_eq!(cursor.read(&ram, &mut bytes[..3]).unwrap(), 3);
        assert_eq!(cursor.remaining(), 2);
        assert_eq!(cursor.read(&ram, &mut bytes[3..]).unwrap(), 2);
        assert_eq!(&bytes, b"abcde\0\0\0");
        assert_eq!(cursor.run(), None);
        assert_eq!(chain.writable().write(&mut ram, b"xy").unwrap(), 1);
    }

    #[test]
    fn runs_end_at_pages() {
        let chain = chain(&[(RAM + 4090, 10_000)], &[]);
        let mut cursor = chain.readable();
        let mut runs = Vec::new();
        while let Some((_, len)) = cursor.run() {
            runs.push(len);
            cursor.advance(len as u64);
        }
        assert_eq!(runs, [6, 4096, 4096, 1802]);
    }

    #[test]
    fn advancing_too_far_stops_at_the_end() {
        let chain = chain(&[(RAM, 4)], &[]);
        let mut cursor = chain.readable();
        cursor.advance(u64::MAX);
        assert_eq!((cursor.remaining(), cursor.run()), (0, None));
    }

    #[test]
    fn oversized_chains_are_refused() {
        let mut long = Chain::default();
        for _ in 0..1024 {
            long.push_readable(RAM, 1).unwrap();
        }
        assert!(matches!(long.push_readable(RAM, 1), Err(QueueError::ChainTooLong { .. })));
        let mut large = Chain::default();
        large.push_writable(RAM, 16 << 20).unwrap();
        assert!(matches!(large.push_writable(RAM, 1), Err(QueueError::ChainTooLarge { .. })));
        let mut wrapping = Chain::default();
        assert!(matches!(wrapping.push_writable(u64::MAX, 2), Err(QueueError::NotRam(_))));
    }

    #[test]
    fn a_readable_segment_after_a_writable_one_is_refused() {
        let mut chain = chain(&[], &[(RAM, 1)]);
        assert!(matches!(
            chain.push_readable(RAM, 1),
            Err(QueueError::ReadableAfterWritable { .. })
        ));
    }
}
