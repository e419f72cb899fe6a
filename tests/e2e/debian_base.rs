//! The Debian base image, which the builder finishes: unpacked packages are configured in the machine.

use crate::support::{Lab, run, run_within};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Two minutes of an idle processor, most of it python compiling its library.
const PATIENCE: Duration = Duration::from_secs(1200);

#[test]
#[ignore = "slow: configures Debian twice"]
fn base_is_finished_with_identical_bytes_on_two_runs() {
    let Some(lab) = Lab::get() else { return };
    let folder = lab.temporary();
    let build = |name: &str| {
        let archive = folder.path().join(name);
        let mut command = lab.lithify();
        command.args(["build", "--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1767225600"]);
        command.arg(format!("--output=type=oci,dest={}", archive.display()));
        run_within(PATIENCE, command.arg(lab.base_context())).expect_code(0);
        archive
    };
    let archives = [build("first.tar"), build("second.tar")];
    let [first, second] = archives.each_ref().map(|path| fs::read(path).expect("an archive"));
    assert!(first == second, "the archives differ");
    check(lab, folder.path(), &archives[0]);
}

/// The finished base works, and nothing in it remains to be done.
fn check(lab: &Lab, folder: &Path, archive: &Path) {
    let context = folder.join("context");
    fs::create_dir(&context).expect("a folder");
    fs::write(context.join("Dockerfile"), "FROM base\n").expect("a Dockerfile");
    let artifact = folder.join("base.wasm");
    let mut build = lab.lithify();
    build.arg("build").arg(format!("--build-context=base=oci-archive://{}", archive.display()));
    run(build.arg("-o").arg(&artifact).arg(&context)).expect_code(0);
    let script = "dpkg --audit; dpkg-query --show --showformat '${db:Status-Abbrev}\\n' | sort -u
        ldconfig -p | grep -c libc.so.6; getent shadow root | cut -d: -f3
        find / -xdev -name '*.dpkg-*' -o -xdev -name '*-old'
        python3 -c 'import json, sys; print(json.__cached__, sys.version_info[:2] > (3, 12))'";
    let mut command = lab.lithify();
    let outcome = run(command.arg("run").arg(&artifact).args(["sh", "-c", script])).expect_code(0);
    // 20454: the day of SOURCE_DATE_EPOCH, since 1970.
    let expected =
        "ii \n1\n20454\n/usr/lib/python3.13/json/__pycache__/__init__.cpython-313.pyc True\n";
    assert_eq!(outcome.stdout_text(), expected, "{}", outcome.stderr_text());
}
