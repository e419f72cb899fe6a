//! What the user is told of a guest that came to a bad end.

use lithify_control::kernel_log::{killed_for_memory, last_lines, panic_reason};
use lithify_machine::Halt;

/// As many of the kernel's last lines as a panic has; what comes before says little.
const SHOWN_LINES: usize = 20;

/// What is told of a guest that ended by itself: the kernel's last lines of `log`, and the reason.
pub(crate) fn report(halt: Halt, log: &str, memory_bytes: u64) -> (&str, String) {
    let reason = match (panic_reason(log), halt) {
        (Some(panic), _) => format!("the guest's kernel panicked: {panic}"),
        (None, Halt::Shutdown) => "the guest powered off without an exit code".to_owned(),
        (None, Halt::Reboot) => "the guest's kernel stopped without a word".to_owned(),
        (None, Halt::Failure) => "the guest's system failed".to_owned(),
    };
    let is_full = panic_reason(log).is_some_and(|panic| panic.to_lowercase().contains("memory"));
    let advice = if is_full || killed_for_memory(log).is_some() {
        format!("; {}", advice(memory_bytes))
    } else {
        String::new()
    };
    (last_lines(log, SHOWN_LINES), reason + &advice)
}

/// Why a program of the guest may have failed, if the kernel killed one to get memory.
pub(crate) fn out_of_memory(log: &str, memory_bytes: u64) -> Option<String> {
    let program = killed_for_memory(log)?;
    Some(format!("the guest ran out of memory and killed `{program}`; {}", advice(memory_bytes)))
}

fn advice(memory_bytes: u64) -> String {
    format!("it has {} MiB, build with a larger --memory", memory_bytes >> 20)
}
