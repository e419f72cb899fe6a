//! How many instructions a slice has.
//!
//! Between slices the machine looks at time and devices: a look bounds how late a timer or input can be while the
//! guest computes, and costs as much as some thousand instructions. Hosts differ by ten in speed, translated code
//! and interpreted by five. So slices after the thaw are as long as they may last.

/// Instructions of a slice before the thaw, and the fewest after it.
pub(crate) const SLICE: u64 = 100_000;
/// The most: where code suddenly becomes slow, a look is a few milliseconds late once.
const LONGEST: u64 = 1_600_000;
/// Nanoseconds that a slice may last.
const SLICE_NS: u64 = 500_000;

/// The length of slices, adapted to how long they last.
#[derive(Debug)]
pub(crate) struct Pace {
    slice: u64,
    longest: u64,
    /// When the last slice began: host time, instructions retired.
    began: Option<(u64, u64)>,
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Self { slice: SLICE, longest: LONGEST, began: None }
    }

    /// No slice is longer than so many instructions from now on, nor than [`SLICE`].
    pub(crate) fn restrict(&mut self, slice: u64) {
        self.slice = slice.min(SLICE);
        self.longest = self.slice;
    }

    /// The length of a slice in virtual time.
    pub(crate) fn steady(&self) -> u64 {
        self.slice.min(SLICE)
    }

    /// The length of the slice that begins at host time `now_ns`, after so many instructions.
    pub(crate) fn begin(&mut self, now_ns: u64, instret: u64) -> u64 {
        if let Some((then_ns, before)) = self.began.replace((now_ns, instret))
            && instret.wrapping_sub(before) >= self.slice
        {
            match now_ns.saturating_sub(then_ns) {
                took if took > SLICE_NS => self.slice = (self.slice / 2).max(self.steady()),
                took if took < SLICE_NS / 4 => self.slice = (self.slice * 2).min(self.longest),
                _ => {}
            }
        }
        self.slice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of a slice after `slices` whole ones on a host that needs so many nanoseconds for a
    /// thousand instructions.
    fn settled(pace: &mut Pace, ns: u64, slices: usize) -> u64 {
        let (mut now, mut instret) = (1, 1);
        pace.began = None;
        for _ in 0..slices {
            let slice = pace.begin(now, instret);
            (now, instret) = (now + slice * ns / 1000, instret + slice);
        }
        pace.slice
    }

    #[test]
    fn slices_last_as_long_on_slow_hosts_as_on_fast_ones() {
        let mut pace = Pace::new();
        assert_eq!(settled(&mut pace, 1000, 10), 200_000);
        assert_eq!(settled(&mut pace, 50, 10), LONGEST);
        assert_eq!(settled(&mut pace, 100_000, 10), SLICE);
    }

    #[test]
    fn what_ends_early_says_nothing_and_limits_are_kept() {
        let mut pace = Pace::new();
        assert_eq!([0, 1, 2].map(|now| pace.begin(now, now)), [SLICE; 3]);
        pace.restrict(50);
        assert_eq!(settled(&mut pace, 1, 10), 50);
        assert_eq!(settled(&mut pace, 1_000_000_000, 10), 50);
        assert_eq!(pace.steady(), 50);
    }
}
