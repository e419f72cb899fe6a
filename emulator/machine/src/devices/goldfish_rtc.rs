//! Goldfish real-time clock (binding `google,goldfish-rtc`): nanoseconds since the Unix epoch and
//! one alarm.
//!
//! Time is read low word first: that load latches the high word. Time and alarm are set high word
//! first: the store of the low word applies both.

use std::fmt;

use crate::host::Clock;
use crate::{GuestMemory, MmioDevice};

const TIME_LOW: u64 = 0x00;
const TIME_HIGH: u64 = 0x04;
const ALARM_LOW: u64 = 0x08;
const ALARM_HIGH: u64 = 0x0c;
const IRQ_ENABLED: u64 = 0x10;
const CLEAR_ALARM: u64 = 0x14;
const ALARM_STATUS: u64 = 0x18;
const CLEAR_INTERRUPT: u64 = 0x1c;

/// The clock. What the guest sets is kept as the distance from the host's time, so a thawed guest
/// reads the present.
pub struct GoldfishRtc {
    clock: Box<dyn Clock>,
    registers: Registers,
}

/// What the guest has set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Registers {
    /// Guest time minus host time, wrapping.
    offset_ns: u64,
    latched_high: u32,
    written_high: u32,
    alarm_high: u32,
    alarm_ns: u64,
    alarm_armed: bool,
    interrupt_pending: bool,
    interrupt_enabled: bool,
}

impl GoldfishRtc {
    /// A clock that shows the host's real time.
    #[must_use]
    pub fn new(clock: Box<dyn Clock>) -> Self {
        Self::resume(clock, Registers::default())
    }

    /// A clock that goes on with these [`registers`](Self::registers).
    pub(crate) fn resume(clock: Box<dyn Clock>, registers: Registers) -> Self {
        Self { clock, registers }
    }

    /// All that the clock remembers.
    pub(crate) fn registers(&self) -> Registers {
        self.registers
    }

    /// Nanoseconds until the alarm wants a [`poll`](MmioDevice::poll), 0 if it is due; nothing if
    /// no alarm is set.
    pub fn ns_until_alarm(&mut self) -> Option<u64> {
        self.registers.alarm_armed.then(|| self.registers.alarm_ns.saturating_sub(self.now_ns()))
    }

    fn now_ns(&mut self) -> u64 {
        self.clock.realtime_ns().wrapping_add(self.registers.offset_ns)
    }

    fn read_time_low(&mut self) -> u32 {
        let now = self.now_ns();
        self.registers.latched_high = (now >> 32) as u32;
        now as u32
    }

    fn set_time(&mut self, low: u32) {
        let host = self.clock.realtime_ns();
        self.registers.offset_ns = words(self.registers.written_high, low).wrapping_sub(host);
    }

    fn set_alarm(&mut self, low: u32) {
        self.registers.alarm_ns = words(self.registers.alarm_high, low);
        self.registers.alarm_armed = true;
        self.ring_if_due();
    }

    fn ring_if_due(&mut self) {
        if self.ns_until_alarm() == Some(0) {
            self.registers.alarm_armed = false;
            self.registers.interrupt_pending = true;
        }
    }
}

fn words(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

impl fmt::Debug for GoldfishRtc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoldfishRtc")
            .field("offset_ns", &self.registers.offset_ns)
            .field("alarm_ns", &self.registers.alarm_armed.then_some(self.registers.alarm_ns))
            .finish_non_exhaustive()
    }
}

impl MmioDevice for GoldfishRtc {
    fn read(&mut self, offset: u64, size: u8, _memory: &mut dyn GuestMemory) -> u64 {
        if size != 4 {
            return 0;
        }
        let value = match offset {
            TIME_LOW => self.read_time_low(),
            TIME_HIGH => self.registers.latched_high,
            ALARM_LOW => self.registers.alarm_ns as u32,
            ALARM_HIGH => (self.registers.alarm_ns >> 32) as u32,
            IRQ_ENABLED => u32::from(self.registers.interrupt_enabled),
            ALARM_STATUS => u32::from(self.registers.alarm_armed),
            _ => 0,
        };
        u64::from(value)
    }

    fn write(&mut self, offset: u64, size: u8, value: u64, _memory: &mut dyn GuestMemory) {
        if size != 4 {
            return;
        }
        let value = value as u32;
        match offset {
            TIME_LOW => self.set_time(value),
            TIME_HIGH => self.registers.written_high = value,
            ALARM_LOW => self.set_alarm(value),
            ALARM_HIGH => self.registers.alarm_high = value,
            IRQ_ENABLED => self.registers.interrupt_enabled = value & 1 != 0,
            CLEAR_ALARM => self.registers.alarm_armed = false,
            CLEAR_INTERRUPT => self.registers.interrupt_pending = false,
            _ => {}
        }
    }

    fn poll(&mut self, _memory: &mut dyn GuestMemory) {
        self.ring_if_due();
    }

    fn irq(&self) -> bool {
        self.registers.interrupt_pending && self.registers.interrupt_enabled
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::devices::test_support::Ram;

    struct ManualClock(Rc<Cell<u64>>);

    impl Clock for ManualClock {
        fn monotonic_ns(&mut self) -> u64 {
            0
        }
        fn realtime_ns(&mut self) -> u64 {
            self.0.get()
        }
    }

    fn rtc_at(now: u64) -> (GoldfishRtc, Rc<Cell<u64>>) {
        let time = Rc::new(Cell::new(now));
        (GoldfishRtc::new(Box::new(ManualClock(Rc::clone(&time)))), time)
    }

    fn store(rtc: &mut GoldfishRtc, offset: u64, value: u64) {
        rtc.write(offset, 4, value, &mut Ram::new(0));
    }

    fn load(rtc: &mut GoldfishRtc, offset: u64) -> u64 {
        rtc.read(offset, 4, &mut Ram::new(0))
    }

    #[test]
    fn loading_the_low_word_latches_the_high_word() {
        let (mut rtc, time) = rtc_at(0x1111_2222_ffff_ffff);
        assert_eq!(load(&mut rtc, 0x00), 0xffff_ffff);
        time.set(0x1111_2223_0000_0000);
        assert_eq!(load(&mut rtc, 0x04), 0x1111_2222);
    }

    #[test]
    fn a_time_set_by_the_guest_runs_with_the_host() {
        let (mut rtc, time) = rtc_at(1_000);
        store(&mut rtc, 0x04, 5);
        store(&mut rtc, 0x00, 7);
        time.set(1_010);
        assert_eq!((load(&mut rtc, 0x00), load(&mut rtc, 0x04)), (17, 5));
    }

    #[test]
    fn an_alarm_rings_once_when_its_time_has_come() {
        let (mut rtc, time) = rtc_at(100);
        store(&mut rtc, 0x0c, 0);
        store(&mut rtc, 0x08, 150);
        store(&mut rtc, 0x10, 1);
        assert_eq!(load(&mut rtc, 0x18), 1);
        assert_eq!(rtc.ns_until_alarm(), Some(50));
        rtc.poll(&mut Ram::new(0));
        assert!(!rtc.irq());
        time.set(150);
        rtc.poll(&mut Ram::new(0));
        assert!(rtc.irq());
        assert_eq!(load(&mut rtc, 0x18), 0);
        assert_eq!(rtc.ns_until_alarm(), None);
        store(&mut rtc, 0x1c, 1);
        assert!(!rtc.irq());
    }

    #[test]
    fn an_alarm_in_the_past_rings_at_once() {
        let (mut rtc, _time) = rtc_at(100);
        store(&mut rtc, 0x10, 1);
        store(&mut rtc, 0x08, 99);
        assert!(rtc.irq());
    }

    #[test]
    fn a_cleared_alarm_never_rings() {
        let (mut rtc, time) = rtc_at(100);
        store(&mut rtc, 0x10, 1);
        store(&mut rtc, 0x08, 150);
        store(&mut rtc, 0x14, 1);
        time.set(1_000);
        rtc.poll(&mut Ram::new(0));
        assert!(!rtc.irq());
    }

    #[test]
    fn a_disabled_interrupt_stays_pending() {
        let (mut rtc, _time) = rtc_at(100);
        store(&mut rtc, 0x08, 1);
        assert!(!rtc.irq());
        store(&mut rtc, 0x10, 1);
        assert!(rtc.irq());
    }
}
