//! Which pages are next to each other in an address space, as far as the profile has seen it.
//!
//! This is a guess: pages of different programs may have been at the same address one after the other. Who acts
//! on it asks, when it is executed, what is where.

use std::collections::BTreeMap;

use lithify_isa::translation::PAGE_SIZE;

use crate::Page;

/// The virtual addresses of pages.
#[derive(Debug)]
pub(crate) struct Neighbours<'a> {
    pages: &'a [Page],
    by_place: BTreeMap<u64, Vec<usize>>,
}

impl<'a> Neighbours<'a> {
    pub(crate) fn new(pages: &'a [Page]) -> Self {
        let mut by_place: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (number, page) in pages.iter().enumerate() {
            for &place in &page.places {
                by_place.entry(place).or_default().push(number);
            }
        }
        Self { pages, by_place }
    }

    pub(crate) fn page(&self, number: usize) -> &'a Page {
        &self.pages[number]
    }

    /// The page that most often was `distance` pages behind page `from`, among those that are `wanted`.
    pub(crate) fn find(
        &self,
        from: usize,
        distance: i32,
        wanted: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let offset = i64::from(distance) * PAGE_SIZE as i64;
        let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
        for place in &self.pages[from].places {
            let there = self.by_place.get(&place.wrapping_add_signed(offset));
            for &page in there.into_iter().flatten().filter(|page| wanted(**page)) {
                *votes.entry(page).or_default() += 1;
            }
        }
        votes
            .into_iter()
            .max_by_key(|&(page, votes)| (votes, std::cmp::Reverse(page)))
            .map(|(page, _)| page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_that_was_most_often_there_is_the_neighbour() {
        let page = |places: &[u64]| Page {
            bytes: Box::new([0; PAGE_SIZE]),
            blocks: Vec::new(),
            places: places.to_vec(),
        };
        let pages = [
            page(&[0x1000, 0x7000, 0x9000]),
            page(&[0x2000]),
            page(&[0x8000, 0xa000]),
            page(&[0, 0x3000]),
        ];
        let neighbours = Neighbours::new(&pages);
        assert_eq!(neighbours.find(0, 1, |_| true), Some(2));
        assert_eq!(neighbours.find(0, 1, |page| page != 2), Some(1));
        assert_eq!(neighbours.find(0, -1, |_| true), Some(2), "the first of equals");
        assert_eq!(neighbours.find(1, 1, |_| true), Some(3));
        assert_eq!(neighbours.find(3, -1, |_| true), Some(1));
        assert_eq!(neighbours.find(3, -4, |_| true), None);
    }
}
