//! What a process does about each signal, as `/proc/PID/status` tells it.

/// Signals that do not end a process which does nothing about them: `signal(7)`.
const HARMLESS: [u32; 8] = [
    17, // CHLD
    18, // CONT
    19, // STOP
    20, // TSTP
    21, // TTIN
    22, // TTOU
    23, // URG
    28, // WINCH
];

/// Bit n - 1 stands for signal n.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dispositions {
    blocked: u64,
    ignored: u64,
    caught: u64,
}

impl Dispositions {
    /// Those of a process; `None` if there is no such process.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }

    fn parse(status: &str) -> Option<Self> {
        let mask = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            u64::from_str_radix(value.trim(), 16).ok()
        };
        Some(Self {
            blocked: mask("SigBlk:")?,
            ignored: mask("SigIgn:")?,
            caught: mask("SigCgt:")?,
        })
    }

    /// Whether the process does something of its own about a signal.
    ///
    /// # Panics
    /// If `number` is not in 1..=64.
    pub(crate) fn handles(self, number: u32) -> bool {
        self.caught >> (number - 1) & 1 == 1
    }

    /// Whether the default action is taken, and ends the process.
    ///
    /// # Panics
    /// If `number` is not in 1..=64.
    pub(crate) fn is_ended_by(self, number: u32) -> bool {
        let handled = self.blocked | self.ignored | self.caught;
        handled >> (number - 1) & 1 == 0 && !HARMLESS.contains(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_default_actions_that_end_a_process_do() {
        let status = "Name:\tsh\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000000004\n\
                      SigCgt:\t0000000000004002\n";
        let process = Dispositions::parse(status).expect("all three masks");
        for (signal, ends) in
            [(1, false), (2, false), (3, false), (15, false), (9, true), (10, true), (64, true)]
        {
            assert_eq!(process.is_ended_by(signal), ends, "{signal}");
        }
        assert!(process.handles(2) && process.handles(15) && !process.handles(1));
        for signal in HARMLESS {
            assert!(!Dispositions::default().is_ended_by(signal), "{signal}");
        }
    }

    #[test]
    fn this_process_has_masks_and_a_missing_one_has_none() {
        assert!(Dispositions::of(std::process::id().cast_signed()).is_some());
        assert_eq!(Dispositions::of(-1), None);
        assert_eq!(Dispositions::parse("SigBlk:\t0\nSigIgn:\t0\n"), None);
    }
}
