//! Progress on standard error: BuildKit's lines, a display that updates itself, or JSON.

use crate::args::ProgressMode;
use indicatif::BinaryBytes;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
pub(crate) use lithify_builder::StepId;
use lithify_builder::{Event, Warning};
use lithify_registry::Outcome;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Fast enough to look alive, slow enough to cost nothing.
const REDRAW: Duration = Duration::from_millis(100);

/// How often a transfer shows how far it is where nothing updates itself.
const REPORT: Duration = Duration::from_secs(5);

/// Lines of output that explain why a quiet step failed.
const TAIL: usize = 20;

/// Shows what a build does. Clones show on the same screen.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Mutex<Screen>>);

struct Screen {
    style: Style,
    running: BTreeMap<StepId, Step>,
    /// Highest number in use.
    last: StepId,
    /// The builder's numbers, and ours: transfers come between its steps.
    of_builder: BTreeMap<StepId, StepId>,
}

enum Style {
    Quiet,
    Plain,
    Json,
    Tty(MultiProgress),
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Cached,
    Failed,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Cached => "cached",
            Self::Failed => "error",
        }
    }
}

struct Step {
    name: String,
    since: Instant,
    spinner: Option<ProgressBar>,
    transfer: Option<Transfer>,
    /// The last lines of output, which `Style::Quiet` shows of a step that fails.
    tail: VecDeque<String>,
}

/// A step that moves bytes.
struct Transfer {
    total: u64,
    shown: Instant,
}

impl Step {
    fn keep(&mut self, line: String) {
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

impl Progress {
    pub(crate) fn new(mode: ProgressMode, quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let style = match mode {
            _ if quiet => Style::Quiet,
            ProgressMode::Json => Style::Json,
            ProgressMode::Plain => Style::Plain,
            ProgressMode::Auto if dumb || !io::stderr().is_terminal() => Style::Plain,
            ProgressMode::Auto | ProgressMode::Tty => Style::Tty(MultiProgress::new()),
        };
        Self(Arc::new(Mutex::new(Screen {
            style,
            running: BTreeMap::new(),
            last: 0,
            of_builder: BTreeMap::new(),
        })))
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        // The screen stays consistent between statements, a panic elsewhere does not matter.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one step of the build, given its number for [`Self::log`].
    pub(crate) fn step<T, E>(
        &self,
        name: &str,
        body: impl FnOnce(StepId) -> Result<T, E>,
    ) -> Result<T, E> {
        let id = {
            let mut screen = self.screen();
            let id = screen.last + 1;
            screen.start(id, name.to_owned());
            id
        };
        let outcome = body(id);
        self.screen().end(id, if outcome.is_ok() { End::Done } else { End::Failed });
        outcome
    }

    /// A step of the build whose result was there.
    pub(crate) fn cached(&self, name: &str) {
        let mut screen = self.screen();
        let id = screen.last + 1;
        screen.start(id, name.to_owned());
        screen.end(id, End::Cached);
    }

    /// A line of output of step `id`.
    pub(crate) fn log(&self, id: StepId, line: &str) {
        self.screen().log(id, line);
    }

    /// Ends what is still running, because the build failed in it.
    pub(crate) fn fail(&self) {
        let mut screen = self.screen();
        while let Some(id) = screen.running.keys().next().copied() {
            screen.end(id, End::Failed);
        }
    }

    /// A step that moves `total` bytes begins.
    pub(crate) fn begin_transfer(&self, name: &str, total: u64) -> StepId {
        let mut screen = self.screen();
        let id = screen.last + 1;
        screen.start(id, name.to_owned());
        screen.measure(id, total);
        id
    }

    /// So many bytes moved so far.
    pub(crate) fn transferred(&self, id: StepId, bytes: u64) {
        self.screen().transferred(id, bytes);
    }

    pub(crate) fn end_transfer(&self, id: StepId, outcome: Outcome) {
        let end = match outcome {
            Outcome::Moved => End::Done,
            Outcome::Existed | Outcome::Mounted => End::Cached,
            Outcome::Failed => End::Failed,
        };
        self.screen().end(id, end);
    }

    /// A line for the user outside of any step.
    pub(crate) fn note(line: &str) {
        print(line);
    }

    /// Something the user should know.
    pub(crate) fn warn(&self, rule: &str, message: &str, line: Option<u32>) {
        self.screen().warn(rule, message, line);
    }
}

impl lithify_builder::Progress for Progress {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::StepStarted { id, stage, index, total, text } => {
                let mut screen = self.screen();
                let own = screen.last + 1;
                screen.of_builder.insert(id, own);
                screen.start(own, format!("[{stage} {index}/{total}] {text}"));
            }
            Event::StepOutput { id, line } => {
                self.screen().of(id, |screen, id| screen.log(id, line));
            }
            Event::StepDone { id } => self.screen().of(id, |screen, id| screen.end(id, End::Done)),
            Event::StepCached { id } => {
                self.screen().of(id, |screen, id| screen.end(id, End::Cached));
            }
            Event::Warning(Warning { rule, message, span }) => {
                self.warn(rule, message, span.map(|span| span.first));
            }
            _ => {}
        }
    }
}

impl Screen {
    /// Does something with a step that the builder numbered.
    fn of(&mut self, id: StepId, body: impl FnOnce(&mut Self, StepId)) {
        if let Some(own) = self.of_builder.get(&id).copied() {
            body(self, own);
        }
    }

    fn start(&mut self, id: StepId, name: String) {
        self.last = self.last.max(id);
        let mut spinner = None;
        match &self.style {
            Style::Quiet => {}
            Style::Plain => print(&format!("#{id} {name}")),
            Style::Json => print_json(&json!({ "event": "start", "id": id, "name": name })),
            Style::Tty(bars) => spinner = Some(bars.add(new_spinner(&name))),
        }
        let since = Instant::now();
        let tail = VecDeque::new();
        self.running.insert(id, Step { name, since, spinner, transfer: None, tail });
    }

    fn measure(&mut self, id: StepId, total: u64) {
        let Some(step) = self.running.get_mut(&id) else { return };
        step.transfer = Some(Transfer { total, shown: step.since });
        if let Some(spinner) = &step.spinner {
            spinner.set_length(total);
            spinner.set_style(bar_style());
        }
    }

    fn transferred(&mut self, id: StepId, bytes: u64) {
        let Some(step) = self.running.get_mut(&id) else { return };
        if let Some(spinner) = &step.spinner {
            spinner.set_position(bytes);
        }
        let Some(transfer) = &mut step.transfer else { return };
        if transfer.shown.elapsed() < REPORT {
            return;
        }
        transfer.shown = Instant::now();
        let (total, seconds) = (transfer.total, step.since.elapsed().as_secs_f64());
        match &self.style {
            Style::Quiet | Style::Tty(_) => {}
            Style::Plain => print(&format!("#{id} {}", pace(bytes, total, seconds))),
            Style::Json => print_json(&json!({
                "event": "transfer", "id": id, "seconds": seconds, "bytes": bytes, "total": total,
            })),
        }
    }

    fn end(&mut self, id: StepId, end: End) {
        let Some(step) = self.running.remove(&id) else { return };
        let seconds = step.since.elapsed().as_secs_f64();
        match &self.style {
            Style::Quiet if end != End::Failed => {}
            Style::Quiet => step.tail.iter().for_each(|line| print(line)),
            Style::Plain => print(&match end {
                End::Done => format!("#{id} DONE {seconds:.1}s\n"),
                End::Cached => format!("#{id} CACHED\n"),
                End::Failed => format!("#{id} ERROR after {seconds:.1}s\n"),
            }),
            Style::Json => {
                print_json(&json!({ "event": end.name(), "id": id, "seconds": seconds }));
            }
            Style::Tty(bars) => {
                if let Some(spinner) = step.spinner {
                    spinner.finish_and_clear();
                }
                print_above(
                    bars,
                    &match end {
                        End::Done => format!("=> {} {seconds:.1}s", step.name),
                        End::Cached => format!("=> CACHED {}", step.name),
                        End::Failed => format!("=> ERROR {} {seconds:.1}s", step.name),
                    },
                );
            }
        }
    }

    fn log(&mut self, id: StepId, line: &str) {
        let Some(step) = self.running.get_mut(&id) else { return };
        let line = printable(line);
        let seconds = step.since.elapsed().as_secs_f64();
        let numbered = format!("#{id} {seconds:.3} {line}");
        match &self.style {
            Style::Quiet => step.keep(numbered),
            Style::Plain => print(&numbered),
            Style::Json => {
                let event = json!({ "event": "log", "id": id, "seconds": seconds, "text": line });
                print_json(&event);
            }
            Style::Tty(bars) => print_above(bars, &numbered),
        }
    }

    fn warn(&mut self, rule: &str, message: &str, line: Option<u32>) {
        let message = printable(message);
        let place = line.map(|line| format!(" (line {line})")).unwrap_or_default();
        let text = format!("warning: {rule}: {message}{place}");
        match &self.style {
            Style::Quiet => {}
            Style::Plain => print(&text),
            Style::Json => print_json(
                &json!({ "event": "warning", "rule": rule, "message": message, "line": line }),
            ),
            Style::Tty(bars) => print_above(bars, &text),
        }
    }
}

/// How far, how fast, and how long still.
fn pace(bytes: u64, total: u64, seconds: f64) -> String {
    let rate = bytes as f64 / seconds.max(0.001);
    let left = total.saturating_sub(bytes) as f64 / rate.max(1.0);
    let shown = |bytes| BinaryBytes(bytes).to_string();
    format!("{} / {} at {}/s, {left:.0} s left", shown(bytes), shown(total), shown(rate as u64))
}

fn bar_style() -> ProgressStyle {
    let template =
        "{spinner} {wide_msg} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A line with a name and the elapsed time.
pub(crate) fn new_spinner(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let spinner = ProgressBar::new_spinner().with_style(style).with_message(name.to_owned());
    spinner.enable_steady_tick(REDRAW);
    spinner
}

/// Progress is a courtesy: if standard error is gone, the build goes on.
fn print(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn print_json(value: &Value) {
    print(&value.to_string());
}

fn print_above(bars: &MultiProgress, line: &str) {
    let _ = bars.println(line);
}

/// What the guest's kernel or an image says must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\tb\x1b[2Jc\r"), "a\tb\u{fffd}[2Jc\u{fffd}");
    }

    #[test]
    fn a_transfer_says_how_far_how_fast_and_how_long() {
        let text = pace(5 << 20, 20 << 20, 2.5);
        assert_eq!(text, "5.00 MiB / 20.00 MiB at 2.00 MiB/s, 8 s left");
        assert!(pace(0, 10, 0.0).ends_with("10 s left"));
    }

    #[test]
    fn steps_are_numbered_as_they_start_whoever_starts_them() {
        let progress = Progress::new(ProgressMode::Plain, true);
        let transfer = progress.begin_transfer("blob", 1);
        let started =
            Event::StepStarted { id: 1, stage: "a", index: 1, total: 1, text: "COPY a b" };
        lithify_builder::Progress::event(&progress, started);
        assert_eq!((transfer, progress.step("next", Ok::<_, ()>)), (1, Ok(3)));
        assert_eq!(progress.screen().running.len(), 2);
        lithify_builder::Progress::event(&progress, Event::StepDone { id: 1 });
        assert!(progress.screen().running.contains_key(&transfer));
        progress.fail();
        assert!(progress.screen().running.is_empty());
    }
}
