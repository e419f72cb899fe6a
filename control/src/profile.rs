//! What a training run counted: from the vm to the snapshot stage, and as a file.

use crate::wire::{Decoder, Encoder, WireError};

/// Bytes of a page.
const PAGE_SIZE: usize = 4096;

/// What a profile's file begins with: its form and version.
const MAGIC: [u8; 8] = *b"lithprf2";

/// How often blocks of guest code were executed, by the content of their pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Sorted by content, each one once.
    pub pages: Vec<PageProfile>,
}

/// One page's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageProfile {
    /// The content.
    pub bytes: Box<[u8; PAGE_SIZE]>,
    /// Sorted by offset, each one once.
    pub blocks: Vec<BlockProfile>,
    /// Virtual addresses at which it was executed, some of them: those of two contents tell whether
    /// they were neighbours.
    pub places: Vec<u64>,
}

/// A run of instructions up to a branch, a jump or the start of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockProfile {
    /// Where in the page it starts, in bytes.
    pub offset: u16,
    /// How often it was entered.
    pub count: u64,
}

/// Why bytes are no profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// They begin with something else.
    #[error("not a profile of this version of lithify")]
    Magic,
    /// They are cut off, or something follows.
    #[error("damaged profile: {0}")]
    Wire(#[from] WireError),
    /// A page or a block is not where its order wants it.
    #[error("damaged profile: page {page} is not in order")]
    Order {
        /// Its number.
        page: usize,
    },
}

impl Profile {
    /// The file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::default();
        to.array(&MAGIC);
        to.each(&self.pages, PageProfile::encode).finish()
    }

    /// The reverse of [`encode`](Self::encode).
    ///
    /// # Errors
    /// If `bytes` is not exactly one encoded profile.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProfileError> {
        let mut from = Decoder::new(bytes);
        if from.array() != Ok(MAGIC) {
            return Err(ProfileError::Magic);
        }
        let pages = from.each(PageProfile::decode)?;
        from.finish()?;
        let ordered = |(page, profile): (usize, &PageProfile)| {
            let after = page == 0 || pages[page - 1].bytes < profile.bytes;
            let blocks = &profile.blocks;
            let inside = blocks.iter().all(|block| usize::from(block.offset) < PAGE_SIZE);
            after && inside && blocks.is_sorted_by(|a, b| a.offset < b.offset)
        };
        match pages.iter().enumerate().position(|page| !ordered(page)) {
            None => Ok(Self { pages }),
            Some(page) => Err(ProfileError::Order { page }),
        }
    }

    /// Adds what another run counted.
    pub fn add(&mut self, other: Self) {
        let mut pages: std::collections::BTreeMap<_, _> = std::mem::take(&mut self.pages)
            .into_iter()
            .map(|page| (page.bytes, (page.blocks, page.places)))
            .collect();
        for page in other.pages {
            let (blocks, places): &mut (Vec<BlockProfile>, Vec<u64>) =
                pages.entry(page.bytes).or_default();
            let new = page.places.into_iter().filter(|place| !places.contains(place));
            let new: Vec<_> = new.collect();
            places.extend(new);
            for block in page.blocks {
                match blocks.binary_search_by_key(&block.offset, |known| known.offset) {
                    Ok(at) => blocks[at].count = blocks[at].count.saturating_add(block.count),
                    Err(at) => blocks.insert(at, block),
                }
            }
        }
        let page = |(bytes, (blocks, places))| PageProfile { bytes, blocks, places };
        self.pages = pages.into_iter().map(page).collect();
    }
}

impl PageProfile {
    fn encode(&self, to: &mut Encoder) {
        to.array(&*self.bytes).each(&self.blocks, BlockProfile::encode);
        to.each(&self.places, |place, to| {
            to.u64(*place);
        });
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, WireError> {
        let bytes = Box::new(from.array()?);
        let blocks = from.each(BlockProfile::decode)?;
        Ok(Self { bytes, blocks, places: from.each(Decoder::u64)? })
    }
}

impl BlockProfile {
    fn encode(&self, to: &mut Encoder) {
        to.array(&self.offset.to_le_bytes()).u64(self.count);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, WireError> {
        Ok(Self { offset: from.array().map(u16::from_le_bytes)?, count: from.u64()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(byte: u8, blocks: &[(u16, u64)]) -> PageProfile {
        let blocks = blocks.iter().map(|&(offset, count)| BlockProfile { offset, count }).collect();
        PageProfile { bytes: Box::new([byte; PAGE_SIZE]), blocks, places: vec![byte.into()] }
    }

    #[test]
    fn files_are_read_back_and_damage_is_refused() {
        let profile = Profile { pages: vec![page(1, &[(0, 5), (8, u64::MAX)]), page(2, &[])] };
        let bytes = profile.encode();
        assert_eq!(Profile::decode(&bytes), Ok(profile.clone()));
        for len in 0..bytes.len() {
            assert!(Profile::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        let wrong = [
            Profile { pages: vec![page(2, &[]), page(1, &[])] },
            Profile { pages: vec![page(1, &[]), page(1, &[])] },
            Profile { pages: vec![page(1, &[(8, 1), (8, 1)])] },
            Profile { pages: vec![page(1, &[(4096, 1)])] },
        ];
        for profile in wrong {
            assert!(matches!(Profile::decode(&profile.encode()), Err(ProfileError::Order { .. })));
        }
        assert_eq!(Profile::decode(b"\0asm\x01\0\0\0"), Err(ProfileError::Magic));
    }

    #[test]
    fn counts_of_equal_blocks_add_up() {
        let mut profile = Profile { pages: vec![page(1, &[(0, 5), (8, u64::MAX)])] };
        profile.add(Profile { pages: vec![page(1, &[(4, 1), (8, 1)]), page(0, &[(2, 2)])] });
        let sum = [page(0, &[(2, 2)]), page(1, &[(0, 5), (4, 1), (8, u64::MAX)])];
        assert_eq!(profile.pages, sum);
    }
}
