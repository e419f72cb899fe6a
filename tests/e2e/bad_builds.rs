//! Builds that cannot succeed: one clear message, exit code 1, nothing written.

use crate::support::{Entry, Lab, Layout, run};
use std::fs;
use std::path::Path;

/// A build context of its own and a folder for the output.
struct Attempt {
    lab: &'static Lab,
    folder: tempfile::TempDir,
}

impl Attempt {
    fn new() -> Option<Self> {
        let lab = Lab::get()?;
        let folder = lab.temporary();
        for name in ["context", "output"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        Some(Self { lab, folder })
    }

    fn context(&self) -> std::path::PathBuf {
        self.folder.path().join("context")
    }

    fn with(self, name: &str, contents: &str) -> Self {
        fs::write(self.context().join(name), contents).expect("a file of the context");
        self
    }

    /// Builds and expects that to end with `code` and `parts` in the message.
    #[track_caller]
    fn fails_with_code(&self, code: i32, args: &[&str], parts: &[&str]) {
        let output = self.folder.path().join("output");
        let mut command = self.lab.build(&self.context(), &output.join("app.wasm"));
        run(command.args(args)).expect_error(code, parts);
        assert_empty(&output);
    }

    #[track_caller]
    fn fails(&self, args: &[&str], parts: &[&str]) {
        self.fails_with_code(1, args, parts);
    }
}

#[track_caller]
fn assert_empty(folder: &Path) {
    let left: Vec<_> = fs::read_dir(folder).expect("the folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn missing_dockerfile_is_named() {
    let Some(attempt) = Attempt::new() else { return };
    attempt.fails(&[], &["context/Dockerfile", "No such file"]);
    attempt.fails(&["-f", "/nowhere/Dockerfile"], &["/nowhere/Dockerfile", "No such file"]);
}

#[test]
fn dockerfile_errors_name_file_line_and_remedy() {
    for (dockerfile, parts) in [
        ("FROM scratch\nCOPPY a /\n", &["Dockerfile:2", "unknown instruction `COPPY`", "COPY"][..]),
        ("FROM scratch\nCMD [\"a\", 1]\n", &["Dockerfile:2", "JSON", "string"]),
        ("FROM scratch\n\nCOPY missing /\n", &["Dockerfile:3", "missing"]),
        ("FROM scratch\nCOPY --chwon=0 Dockerfile /\n", &["Dockerfile:2", "chwon", "chown"]),
        ("FROM scratch\nCOPY --from=nobody a /\n", &["Dockerfile:2", "nobody"]),
        ("FROM scratch\nRUN true\n", &["Dockerfile:2", "RUN"]),
        ("FROM debian:bookworm\n", &["Dockerfile:1", "debian:bookworm", "registry"]),
        (
            "FROM scratch\nCOPY Dockerfile /\nWORKDIR /Dockerfile\n",
            &["Dockerfile:3", "`/Dockerfile` is not a directory"],
        ),
        ("FROM scratch\nENV A=${\n", &["Dockerfile:2"]),
        ("FROM scratch\nSHELL sh -c\n", &["Dockerfile:2", "SHELL", "JSON"]),
        ("", &["Dockerfile"]),
        ("COPY a /\n", &["Dockerfile:1", "FROM"]),
    ] {
        let Some(attempt) = Attempt::new() else { return };
        attempt.with("Dockerfile", dockerfile).fails(&[], parts);
    }
}

#[test]
fn malformed_json_form_is_warned_about() {
    let Some(attempt) = Attempt::new() else { return };
    // Docker takes it for the shell form; the build stops at the missing file behind it.
    let dockerfile = "FROM scratch\nCMD ['sh', '-c']\nCOPY missing /\n";
    attempt.with("Dockerfile", dockerfile).fails(&[], &["JSONArgsRecommended: CMD", "(line 2)"]);
}

#[test]
fn unknown_target_is_named() {
    let Some(attempt) = Attempt::new() else { return };
    let attempt = attempt.with("Dockerfile", "FROM scratch AS final\n");
    attempt.fails(&["--target", "finale"], &["finale", "final"]);
}

#[test]
fn wrong_usage_is_told_apart() {
    let Some(attempt) = Attempt::new() else { return };
    let attempt = attempt.with("Dockerfile", "FROM scratch\n");
    attempt.fails_with_code(2, &["--memory", "much"], &["--memory", "unknown unit `much`"]);
    attempt.fails_with_code(2, &["--memroy", "1g"], &["--memroy", "--memory"]);
    attempt.fails_with_code(2, &["--build-context", "base"], &["expected NAME=SOURCE"]);
}

#[test]
fn memory_too_small_to_boot_is_explained() {
    let Some(attempt) = Attempt::new() else { return };
    let attempt = attempt.with("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    for memory in ["4k", "8m", "31m"] {
        let parts = ["the machine did not come up", "expected 32 MiB to 3 GiB"];
        attempt.fails(&["--memory", memory], &parts);
    }
}

#[test]
fn image_for_another_architecture_is_refused() {
    let Some(attempt) = Attempt::new() else { return };
    let layout = Layout::write(attempt.folder.path().join("layout"), "amd64", &[]);
    attempt.with("Dockerfile", "FROM base\n").fails(
        &["--build-context", &layout.context("base")],
        &["Dockerfile:1", "linux/amd64", "linux/riscv64"],
    );
}

#[test]
fn layer_that_leaves_its_root_is_refused() {
    for (entries, parts) in [
        (&[Entry::File("../evil", "x")][..], &["../evil", "`..`"][..]),
        (&[Entry::File("a/../../evil", "x")], &["a/../../evil", "`..`"]),
        (&[Entry::HardLink("evil", "../../etc/passwd")], &["evil", "`..`"]),
        (&[Entry::HardLink("evil", "/etc/passwd")], &["evil", "etc/passwd", "does not exist"]),
    ] {
        let Some(attempt) = Attempt::new() else { return };
        let layout = Layout::write(attempt.folder.path().join("layout"), "riscv64", entries);
        attempt
            .with("Dockerfile", "FROM base\nCOPY Dockerfile /\n")
            .fails(&["--build-context", &layout.context("base")], parts);
    }
}

#[test]
fn absolute_link_of_a_layer_leads_into_the_image() {
    let Some(attempt) = Attempt::new() else { return };
    let victim = tempfile::tempdir().expect("a folder of the host");
    let target = victim.path().to_str().expect("UTF-8");
    let entries = [Entry::Symlink("out", target), Entry::File("out/evil", "x")];
    let layout = Layout::write(attempt.folder.path().join("layout"), "riscv64", &entries);
    let attempt = attempt.with("Dockerfile", "FROM base\nCOPY Dockerfile out/\n");
    let output = attempt.folder.path().join("output/app.wasm");
    let mut command = attempt.lab.build(&attempt.context(), &output);
    run(command.args(["--build-context", &layout.context("base")])).expect_code(0);
    assert_empty(victim.path());
}

#[test]
fn damaged_layer_is_refused() {
    let Some(attempt) = Attempt::new() else { return };
    let entries = [Entry::File("a", "contents")];
    let layout = Layout::write(attempt.folder.path().join("layout"), "riscv64", &entries);
    let attempt = attempt.with("Dockerfile", "FROM base\nCOPY Dockerfile /\n");
    let layer = fs::read_dir(layout.blobs())
        .expect("blobs")
        .map(|blob| blob.expect("a blob").path())
        .max_by_key(|path| path.metadata().expect("a blob").len())
        .expect("a layer");
    let mut bytes = fs::read(&layer).expect("the layer");
    bytes[512] ^= 1;
    fs::write(&layer, bytes).expect("the layer");
    let args = ["--build-context", &layout.context("base")];
    attempt.fails(&args, &["digest", "damaged or was replaced"]);
}

#[test]
fn missing_boot_files_are_named() {
    let Some(attempt) = Attempt::new() else { return };
    let attempt = attempt.with("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let parts = ["/nowhere/kernel-riscv64", "make boot-files"];
    attempt.fails(&["--boot-files", "/nowhere"], &parts);
}
