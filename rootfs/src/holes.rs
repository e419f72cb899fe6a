//! Holes: parts of files that are zeros and take no space.
//!
//! What is known to be a hole is not read. In a layer, what counts is only whether bytes are zero:
//! a file gives the same layer whether the host stores its zeros or not.

use std::io;
use std::ops::Range;

use crate::Content;

/// Files are looked through for zeros in blocks of this size, which are the guest's, too.
const BLOCK_BYTES: u64 = 64 << 10;

/// Zeros that make a file sparse in a layer. Below this the map is not worth its reader's time.
const MIN_HOLE_BYTES: u64 = 1 << 20;

/// The parts of a file of `len` bytes that are `block` bytes long, the last one perhaps less.
pub(crate) fn blocks(len: u64, block: u64) -> impl Iterator<Item = Range<u64>> {
    (0..len.div_ceil(block)).map(move |index| {
        let start = index * block;
        start..start.saturating_add(block).min(len)
    })
}

/// Says of one block after the other whether it is known to be a hole.
pub(crate) struct Holes {
    /// What is no hole, the next one last.
    data: Vec<Range<u64>>,
}

impl Holes {
    /// Reads no data.
    pub(crate) fn of(content: &Content) -> io::Result<Self> {
        let mut data = content.data_ranges()?;
        data.reverse();
        Ok(Self { data })
    }

    /// Whether no data is within `block`. Blocks must ascend.
    pub(crate) fn cover(&mut self, block: &Range<u64>) -> bool {
        while self.data.last().is_some_and(|data| data.end <= block.start) {
            self.data.pop();
        }
        self.data.last().is_none_or(|data| data.start >= block.end)
    }
}

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Word by word: files with gigabytes of zeros spend their time here.
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// The parts of a file that must be stored in a layer, ascending, in whole blocks; `None` if it has
/// so few zeros that all of it should be. Depends on the file's bytes alone.
pub(crate) fn parts_to_store(content: &Content) -> io::Result<Option<Vec<Range<u64>>>> {
    let len = content.len();
    if len < MIN_HOLE_BYTES {
        return Ok(None);
    }
    let mut holes = Holes::of(content)?;
    let mut reader = content.reader();
    let mut buffer = vec![0; BLOCK_BYTES as usize];
    let (mut parts, mut stored) = (Vec::<Range<u64>>::new(), 0);
    for block in blocks(len, BLOCK_BYTES) {
        let block_len = block.end - block.start;
        if holes.cover(&block) || reader.is_zero_at(&block, &mut buffer)? {
            continue;
        }
        stored += block_len;
        match parts.last_mut() {
            Some(last) if last.end == block.start => last.end = block.end,
            _ => parts.push(block),
        }
    }
    Ok((len - stored >= MIN_HOLE_BYTES).then_some(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_what_lies_between_the_data() {
        let mut holes = Holes { data: vec![50..60, 20..30, 5..6] };
        for (block, hole) in
            [(0..5, true), (5..10, false), (10..20, true), (20..25, false), (25..50, false)]
        {
            assert_eq!(holes.cover(&block), hole, "{block:?}");
        }
        assert!(!holes.cover(&(50..55)) && holes.cover(&(60..99)));
    }

    #[test]
    fn zeros_are_found_whatever_surrounds_them() {
        for len in [0, 1, 15, 16, 17, 100] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            for at in 0..len {
                bytes[at] = 1;
                assert!(!is_zero(&bytes), "{at} of {len}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn what_a_layer_stores_of_a_file_depends_on_its_bytes() {
        let block = BLOCK_BYTES as usize;
        let file = |pieces: &[(usize, usize)], len: usize| {
            let mut bytes = vec![0; len];
            pieces.iter().for_each(|(at, len)| bytes[*at..at + len].fill(1));
            parts_to_store(&Content::inline(bytes)).unwrap()
        };
        let blocks = |range: Range<u64>| range.start * BLOCK_BYTES..range.end * BLOCK_BYTES;
        assert_eq!(file(&[], 16 * block - 1), None);
        assert_eq!(file(&[], 16 * block), Some(vec![]));
        assert_eq!(file(&[(5, 1)], 16 * block), None);
        assert_eq!(file(&[(5, 1)], 17 * block), Some(vec![blocks(0..1)]));
        let apart = [(3 * block - 1, 2), (40 * block, 1), (50 * block + 7, 1)];
        let end = 50 * BLOCK_BYTES..50 * BLOCK_BYTES + 8;
        assert_eq!(file(&apart, 50 * block + 8), Some(vec![blocks(2..4), blocks(40..41), end]));
    }
}
