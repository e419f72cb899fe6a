//! RUN steps of an example on the Debian base, and which of them a second build executes.

use crate::support::{Lab, Steps, run};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

const COMPILES: &str = "RUN python3 -m compileall";
const CHECKS: &str = "RUN <<'EOF'";

#[test]
fn only_steps_after_a_change_are_executed_again() {
    let Some(lab) = Lab::get() else { return };
    let folder = lab.temporary();
    let context = folder.path().join("context");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python");
    run(Command::new("cp").arg("-r").arg(example).arg(&context)).expect_code(0);
    let artifact = folder.path().join("app.wasm");
    let build = || {
        let mut command = lab.build(&context, &artifact);
        // Another test may have built the example as it is.
        command.args(["--progress", "plain", "--build-arg", "CURRENCY=XTS"]);
        Steps::of(&run(&mut command).expect_code(0))
    };

    let first = build();
    assert!(!first.is_cached(COMPILES) && !first.is_cached(CHECKS), "{first:?}");
    let said = "6 orders in XTS, checked by user 65534 in /srv/report";
    assert!(first.output(CHECKS).contains(said), "{first:?}");
    let bytes = fs::read(&artifact).expect("an artifact");

    let second = build();
    assert_eq!(second.executed(), [""; 0], "{second:?}");
    assert!(fs::read(&artifact).expect("an artifact") == bytes, "the second artifact differs");

    let orders = OpenOptions::new().append(true).open(context.join("orders.json"));
    orders.expect("orders").write_all(b"\n").expect("a longer file");
    let third = build();
    assert!(third.is_cached(COMPILES) && !third.is_cached(CHECKS), "{third:?}");

    let mut command = lab.lithify();
    let said = run(command.arg("run").arg(&artifact)).expect_code(0).stdout_text();
    assert!(said.starts_with("Ada         2 orders     136.00 XTS\n"), "{said}");
}
