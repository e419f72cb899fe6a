//! What a run took, phase by phase.

use lithify_control::Statistics;
use rustix::time::{ClockId, clock_gettime};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Measures one run: given to it with [`RunOptions`](crate::RunOptions), read after it.
#[derive(Debug, Clone)]
pub struct Meter(Rc<RefCell<Readings>>);

#[derive(Debug)]
struct Readings {
    /// By the clock that the program reads, too.
    begun: Duration,
    mapped: Option<Duration>,
    instantiated: Option<Duration>,
    first_byte: Option<Duration>,
    machine: Option<Statistics>,
    memory: Vec<(&'static str, f64, &'static str)>,
}

impl Meter {
    /// Time counts from now on.
    #[must_use]
    pub fn start() -> Self {
        Self(Rc::new(RefCell::new(Readings {
            begun: now(),
            mapped: None,
            instantiated: None,
            first_byte: None,
            machine: None,
            memory: Vec::new(),
        })))
    }

    fn note(&self, what: impl FnOnce(&mut Readings) -> &mut Option<Duration>) {
        let mut readings = self.0.borrow_mut();
        let elapsed = now().saturating_sub(readings.begun);
        what(&mut readings).get_or_insert(elapsed);
    }

    /// The artifact is open.
    pub(crate) fn mapped(&self) {
        self.note(|readings| &mut readings.mapped);
    }

    pub(crate) fn instantiated(&self) {
        self.note(|readings| &mut readings.instantiated);
    }

    /// The program has written something.
    pub(crate) fn wrote(&self) {
        self.note(|readings| &mut readings.first_byte);
    }

    /// The program has ended; its memory is still there.
    pub(crate) fn count(&self, statistics: Option<Statistics>) {
        let mut readings = self.0.borrow_mut();
        readings.machine = statistics;
        readings.memory = memory();
    }

    /// Name, value and unit of everything that was measured, in order. Times are milliseconds since
    /// [`start`](Self::start).
    #[must_use]
    pub fn rows(&self) -> Vec<(&'static str, f64, &'static str)> {
        let readings = self.0.borrow();
        let machine = readings.machine.unwrap_or_default();
        let told =
            |ns: u64| (ns != 0).then(|| Duration::from_nanos(ns).saturating_sub(readings.begun));
        let phases = [
            ("mapped", readings.mapped),
            ("instantiated", readings.instantiated),
            ("thawed", told(machine.thawed_ns)),
            ("executed", told(machine.executed_ns)),
            ("first_byte", readings.first_byte),
            ("ended", Some(now().saturating_sub(readings.begun))),
        ];
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let phases = phases.into_iter();
        let mut rows: Vec<_> = phases
            .filter_map(|(name, time)| time.map(|time| (name, milliseconds(time), "ms")))
            .collect();
        if let Some(machine) = readings.machine {
            rows.extend([
                ("instructions", machine.instructions as f64, ""),
                ("translated", machine.translated as f64, ""),
                ("calls", machine.calls as f64, ""),
                ("new_pages", machine.new_pages as f64, ""),
                ("rom_bytes", machine.rom_bytes as f64, "B"),
            ]);
        }
        rows.extend(&readings.memory);
        rows
    }

    /// The rows as lines.
    #[must_use]
    pub fn text(&self) -> String {
        let line = |(name, value, unit): (&str, f64, &str)| {
            let digits = if unit == "ms" { 2 } else { 0 };
            let name = name.replace('_', " ");
            format!("{name:<14}{value:>14.digits$} {unit}").trim_end().to_owned() + "\n"
        };
        self.rows().into_iter().map(line).collect()
    }

    /// The rows as one JSON object, the unit behind the name.
    #[must_use]
    pub fn json(&self) -> String {
        let field = |(name, value, unit): (&str, f64, &str)| match unit {
            "ms" => format!("\"{name}_ms\":{value:.3}"),
            "KiB" => format!("\"{name}_kib\":{value:.0}"),
            _ => format!("\"{name}\":{value:.0}"),
        };
        let fields: Vec<_> = self.rows().into_iter().map(field).collect();
        format!("{{{}}}\n", fields.join(","))
    }
}

fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

/// How `--stats` shows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stats {
    /// A line for each.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

impl std::str::FromStr for Stats {
    type Err = String;

    fn from_str(form: &str) -> Result<Self, String> {
        match form {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("expected text or json, found `{other}`")),
        }
    }
}

impl Stats {
    /// The rows of `meter`.
    #[must_use]
    pub fn of(self, meter: &Meter) -> String {
        match self {
            Self::Text => meter.text(),
            Self::Json => meter.json(),
        }
    }
}

/// Resident memory of this process at its largest, and what of it is its own now (proc(5)).
fn memory() -> Vec<(&'static str, f64, &'static str)> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let names = [("VmHWM:", "resident"), ("RssAnon:", "private")];
    let find = |(key, name)| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        let kib = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some((name, kib, "KiB"))
    };
    names.into_iter().filter_map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_order_and_in_both_forms() {
        let meter = Meter::start();
        meter.mapped();
        meter.wrote();
        let at = now().as_nanos() as u64;
        let counts = Statistics { instructions: 7, thawed_ns: at, ..Statistics::default() };
        meter.count(Some(counts));
        let names: Vec<_> = meter.rows().into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names[..5], ["mapped", "thawed", "first_byte", "ended", "instructions"]);
        meter.count(Some(Statistics { executed_ns: at, ..counts }));
        let names: Vec<_> = meter.rows().into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names[1..3], ["thawed", "executed"]);
        assert!(meter.text().contains("instructions               7\n"), "{}", meter.text());
        assert!(meter.json().starts_with("{\"mapped_ms\":"), "{}", meter.json());
        assert!(meter.json().contains("\"instructions\":7,"), "{}", meter.json());
    }
}
