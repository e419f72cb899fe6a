//! RUN in the machine: one boot for many steps, several at a time.

mod support;

use std::sync::Mutex;

use lithify_builder::{Event, Progress, RunMachine, build};
use support::Fixture;

/// The steps' output.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Progress for Lines {
    fn event(&self, event: Event<'_>) {
        if let Event::StepOutput { line, .. } = event {
            self.0.lock().unwrap().push(line.to_owned());
        }
    }
}

/// A fixture that has a machine and knows the Debian base as `debian`; `None` after saying what is
/// missing.
fn fixture(dockerfile: &str) -> Option<Fixture> {
    let given = |name: &str| {
        let path = std::env::var_os(name).map(std::path::PathBuf::from);
        path.or_else(|| {
            println!("skipped: {name} is not set");
            None
        })
    };
    let boot_files = given("LITHIFY_BOOT_FILES")?;
    let base = given("LITHIFY_TEST_BASE")?;
    let mut fixture = Fixture::with(&[("Dockerfile", dockerfile), ("input/file", "text\n")]);
    let read = |name: &str| std::fs::read(boot_files.join(name)).unwrap().into();
    let (kernel, initramfs) = (read("kernel-riscv64"), read("initramfs-riscv64.cpio"));
    let scratch = fixture.beside("").to_owned();
    fixture.options.machine = Some(RunMachine::new(kernel, initramfs, 1 << 30, scratch));
    let base = format!("oci-layout://{}", base.display());
    fixture.options.contexts.insert("debian".to_owned(), base);
    Some(fixture)
}

fn output(fixture: &Fixture) -> Vec<String> {
    let lines = Lines::default();
    let built = build(&fixture.options, &fixture.store, &lines);
    built.unwrap_or_else(|error| panic!("{}", error.render()));
    lines.0.into_inner().unwrap()
}

#[test]
fn steps_start_from_one_boot_and_share_no_randomness() {
    let random = "head -c 16 /dev/urandom | sha256sum; cat /proc/sys/kernel/random/uuid";
    let Some(fixture) = fixture(&format!("FROM debian\nRUN {random}\nRUN  {random} ;\n")) else {
        return;
    };
    let lines = output(&fixture);
    let [first @ .., _, _] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(!lines[2..].iter().any(|line| first.contains(line)), "{lines:?}");
}

#[test]
fn stages_run_at_the_same_time() {
    let stage = |name: &str| format!("FROM debian AS {name}\nRUN echo {name} > /{name}\n");
    let merge = "FROM debian\nCOPY --from=a /a /\nCOPY --from=b /b /\nRUN cat /a /b\n";
    let Some(mut fixture) = fixture(&[&stage("a"), &stage("b"), merge].concat()) else { return };
    fixture.options.threads = std::num::NonZeroUsize::new(2).unwrap();
    assert_eq!(output(&fixture), ["a", "b"]);
}

#[test]
fn more_mounts_than_the_machine_can_have_are_refused() {
    let mount = "--mount=type=bind,source=input,target=/in";
    let mounts: String = (0..300).map(|n| format!("{mount}{n} ")).collect();
    let Some(fixture) = fixture(&format!("FROM debian\nRUN {mounts}true\n")) else { return };
    let error = build(&fixture.options, &fixture.store, &Lines::default()).unwrap_err();
    assert!(error.to_string().contains("more than 255 mounts"), "{error}");
}
