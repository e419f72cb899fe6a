//! File data: blocks, holes, fragments. Equal files are stored once.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::fits_u32;
use super::format::{BLOCK_BYTES, FragmentEntry, HOLE, Superblock, stored};
use super::metadata::MetadataTable;
use crate::limits::MAX_DATA_BLOCKS;
use crate::{Content, ContentReader, Error};

/// Where a file's bytes are.
#[derive(Clone, Debug)]
pub(super) struct FileData {
    /// The first block, in bytes from the image's start.
    pub(super) start: u64,
    /// Length of the file.
    pub(super) len: u64,
    /// Bytes in holes.
    pub(super) sparse: u64,
    /// Lengths of the blocks as the format has them.
    pub(super) blocks: Rc<[u32]>,
    /// Number of the fragment that holds all of a short file, and the offset in it.
    pub(super) fragment: Option<(u32, u32)>,
}

/// Writes file data from the end of the superblock on. Holds one block and one fragment.
#[derive(Debug)]
pub(super) struct DataWriter<'a> {
    out: &'a mut File,
    position: u64,
    /// Blocks of all files so far, holes included.
    blocks: u64,
    fragment: Vec<u8>,
    fragments: u32,
    fragment_table: MetadataTable,
    /// Files by a hash that nobody can forge: one made to collide with a program would take the
    /// program's place.
    known: HashMap<[u8; 32], FileData>,
}

impl<'a> DataWriter<'a> {
    pub(super) fn new(out: &'a mut File) -> Self {
        Self {
            out,
            position: Superblock::BYTES as u64,
            blocks: 0,
            fragment: Vec::with_capacity(BLOCK_BYTES),
            fragments: 0,
            fragment_table: MetadataTable::default(),
            known: HashMap::new(),
        }
    }

    /// Stores the file at `path`. One shorter than a block goes into a fragment, where the guest
    /// reads it together with its neighbours; the end of a longer one is a short block.
    pub(super) fn file(&mut self, path: &Path, content: &Content) -> Result<FileData, Error> {
        let mut input = Input::new(path, content);
        let (start, len) = (self.position, input.left);
        self.count_blocks(path, len.div_ceil(BLOCK_BYTES as u64))?;
        let (blocks, sparse) = if len < BLOCK_BYTES as u64 {
            Default::default()
        } else {
            self.write_blocks(&mut input)?
        };
        input.read_block()?;
        input.hash.update(&input.block);
        let digest = input.hash.finalize().into();
        if let Some(same) = self.known.get(&digest) {
            // What comes next is written over the second copy.
            self.position = start;
            return Ok(same.clone());
        }
        let fragment = self.add_to_fragment(&input.block)?;
        let data = FileData { start, len, sparse, blocks: blocks.into(), fragment };
        self.known.insert(digest, data.clone());
        Ok(data)
    }

    fn count_blocks(&mut self, path: &Path, blocks: u64) -> Result<(), Error> {
        self.blocks = self.blocks.saturating_add(blocks);
        if self.blocks > MAX_DATA_BLOCKS {
            let what = format!("with `{}`, the data of all files, holes included,", path.display());
            return Err(Error::TooLarge { what, limit: MAX_DATA_BLOCKS as usize, unit: "blocks" });
        }
        Ok(())
    }

    /// Writes all of `input` and returns the blocks' lengths and the number of bytes in holes.
    fn write_blocks(&mut self, input: &mut Input<'_>) -> Result<(Vec<u32>, u64), Error> {
        let (mut lens, mut sparse) = (Vec::new(), 0);
        while input.left > 0 {
            input.read_block()?;
            let stored_len = self.write_block(&input.block)?;
            input.hash.update(stored_len.to_le_bytes());
            if stored_len == HOLE {
                sparse += input.block.len() as u64;
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
        if bytes.is_empty() {
            return Ok(None);
        }
        if self.fragment.len() + bytes.len() > BLOCK_BYTES {
            self.flush_fragment()?;
        }
        let offset = self.fragment.len() as u32;
        self.fragment.extend_from_slice(bytes);
        Ok(Some((self.fragments, offset)))
    }

    fn flush_fragment(&mut self) -> Result<(), Error> {
        let fragment = std::mem::take(&mut self.fragment);
        let entry = FragmentEntry { start: self.position, len: fragment.len() };
        self.write(&fragment)?;
        self.fragment_table.push(&entry.encode());
        let fragments = u64::from(self.fragments) + 1;
        self.fragments = fits_u32("the number of fragments", fragments, "fragments")?;
        self.fragment = fragment;
        self.fragment.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all_at(bytes, self.position).map_err(Error::write("the squashfs image"))?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Completes the data.
    pub(super) fn finish(mut self) -> Result<Written<'a>, Error> {
        if !self.fragment.is_empty() {
            self.flush_fragment()?;
        }
        Ok(Written {
            out: self.out,
            end: self.position,
            fragments: self.fragments,
            fragment_table: self.fragment_table,
        })
    }
}

/// A file that is being read and hashed.
struct Input<'a> {
    path: &'a Path,
    reader: ContentReader,
    /// Bytes not read yet.
    left: u64,
    block: Vec<u8>,
    /// Of the length, the blocks' lengths and the data: so holes need not be hashed, and equal
    /// input means equal files.
    hash: Sha256,
}

impl<'a> Input<'a> {
    fn new(path: &'a Path, content: &Content) -> Self {
        let left = content.len();
        let hash = Sha256::new_with_prefix(left.to_le_bytes());
        Self { path, reader: content.reader(), left, block: Vec::new(), hash }
    }

    /// Reads the next block, the last of which is shorter; after it, an empty one.
    fn read_block(&mut self) -> Result<(), Error> {
        let len = self.left.min(BLOCK_BYTES as u64) as usize;
        self.block.resize(len, 0);
        self.reader.read_exact(&mut self.block).map_err(Error::content(self.path))?;
        self.left -= len as u64;
        Ok(())
    }
}

/// What is left when all data is written.
#[derive(Debug)]
pub(super) struct Written<'a> {
    pub(super) out: &'a mut File,
    /// Where the data ends.
    pub(super) end: u64,
    pub(super) fragments: u32,
    pub(super) fragment_table: MetadataTable,
}

fn is_zero(block: &[u8]) -> bool {
    // Word by word: tests of files with gigabytes of zeros spend their time here.
    let (words, rest) = block.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}
