//! Host ends of devices that no program touches: for bare harts and unit tests.

use crate::host::{Console, Entropy, Input, KernelLog, NoDisk};
use crate::machine::Hosts;

/// Takes everything, has nothing.
pub(crate) struct Absent;

impl Console for Absent {
    fn write(&mut self, _port: u32, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn read(&mut self, _port: u32, _into: &mut [u8]) -> Input {
        Input::Closed
    }
}

impl Entropy for Absent {
    fn fill(&mut self, into: &mut [u8]) {
        into.fill(0);
    }
}

impl KernelLog for Absent {
    fn write(&mut self, _bytes: &[u8]) {}
}

impl Absent {
    /// Nothing at all.
    pub(crate) fn hosts() -> Hosts {
        Hosts {
            console: Box::new(Self),
            entropy: Box::new(Self),
            disk: Box::new(NoDisk),
            kernel_log: Box::new(Self),
            link: None,
        }
    }
}
