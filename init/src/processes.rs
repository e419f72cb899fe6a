//! The processes of the container, as init's own `/proc` shows them.

use crate::dispositions::Dispositions;
use rustix::process::{Pid, Signal};
use std::path::PathBuf;

/// Processes that can all be told something.
#[derive(Debug, Default)]
pub(crate) struct Processes(Vec<i32>);

impl Processes {
    /// Those in the PID namespace of `first`, which comes first.
    pub(crate) fn of_container(first: i32) -> Self {
        let Some(namespace) = pid_namespace(first) else { return Self::default() };
        let Ok(entries) = std::fs::read_dir("/proc") else { return Self::default() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut pids: Vec<i32> =
            pids.filter(|pid| pid_namespace(*pid) == Some(namespace.clone())).collect();
        pids.sort_unstable_by_key(|pid| (*pid != first, *pid));
        Self(pids)
    }

    /// Their numbers.
    pub(crate) fn pids(&self) -> impl Iterator<Item = i32> {
        self.0.iter().copied()
    }

    /// Stops them; the first is stopped first, so that it does not look after the others.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets those go on that [`stop`](Self::stop) has stopped.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Those that handle this signal; for all others it would be no message.
    pub(crate) fn that_handle(&self, number: u32) -> Self {
        let handles =
            |pid: &i32| Dispositions::of(*pid).is_some_and(|process| process.handles(number));
        Self(self.pids().filter(handles).collect())
    }

    /// A process that has ended meanwhile needs no signal.
    fn signal(&self, signal: Signal) {
        for pid in self.0.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

fn pid_namespace(pid: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processes_of_this_namespace_are_found_and_this_one_comes_first() {
        let own = std::process::id().cast_signed();
        let found = Processes::of_container(own);
        assert_eq!(found.pids().next(), Some(own));
        assert_eq!(found.pids().filter(|pid| *pid == own).count(), 1);
        assert_eq!(Processes::of_container(-1).pids().count(), 0);
    }
}
