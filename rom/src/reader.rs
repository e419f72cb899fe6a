//! Reads the image at any place.

use crate::cache::Cache;
use crate::codec::Decoder;
use crate::{Header, RomError};

/// The bytes of a packed ROM.
pub trait Source {
    /// Fills `into` from `offset` on. The range lies inside what the header said is there; a source
    /// that is shorter all the same stops the program as it can.
    fn read(&mut self, offset: u64, into: &mut [u8]);
}

/// A packed ROM as the image that it holds.
pub struct Reader<S> {
    source: S,
    header: Header,
    decoder: Decoder,
    cache: Cache,
    stored: Vec<u8>,
}

impl<S> std::fmt::Debug for Reader<S> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Reader").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<S: Source> Reader<S> {
    /// Reads `source`, which starts with `header`.
    pub fn new(source: S, header: Header) -> Self {
        let decoder = Decoder::new(header.codec, header.chunk_len());
        Self { source, header, decoder, cache: Cache::default(), stored: Vec::new() }
    }

    /// Fills `into` with the image from `offset` on.
    ///
    /// # Errors
    /// If the range is not in the image, or what holds it is damaged.
    pub fn read(&mut self, mut offset: u64, mut into: &mut [u8]) -> Result<(), RomError> {
        let (len, raw_len) = (into.len(), self.header.raw_len());
        if offset.checked_add(len as u64).is_none_or(|end| end > raw_len) {
            return Err(RomError::OutOfRange { offset, len, raw_len });
        }
        while !into.is_empty() {
            let (chunk, at) = self.header.place(offset);
            let len = into.len().min(self.header.raw_len_of(chunk) - at);
            let (piece, rest) = into.split_at_mut(len);
            self.read_in_chunk(chunk, at, piece)?;
            offset += len as u64;
            into = rest;
        }
        Ok(())
    }

    fn read_in_chunk(&mut self, chunk: u64, at: usize, into: &mut [u8]) -> Result<(), RomError> {
        if let Some(bytes) = self.cache.get(chunk) {
            into.copy_from_slice(&bytes[at..at + into.len()]);
            return Ok(());
        }
        let (start, len) = self.stored_at(chunk)?;
        let raw_len = self.header.raw_len_of(chunk);
        if len == raw_len {
            self.source.read(start + at as u64, into);
            return Ok(());
        }
        self.stored.resize(len, 0);
        self.source.read(start, &mut self.stored);
        let mut bytes = self.cache.room(raw_len);
        if !self.decoder.fill(&self.stored, &mut bytes) {
            return Err(RomError::Chunk { chunk });
        }
        into.copy_from_slice(&bytes[at..at + into.len()]);
        self.cache.put(chunk, bytes);
        Ok(())
    }

    /// Where a chunk starts, and its length.
    fn stored_at(&mut self, chunk: u64) -> Result<(u64, usize), RomError> {
        let mut entries = [0; 2 * Header::ENTRY as usize];
        self.source.read(Header::LEN as u64 + chunk * Header::ENTRY, &mut entries);
        let [s0, s1, s2, s3, e0, e1, e2, e3] = entries;
        let (start, end) =
            (u32::from_le_bytes([s0, s1, s2, s3]), u32::from_le_bytes([e0, e1, e2, e3]));
        let len = end.checked_sub(start).map(|len| len as usize);
        let inside = u64::from(start) >= self.header.data_start()
            && u64::from(end) <= self.header.stored_len();
        match len {
            Some(len) if inside && len <= self.header.raw_len_of(chunk) => {
                Ok((u64::from(start), len))
            }
            _ => Err(RomError::Index { chunk, start, end }),
        }
    }
}
