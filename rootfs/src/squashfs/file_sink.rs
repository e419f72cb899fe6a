//! An image written to a file. Equal files are stored once, blocks of zeros not at all.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::data::{BlockCount, DataEnd, DataSink, FileData, Fragments, blocks, is_short};
use super::format::{BLOCK_BYTES, HOLE, Superblock, stored};
use super::writer::Metadata;
use crate::holes::{Holes, is_zero};
use crate::{Content, ContentReader, Error};

/// Writes file data from the end of the superblock on. Holds one block and one fragment.
#[derive(Debug)]
pub(super) struct FileSink<'a> {
    out: &'a mut File,
    position: u64,
    count: BlockCount,
    fragments: Fragments,
    fragment: Vec<u8>,
    /// Files by a hash that nobody can forge: one made to collide with a program would take the
    /// program's place.
    known: HashMap<[u8; 32], FileData>,
}

impl<'a> FileSink<'a> {
    pub(super) fn new(out: &'a mut File) -> Self {
        Self {
            out,
            position: Superblock::BYTES as u64,
            count: BlockCount::default(),
            fragments: Fragments::default(),
            fragment: Vec::with_capacity(BLOCK_BYTES),
            known: HashMap::new(),
        }
    }

    /// Adds what is not data, and cuts off what the file held behind it.
    pub(super) fn complete(self, metadata: &Metadata) -> Result<(), Error> {
        let len = metadata.tables_start + metadata.tables.len() as u64;
        self.out
            .write_all_at(&metadata.tables, metadata.tables_start)
            .and_then(|()| self.out.write_all_at(&metadata.superblock, 0))
            .and_then(|()| self.out.set_len(len))
            .map_err(Error::write("the squashfs image"))
    }

    /// Writes all of `input` and returns the blocks' lengths and the number of bytes in holes.
    fn write_blocks(
        &mut self,
        input: &mut Input<'_>,
        mut holes: Holes,
    ) -> Result<(Vec<u32>, u64), Error> {
        let (mut lens, mut sparse) = (Vec::new(), 0);
        for block in blocks(input.len) {
            let stored_len = match holes.cover(&block) {
                true => {
                    input.reader.skip(block.end - block.start);
                    HOLE
                }
                false => {
                    input.read_block((block.end - block.start) as usize)?;
                    self.write_block(&input.block)?
                }
            };
            input.hash.update(stored_len.to_le_bytes());
            if stored_len == HOLE {
                sparse += block.end - block.start;
            } else {
                input.hash.update(&input.block);
            }
            lens.push(stored_len);
        }
        Ok((lens, sparse))
    }

    /// Writes a block unless it is zeros, and returns its length as the format has it.
    fn write_block(&mut self, block: &[u8]) -> Result<u32, Error> {
        if is_zero(block) {
            return Ok(HOLE);
        }
        self.write(block)?;
        Ok(stored(block.len()))
    }

    fn add_to_fragment(&mut self, bytes: &[u8]) -> Result<Option<(u32, u32)>, Error> {
        if self.fragments.is_full(bytes.len()) {
            self.flush_fragment()?;
        }
        self.fragment.extend_from_slice(bytes);
        Ok(self.fragments.take(bytes.len()))
    }

    fn flush_fragment(&mut self) -> Result<(), Error> {
        let mut fragment = std::mem::take(&mut self.fragment);
        self.fragments.end(self.position)?;
        self.write(&fragment)?;
        fragment.clear();
        self.fragment = fragment;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all_at(bytes, self.position).map_err(Error::write("the squashfs image"))?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

impl DataSink for FileSink<'_> {
    fn file(&mut self, path: &Path, content: &Content) -> Result<FileData, Error> {
        let mut input = Input::new(path, content);
        let (start, len) = (self.position, input.len);
        self.count.add(path, len)?;
        let (blocks, sparse) = if is_short(len) {
            input.read_block(len as usize)?;
            input.hash.update(&input.block);
            Default::default()
        } else {
            let holes = Holes::of(content).map_err(Error::content(path))?;
            self.write_blocks(&mut input, holes)?
        };
        let digest = input.hash.finalize().into();
        if let Some(same) = self.known.get(&digest) {
            // What comes next is written over the second copy.
            self.position = start;
            return Ok(same.clone());
        }
        let fragment = if is_short(len) { self.add_to_fragment(&input.block)? } else { None };
        let data = FileData { start, len, sparse, blocks: blocks.into(), fragment };
        self.known.insert(digest, data.clone());
        Ok(data)
    }

    fn finish(&mut self) -> Result<DataEnd, Error> {
        if self.fragments.fill() > 0 {
            self.flush_fragment()?;
        }
        Ok(self.fragments.finish(self.position))
    }
}

/// A file that is being read and hashed.
struct Input<'a> {
    path: &'a Path,
    reader: ContentReader,
    len: u64,
    block: Vec<u8>,
    /// Of the length, the blocks' lengths and the data: so holes need not be hashed, and equal
    /// input means equal files.
    hash: Sha256,
}

impl<'a> Input<'a> {
    fn new(path: &'a Path, content: &Content) -> Self {
        let len = content.len();
        let hash = Sha256::new_with_prefix(len.to_le_bytes());
        Self { path, reader: content.reader(), len, block: Vec::new(), hash }
    }

    fn read_block(&mut self, len: usize) -> Result<(), Error> {
        self.block.resize(len, 0);
        self.reader.read_exact(&mut self.block).map_err(Error::content(self.path))
    }
}
