//! What the guest's kernel says when it comes to grief, in the words of Linux 6.12.

/// What precedes the reason of a panic (`kernel/panic.c`).
const PANIC: &str = "Kernel panic - not syncing: ";
/// What precedes the number and name of a program that had to go (`mm/oom_kill.c`).
const OUT_OF_MEMORY: &str = "Out of memory: Killed process ";

/// Why the kernel panicked, if `log` says that it did.
#[must_use]
pub fn panic_reason(log: &str) -> Option<&str> {
    log.lines().find_map(|line| Some(line.split_once(PANIC)?.1))
}

/// The program that the kernel killed last because there was no memory left.
#[must_use]
pub fn killed_for_memory(log: &str) -> Option<&str> {
    let killed = |line| str::split_once(line, OUT_OF_MEMORY).map(|(_, killed)| killed);
    let (_, rest) = log.lines().rev().find_map(killed)?.split_once(" (")?;
    // A program may have named itself ")".
    Some(rest.rsplit_once(") total-vm:")?.0)
}

/// The last `count` lines.
#[must_use]
pub fn last_lines(log: &str, count: usize) -> &str {
    let mut starts = log.trim_end().rmatch_indices('\n').map(|(at, _)| at + 1);
    &log[starts.nth(count.saturating_sub(1)).unwrap_or(0)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: &str = "[    9.1] Out of memory: Killed process 31 (a (b) c) total-vm:9kB, \
        anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0\n";
    const PANICKED: &str = "[    9.2] Kernel panic - not syncing: System is deadlocked on memory\n\
        [    9.3] Call Trace:\n[    9.4] Kernel panic - not syncing: again\n";

    #[test]
    fn the_first_reason_of_a_panic_counts() {
        let log = format!("{KILLED}{PANICKED}");
        assert_eq!(panic_reason(&log), Some("System is deadlocked on memory"));
        assert_eq!(panic_reason(KILLED), None);
    }

    #[test]
    fn the_program_killed_last_is_named() {
        let log = format!("{}{KILLED}{PANICKED}", KILLED.replace("a (b) c", "first"));
        assert_eq!(killed_for_memory(&log), Some("a (b) c"));
        for log in [PANICKED, "Out of memory: Killed process", "Out of memory: Killed process 1 (a"]
        {
            assert_eq!(killed_for_memory(log), None, "{log}");
        }
    }

    #[test]
    fn last_lines_are_whole() {
        for (log, count, expected) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 1, "c"),
            ("a\nb\n", 2, "a\nb\n"),
            ("a\nb\n", 9, "a\nb\n"),
            ("", 2, ""),
        ] {
            assert_eq!(last_lines(log, count), expected, "{log:?}, {count}");
        }
    }
}
