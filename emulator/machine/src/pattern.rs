//! Pages whose words follow from their first few.
//!
//! A kernel that starts fills whole pages with records that differ in nothing but their own
//! addresses (`struct page` of free memory), and paints freed memory with one byte. Such a page is
//! kept as the rule that makes it: what was four mebibytes of a frozen machine is a few kibibytes,
//! and nothing has to be read or written for it before the guest touches the page.

use crate::arena::PAGE_SIZE;

/// Words of a page.
const WORDS: usize = PAGE_SIZE / size_of::<u64>();
/// Longest record, in words: `struct page` has seven or eight.
const MAX_PERIOD: usize = 8;
/// Words that may break the rule. The heads of free blocks do; more of them and the page itself is
/// the better place.
const MAX_EXCEPTIONS: usize = 16;

/// Word `i` is `words[i % period] + steps[i % period] * (i / period)`, but for the exceptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    period: u8,
    words: [u64; MAX_PERIOD],
    steps: [u64; MAX_PERIOD],
    /// By their place.
    exceptions: Vec<(u32, u64)>,
}

impl Pattern {
    /// The rule that makes `page`, with the shortest record, if there is one.
    pub(crate) fn of(page: &[u8; PAGE_SIZE]) -> Option<Self> {
        (1..=MAX_PERIOD).find_map(|period| Self::with_period(page, period))
    }

    /// The record in the middle of the page and the one behind it make the rule: exceptions are
    /// mostly at a page's ends.
    fn with_period(page: &[u8; PAGE_SIZE], period: usize) -> Option<Self> {
        let record = WORDS / 2 / period;
        let (mut words, mut steps) = ([0; MAX_PERIOD], [0; MAX_PERIOD]);
        for at in 0..period {
            let middle = word(page, record * period + at);
            let step = word(page, (record + 1) * period + at).wrapping_sub(middle);
            steps[at] = step;
            words[at] = middle.wrapping_sub(step.wrapping_mul(record as u64));
        }
        let rule = Self { period: period as u8, words, steps, exceptions: Vec::new() };
        let broken = (0..WORDS).filter_map(|at| {
            let found = word(page, at);
            (found != rule.word(at)).then_some((at as u32, found))
        });
        let exceptions: Vec<_> = broken.take(MAX_EXCEPTIONS + 1).collect();
        (exceptions.len() <= MAX_EXCEPTIONS).then_some(Self { exceptions, ..rule })
    }

    fn word(&self, at: usize) -> u64 {
        let period = usize::from(self.period);
        let (record, at) = ((at / period) as u64, at % period);
        self.words[at].wrapping_add(self.steps[at].wrapping_mul(record))
    }

    /// Makes the page.
    pub(crate) fn expand(&self, page: &mut [u8; PAGE_SIZE]) {
        let mut put = |at: usize, word: u64| {
            page[at * size_of::<u64>()..][..size_of::<u64>()].copy_from_slice(&word.to_le_bytes());
        };
        let period = usize::from(self.period);
        let mut record = self.words;
        for at in 0..WORDS {
            let place = at % period;
            put(at, record[place]);
            record[place] = record[place].wrapping_add(self.steps[place]);
        }
        for &(at, word) in &self.exceptions {
            put(at as usize, word);
        }
    }
}

/// Pages in a row that one rule makes: its words are counted from the first page on.
#[derive(Debug)]
pub(crate) struct Run {
    pattern: Pattern,
    len: usize,
}

impl Run {
    pub(crate) fn new(first: Pattern) -> Self {
        Self { pattern: first, len: 1 }
    }

    /// Number of pages.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The rule of one page alone.
    pub(crate) fn page(&self, number: usize) -> Pattern {
        let Pattern { period, steps, ref exceptions, .. } = self.pattern;
        let start = number * WORDS;
        let (mut page_words, mut page_steps) = ([0; MAX_PERIOD], [0; MAX_PERIOD]);
        for at in 0..usize::from(period) {
            page_words[at] = self.pattern.word(start + at);
            page_steps[at] = steps[(start + at) % usize::from(period)];
        }
        let place = |at: usize| exceptions.partition_point(|(place, _)| (*place as usize) < at);
        let exceptions = &exceptions[place(start)..place(start + WORDS)];
        let exceptions = exceptions.iter().map(|(at, word)| (*at - start as u32, *word)).collect();
        Pattern { period, words: page_words, steps: page_steps, exceptions }
    }

    /// Takes the page behind the last one in if the rule is its, too; otherwise gives it back.
    pub(crate) fn take(&mut self, page: Pattern) -> Option<Pattern> {
        let Pattern { period, words, steps, exceptions } = self.page(self.len);
        debug_assert!(exceptions.is_empty());
        if (period, words, steps) != (page.period, page.words, page.steps) {
            return Some(page);
        }
        let start = (self.len * WORDS) as u32;
        self.pattern
            .exceptions
            .extend(page.exceptions.iter().map(|(at, word)| (start + at, *word)));
        self.len += 1;
        None
    }
}

fn word(page: &[u8; PAGE_SIZE], at: usize) -> u64 {
    let bytes = page[at * size_of::<u64>()..].first_chunk().expect("inside the page");
    u64::from_le_bytes(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(word: impl Fn(usize) -> u64) -> [u8; PAGE_SIZE] {
        let mut page = [0; PAGE_SIZE];
        for (at, to) in page.chunks_exact_mut(8).enumerate() {
            to.copy_from_slice(&word(at).to_le_bytes());
        }
        page
    }

    /// `struct page` of a free page: flags, a list of itself alone, counts.
    fn free_page_records(record: usize) -> impl Fn(usize) -> u64 {
        move |at| match at % record {
            1 | 2 => 0xffff_ffd6_0fc8_0008 + (at / record * record * 8) as u64,
            6 => 0xffff_ffff,
            _ => 0,
        }
    }

    fn round_trip(page: &[u8; PAGE_SIZE]) -> Option<Pattern> {
        let pattern = Pattern::of(page)?;
        let mut made = [0xa5; PAGE_SIZE];
        pattern.expand(&mut made);
        assert_eq!(made, *page);
        Some(pattern)
    }

    #[test]
    fn pages_of_equal_records_come_back() {
        let period = |page| round_trip(&page).map(|pattern| pattern.period);
        assert_eq!(period([0xcc; PAGE_SIZE]), Some(1));
        assert_eq!(period(page(|at| 3 * at as u64)), Some(1));
        assert_eq!(period(page(free_page_records(7))), Some(7));
        assert_eq!(period(page(free_page_records(8))), Some(8));
        assert_eq!(period(page(|at| (at as u64).pow(2))), None);
        assert_eq!(period(page(free_page_records(9))), None);
    }

    #[test]
    fn a_rule_goes_on_over_pages() {
        // As `struct page` of free memory does, with a broken word on each page.
        let pages: Vec<[u8; PAGE_SIZE]> = (0..9)
            .map(|number| {
                page(|at| match (number * WORDS + at, at) {
                    (_, 40) => number as u64,
                    (at, _) if at % 7 == 1 => 0xffff_ffd6_0000_0008 + (at / 7 * 56) as u64,
                    (at, _) => (at % 7) as u64,
                })
            })
            .collect();
        let mut patterns = pages.iter().map(|page| Pattern::of(page).expect("one"));
        let mut run = Run::new(patterns.next().expect("the first"));
        patterns.for_each(|pattern| assert_eq!(run.take(pattern), None));
        assert_eq!(run.take(Pattern::of(&pages[3]).expect("one")), Some(run.page(3)));
        assert_eq!(run.len(), pages.len());
        for (number, page) in pages.iter().enumerate() {
            let mut made = [0xa5; PAGE_SIZE];
            run.page(number).expand(&mut made);
            assert_eq!(made, *page, "{number}");
        }
    }

    #[test]
    fn few_words_may_break_the_rule() {
        let rule = free_page_records(7);
        let broken = |count: usize| page(|at| if at < count { 77 + at as u64 } else { rule(at) });
        for count in [1, MAX_EXCEPTIONS] {
            let pattern = round_trip(&broken(count)).expect("few enough");
            assert_eq!(pattern.exceptions.len(), count);
        }
        assert_eq!(round_trip(&broken(MAX_EXCEPTIONS + 1)), None);
    }
}
