//! Guest time: counted from instructions until the thaw, taken from the host after it.

use std::cell::{Cell, RefCell};

use crate::host::Clock;

/// Guest nanoseconds per retired instruction before the thaw. It fits the interpreter's speed,
/// so that timeouts in the guest relate to work as they will later.
const NS_PER_INSTRUCTION: u64 = 10;

#[derive(Debug, Clone, Copy)]
struct Running {
    /// Guest time minus the host's monotonic clock.
    offset_ns: u64,
}

/// Virtual time that stands still.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrozenTime {
    epoch_ns: u64,
    skipped_ns: u64,
    instret: u64,
}

/// The machine's one source of time.
pub(crate) struct Timekeeper {
    /// Wall clock at power-on, nanoseconds since the Unix epoch.
    epoch_ns: u64,
    /// Guest time that passed while the CPU waited, before the thaw.
    skipped_ns: Cell<u64>,
    /// Retired instructions at the last [`publish`](Self::publish).
    instret: Cell<u64>,
    running: Cell<Option<Running>>,
    host: RefCell<Option<Box<dyn Clock>>>,
}

impl std::fmt::Debug for Timekeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timekeeper")
            .field("skipped_ns", &self.skipped_ns)
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

impl Timekeeper {
    /// Virtual time from zero; the wall clock starts at `epoch_ns`.
    pub(crate) fn new(epoch_ns: u64) -> Self {
        Self {
            epoch_ns,
            skipped_ns: Cell::new(0),
            instret: Cell::new(0),
            running: Cell::new(None),
            host: RefCell::new(None),
        }
    }

    /// Where virtual time stands.
    pub(crate) fn freeze(&self) -> FrozenTime {
        FrozenTime {
            epoch_ns: self.epoch_ns,
            skipped_ns: self.skipped_ns.get(),
            instret: self.instret.get(),
        }
    }

    /// Goes on from there.
    pub(crate) fn resume(frozen: FrozenTime) -> Self {
        Self {
            skipped_ns: Cell::new(frozen.skipped_ns),
            instret: Cell::new(frozen.instret),
            ..Self::new(frozen.epoch_ns)
        }
    }

    /// Notes how far the CPU is, for those who ask for the time without knowing.
    pub(crate) fn publish(&self, instret: u64) {
        self.instret.set(instret);
    }

    /// Nanoseconds since power-on; `instret` counts only before the thaw.
    pub(crate) fn now_ns(&self, instret: u64) -> u64 {
        match (self.running.get(), self.host.borrow_mut().as_mut()) {
            (Some(running), Some(host)) => host.monotonic_ns().wrapping_add(running.offset_ns),
            _ => self.virtual_ns(instret),
        }
    }

    fn virtual_ns(&self, instret: u64) -> u64 {
        instret.wrapping_mul(NS_PER_INSTRUCTION).wrapping_add(self.skipped_ns.get())
    }

    /// Whether time is counted from instructions.
    pub(crate) fn is_virtual(&self) -> bool {
        self.running.get().is_none()
    }

    /// Lets `ns` pass without an instruction; virtual time only.
    pub(crate) fn skip(&self, ns: u64) {
        self.skipped_ns.set(self.skipped_ns.get().wrapping_add(ns));
    }

    /// Instructions until `deadline_ns`, rounded up; `None` once time is the host's.
    pub(crate) fn instructions_until(&self, deadline_ns: u64, instret: u64) -> Option<u64> {
        self.is_virtual().then(|| {
            deadline_ns.saturating_sub(self.virtual_ns(instret)).div_ceil(NS_PER_INSTRUCTION)
        })
    }

    /// Goes on with the host's clock from where virtual time stands.
    pub(crate) fn thaw(&self, mut host: Box<dyn Clock>, instret: u64) {
        let offset_ns = self.virtual_ns(instret).wrapping_sub(host.monotonic_ns());
        self.running.set(Some(Running { offset_ns }));
        *self.host.borrow_mut() = Some(host);
    }

    /// Stands still where the host's clock has brought it; the next [`thaw`](Self::thaw) goes on from
    /// there.
    pub(crate) fn suspend(&self, instret: u64) {
        let now = self.now_ns(instret);
        *self.host.borrow_mut() = None;
        self.running.set(None);
        self.skipped_ns.set(now.wrapping_sub(instret.wrapping_mul(NS_PER_INSTRUCTION)));
    }

    /// Nanoseconds since the Unix epoch.
    pub(crate) fn realtime_ns(&self) -> u64 {
        match self.host.borrow_mut().as_mut() {
            Some(host) => host.realtime_ns(),
            None => self.epoch_ns.wrapping_add(self.virtual_ns(self.instret.get())),
        }
    }
}

/// The timekeeper as devices see it.
#[derive(Debug)]
pub(crate) struct DeviceClock(pub(crate) std::rc::Rc<Timekeeper>);

impl Clock for DeviceClock {
    fn monotonic_ns(&mut self) -> u64 {
        self.0.now_ns(self.0.instret.get())
    }

    fn realtime_ns(&mut self) -> u64 {
        self.0.realtime_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u64);

    impl Clock for Fixed {
        fn monotonic_ns(&mut self) -> u64 {
            self.0
        }
        fn realtime_ns(&mut self) -> u64 {
            1_700_000_000_000_000_000
        }
    }

    #[test]
    fn time_goes_on_at_the_thaw_without_a_step() {
        let time = Timekeeper::new(5);
        assert_eq!(time.now_ns(100), 1000);
        time.skip(50);
        assert_eq!(time.instructions_until(1111, 100), Some(7));
        time.thaw(Box::new(Fixed(99)), 100);
        assert_eq!(time.now_ns(100_000), 1050);
        assert_eq!(time.realtime_ns(), 1_700_000_000_000_000_000);
        assert_eq!(time.instructions_until(2000, 100), None);
    }

    #[test]
    fn suspended_time_stands_still_until_the_next_thaw() {
        let time = Timekeeper::new(5);
        time.thaw(Box::new(Fixed(1000)), 7);
        let now = time.now_ns(100_000);
        time.suspend(100_000);
        assert!(time.is_virtual());
        assert_eq!(time.now_ns(100_000), now);
        time.thaw(Box::new(Fixed(3)), 100_000);
        assert_eq!(time.now_ns(200_000), now);
    }
}
