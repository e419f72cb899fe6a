//! An image that is never written: metadata in memory, file data where the tree says it is.
//!
//! Because data is not compressed, the image's blocks are the files' own bytes. Laying a tree out
//! reads none of them, so equal files are not found and blocks of zeros are holes only where the
//! tree knows it.

use std::io;
use std::ops::Range;
use std::path::Path;

use super::data::{BlockCount, DataEnd, DataSink, FileData, Fragments, blocks, is_short};
use super::format::{HOLE, Superblock, stored};
use super::writer::{Finished, Metadata, SquashfsWriter};
use super::{SquashfsOptions, Warning, write_tree};
use crate::holes::Holes;
use crate::{Content, Error, Tree};

/// A tree as the bytes of a squashfs image, readable at any place and from any thread.
#[derive(Debug)]
pub struct SquashfsView {
    /// The file data, ascending and without gaps, from the superblock to the tables.
    segments: Vec<Segment>,
    metadata: Metadata,
}

/// A part of the image that is a part of a file.
#[derive(Debug)]
struct Segment {
    /// Where it starts in the image.
    start: u64,
    len: u64,
    content: Content,
    /// Where it starts in the file.
    offset: u64,
}

impl SquashfsView {
    /// Lays out `tree`. Reads no file data.
    pub fn new(tree: &Tree, options: &SquashfsOptions) -> Result<(Self, Vec<Warning>), Error> {
        let mut writer = SquashfsWriter::new(ViewSink::default())?;
        write_tree(tree, &mut writer, options)?;
        let Finished { data, metadata, warnings } = writer.finish()?;
        Ok((Self { segments: data.segments, metadata }, warnings))
    }

    /// Length of the image in bytes, a multiple of 4096.
    #[expect(clippy::len_without_is_empty, reason = "no image is empty")]
    pub fn len(&self) -> u64 {
        self.metadata.tables_start + self.metadata.tables.len() as u64
    }

    /// Fills `buffer` from byte `offset` of the image. Fails with `UnexpectedEof` where the image
    /// ends, and where a file's data cannot be had.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.len());
        if end.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut rest, mut position) = (buffer, offset);
        while !rest.is_empty() {
            let read = self.read_part(rest, position)?;
            rest = &mut rest[read..];
            position += read as u64;
        }
        Ok(())
    }

    /// Fills the start of `buffer` from the one part of the image that has the byte `position`.
    fn read_part(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let Metadata { superblock, tables_start, tables } = &self.metadata;
        if position < superblock.len() as u64 {
            return Ok(copy(&superblock[position as usize..], buffer));
        }
        if position >= *tables_start {
            return Ok(copy(&tables[(position - tables_start) as usize..], buffer));
        }
        let after = self.segments.partition_point(|segment| segment.start <= position);
        let segment = &self.segments[after - 1];
        let within = position - segment.start;
        let len = buffer.len().min(usize::try_from(segment.len - within).unwrap_or(usize::MAX));
        segment.content.read_at(&mut buffer[..len], segment.offset + within)?;
        Ok(len)
    }
}

fn copy(from: &[u8], into: &mut [u8]) -> usize {
    let len = from.len().min(into.len());
    into[..len].copy_from_slice(&from[..len]);
    len
}

/// Notes where data is.
#[derive(Debug)]
struct ViewSink {
    position: u64,
    count: BlockCount,
    fragments: Fragments,
    /// The short files of the current fragment.
    fragment: Vec<Content>,
    segments: Vec<Segment>,
}

impl Default for ViewSink {
    fn default() -> Self {
        Self {
            position: Superblock::BYTES as u64,
            count: BlockCount::default(),
            fragments: Fragments::default(),
            fragment: Vec::new(),
            segments: Vec::new(),
        }
    }
}

impl ViewSink {
    /// Adds the blocks of a file and returns their lengths and the number of bytes in holes.
    fn add_blocks(&mut self, content: &Content, mut holes: Holes) -> (Vec<u32>, u64) {
        let (mut lens, mut sparse, mut run) = (Vec::new(), 0, 0..0);
        for block in blocks(content.len()) {
            let len = block.end - block.start;
            if holes.cover(&block) {
                sparse += len;
                lens.push(HOLE);
                continue;
            }
            if run.end != block.start {
                self.add_segment(content, std::mem::replace(&mut run, block.clone()));
            }
            run.end = block.end;
            lens.push(stored(len as usize));
        }
        self.add_segment(content, run);
        (lens, sparse)
    }

    fn add_segment(&mut self, content: &Content, part: Range<u64>) {
        let (start, len) = (self.position, part.end - part.start);
        if len > 0 {
            self.segments.push(Segment {
                start,
                len,
                content: content.clone(),
                offset: part.start,
            });
            self.position += len;
        }
    }

    fn add_to_fragment(&mut self, content: &Content) -> Result<Option<(u32, u32)>, Error> {
        let len = content.len() as usize;
        if self.fragments.is_full(len) {
            self.flush_fragment()?;
        }
        self.fragment.push(content.clone());
        Ok(self.fragments.take(len))
    }

    fn flush_fragment(&mut self) -> Result<(), Error> {
        self.fragments.end(self.position)?;
        for content in std::mem::take(&mut self.fragment) {
            self.add_segment(&content, 0..content.len());
        }
        Ok(())
    }
}

impl DataSink for ViewSink {
    fn file(&mut self, path: &Path, content: &Content) -> Result<FileData, Error> {
        let (start, len) = (self.position, content.len());
        self.count.add(path, len)?;
        let ((blocks, sparse), fragment) = match is_short(len) {
            true => (Default::default(), self.add_to_fragment(content)?),
            false => {
                let holes = Holes::of(content).map_err(Error::content(path))?;
                (self.add_blocks(content, holes), None)
            }
        };
        Ok(FileData { start, len, sparse, blocks: blocks.into(), fragment })
    }

    fn finish(&mut self) -> Result<DataEnd, Error> {
        if self.fragments.fill() > 0 {
            self.flush_fragment()?;
        }
        Ok(self.fragments.finish(self.position))
    }
}
