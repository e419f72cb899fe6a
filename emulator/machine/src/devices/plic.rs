//! Platform-level interrupt controller, SiFive PLIC 1.0.0 layout (RISC-V PLIC specification 1.0).
//!
//! One hart with two contexts, of which only the second exists: context 0 would be its M-mode,
//! context 1 is its S-mode. Sources are levels. A gateway forwards a high level once and then
//! waits for completion, so a line that is still high when its handler completes interrupts again.
//!
//! | offset | register |
//! | --- | --- |
//! | `0x000000 + 4 * source` | priority |
//! | `0x001000` | pending bits of sources 0..=31 |
//! | `0x002080` | enable bits of context 1 |
//! | `0x201000` | priority threshold of context 1 |
//! | `0x201004` | claim (load) and complete (store) of context 1 |

use crate::{GuestMemory, MmioDevice};

/// Source 0 means "no interrupt"; its register is reserved.
const SOURCES: usize = 32;
const PRIORITY_MASK: u32 = 0b111;

const PRIORITY_END: u64 = 4 * SOURCES as u64;
const PENDING: u64 = 0x00_1000;
const ENABLE: u64 = 0x00_2080;
const THRESHOLD: u64 = 0x20_1000;
const CLAIM_COMPLETE: u64 = 0x20_1004;

/// The interrupt controller. Bit n of each word belongs to source n.
#[derive(Debug, Clone, Default)]
pub struct Plic {
    level: u32,
    pending: u32,
    claimed: u32,
    enable: u32,
    threshold: u32,
    priority: [u32; SOURCES],
}

impl Plic {
    /// A controller after reset: nothing enabled, all priorities 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the line of `source`. Sources are 1..=31, others do not exist and are ignored.
    pub fn set_level(&mut self, source: u32, high: bool) {
        let Some(bit) = source_bit(source) else { return };
        if high {
            self.level |= bit;
            self.forward(bit);
        } else {
            self.level &= !bit;
        }
    }

    /// Whether the controller signals an external interrupt to the hart's S-mode.
    #[must_use]
    pub fn external_interrupt(&self) -> bool {
        self.best_candidate(self.threshold) != 0
    }

    /// The gateway: a line that is high and not being handled becomes pending, and stays so even
    /// if the line drops before the claim (PLIC specification, "Interrupt Gateways").
    fn forward(&mut self, bit: u32) {
        self.pending |= self.level & bit & !self.claimed;
    }

    /// The pending, enabled source of highest priority above `floor`, the lowest number winning
    /// ties; 0 if there is none.
    fn best_candidate(&self, floor: u32) -> u32 {
        let mut candidates = self.pending & self.enable;
        let mut best = 0;
        let mut best_priority = floor;
        while candidates != 0 {
            let source = candidates.trailing_zeros();
            candidates &= candidates - 1;
            let priority = self.priority[source as usize];
            if priority > best_priority {
                best = source;
                best_priority = priority;
            }
        }
        best
    }

    /// The threshold gates the interrupt line, not the claim (PLIC specification, "Interrupt
    /// Claim Process"), so that software can poll below it. Priority 0 is never claimed.
    fn claim(&mut self) -> u32 {
        let source = self.best_candidate(0);
        if let Some(bit) = source_bit(source) {
            self.pending &= !bit;
            self.claimed |= bit;
        }
        source
    }

    /// Completions of sources that are not enabled are ignored, as the specification demands.
    fn complete(&mut self, source: u32) {
        let Some(bit) = source_bit(source) else { return };
        if self.enable & bit != 0 {
            self.claimed &= !bit;
            self.forward(bit);
        }
    }
}

fn source_bit(source: u32) -> Option<u32> {
    (1..SOURCES as u32).contains(&source).then(|| 1 << source)
}

fn priority_index(offset: u64) -> Option<usize> {
    (4..PRIORITY_END).contains(&offset).then_some((offset / 4) as usize)
}

impl MmioDevice for Plic {
    fn read(&mut self, offset: u64, size: u8, _memory: &mut dyn GuestMemory) -> u64 {
        if size != 4 || !offset.is_multiple_of(4) {
            return 0;
        }
        let value = match offset {
            PENDING => self.pending,
            ENABLE => self.enable,
            THRESHOLD => self.threshold,
            CLAIM_COMPLETE => self.claim(),
            _ => priority_index(offset).map_or(0, |source| self.priority[source]),
        };
        u64::from(value)
    }

    fn write(&mut self, offset: u64, size: u8, value: u64, _memory: &mut dyn GuestMemory) {
        if size != 4 || !offset.is_multiple_of(4) {
            return;
        }
        let value = value as u32;
        match offset {
            ENABLE => self.enable = value & !1,
            THRESHOLD => self.threshold = value & PRIORITY_MASK,
            CLAIM_COMPLETE => self.complete(value),
            _ => {
                if let Some(source) = priority_index(offset) {
                    self.priority[source] = value & PRIORITY_MASK;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::test_support::Ram;

    // SiFive U54 manual, chapter "Platform-Level Interrupt Controller".
    const PRIORITY_OF_1: u64 = 0x4;
    const PENDING_WORD: u64 = 0x1000;
    const S_ENABLE: u64 = 0x2000 + 0x80;
    const S_THRESHOLD: u64 = 0x20_0000 + 0x1000;
    const S_CLAIM: u64 = 0x20_0000 + 0x1000 + 4;

    fn store(plic: &mut Plic, offset: u64, value: u64) {
        plic.write(offset, 4, value, &mut Ram::new(0));
    }

    fn load(plic: &mut Plic, offset: u64) -> u64 {
        plic.read(offset, 4, &mut Ram::new(0))
    }

    fn enabled(sources: &[u32]) -> Plic {
        let mut plic = Plic::new();
        let mask = sources.iter().fold(0, |mask, source| mask | 1 << source);
        store(&mut plic, S_ENABLE, mask);
        for &source in sources {
            store(&mut plic, u64::from(source) * 4, 1);
        }
        plic
    }

    #[test]
    fn a_high_line_interrupts_only_when_enabled_with_a_priority() {
        let mut plic = Plic::new();
        plic.set_level(1, true);
        assert!(!plic.external_interrupt());
        assert_eq!(load(&mut plic, PENDING_WORD), 1 << 1);
        store(&mut plic, S_ENABLE, 1 << 1);
        assert!(!plic.external_interrupt(), "priority 0 never interrupts");
        store(&mut plic, PRIORITY_OF_1, 1);
        assert!(plic.external_interrupt());
    }

    #[test]
    fn a_line_still_high_at_completion_interrupts_again() {
        let mut plic = enabled(&[5]);
        plic.set_level(5, true);
        assert_eq!(load(&mut plic, S_CLAIM), 5);
        assert!(!plic.external_interrupt());
        plic.set_level(5, true);
        assert!(!plic.external_interrupt(), "claimed sources wait for completion");
        store(&mut plic, S_CLAIM, 5);
        assert!(plic.external_interrupt());
    }

    #[test]
    fn a_line_dropped_by_its_handler_is_done_at_completion() {
        let mut plic = enabled(&[5]);
        plic.set_level(5, true);
        assert_eq!(load(&mut plic, S_CLAIM), 5);
        plic.set_level(5, false);
        store(&mut plic, S_CLAIM, 5);
        assert!(!plic.external_interrupt());
        assert_eq!(load(&mut plic, S_CLAIM), 0);
    }

    #[test]
    fn a_forwarded_request_outlives_its_line() {
        let mut plic = enabled(&[5]);
        plic.set_level(5, true);
        plic.set_level(5, false);
        assert_eq!(load(&mut plic, S_CLAIM), 5);
    }

    #[test]
    fn claims_go_by_priority_then_by_number() {
        let mut plic = enabled(&[2, 3, 9]);
        store(&mut plic, 9 * 4, 7);
        for source in [3, 9, 2] {
            plic.set_level(source, true);
        }
        let order: Vec<_> = (0..4).map(|_| load(&mut plic, S_CLAIM)).collect();
        assert_eq!(order, [9, 2, 3, 0]);
    }

    #[test]
    fn the_threshold_masks_priorities_up_to_itself() {
        let mut plic = enabled(&[4]);
        plic.set_level(4, true);
        store(&mut plic, S_THRESHOLD, 1);
        assert!(!plic.external_interrupt());
        store(&mut plic, S_THRESHOLD, 0);
        assert!(plic.external_interrupt());
    }

    #[test]
    fn claims_reach_below_the_threshold() {
        let mut plic = enabled(&[4]);
        store(&mut plic, S_THRESHOLD, 7);
        plic.set_level(4, true);
        assert!(!plic.external_interrupt());
        assert_eq!(load(&mut plic, S_CLAIM), 4);
    }

    #[test]
    fn completion_of_a_disabled_source_is_ignored() {
        let mut plic = enabled(&[4]);
        plic.set_level(4, true);
        assert_eq!(load(&mut plic, S_CLAIM), 4);
        store(&mut plic, S_ENABLE, 0);
        store(&mut plic, S_CLAIM, 4);
        store(&mut plic, S_ENABLE, 1 << 4);
        assert!(!plic.external_interrupt());
        store(&mut plic, S_CLAIM, 4);
        assert!(plic.external_interrupt());
    }

    #[test]
    fn registers_keep_only_their_defined_bits() {
        let mut plic = Plic::new();
        for (offset, kept) in
            [(0, 0), (PRIORITY_OF_1, 7), (31 * 4, 7), (32 * 4, 0), (PENDING_WORD, 0)]
        {
            store(&mut plic, offset, 0xffff_ffff);
            assert_eq!(load(&mut plic, offset), kept, "offset {offset:#x}");
        }
        store(&mut plic, S_ENABLE, 0xffff_ffff);
        assert_eq!(load(&mut plic, S_ENABLE), 0xffff_fffe);
        store(&mut plic, S_THRESHOLD, 0xffff_ffff);
        assert_eq!(load(&mut plic, S_THRESHOLD), 7);
    }

    #[test]
    fn sources_and_contexts_that_do_not_exist_are_ignored() {
        let mut plic = enabled(&[1]);
        plic.set_level(0, true);
        plic.set_level(32, true);
        plic.set_level(u32::MAX, true);
        assert_eq!(load(&mut plic, PENDING_WORD), 0);
        store(&mut plic, S_CLAIM, 0xffff_ffff);
        store(&mut plic, 0x2000, 0xffff_ffff);
        assert_eq!(load(&mut plic, 0x2000), 0);
        assert_eq!(plic.read(S_ENABLE, 1, &mut Ram::new(0)), 0, "only words are defined");
    }
}
