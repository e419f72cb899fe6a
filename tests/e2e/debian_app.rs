//! The largest example: packages from a mirror, a compiler in the guest, mounts, a secret, two stages.

use crate::support::{Artifact, Lab, Mirror, Runtime, Steps, run, run_within};
use sha2::{Digest, Sha256};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// apt installs 37 packages and gcc compiles, in the guest: two minutes of an idle processor.
const PATIENCE: Duration = Duration::from_secs(1800);
const SECRET: &str = "correct horse battery staple";
const INSTALLS: &str = "RUN --mount=type=cache";
const COMPILES: &str = "RUN make";
const SEALS: &str = "RUN --mount=type=bind";

/// The example in a folder of its own.
struct Example {
    lab: &'static Lab,
    mirror: Mirror,
    folder: TempDir,
}

impl Example {
    fn new() -> Option<Self> {
        let lab = Lab::get()?;
        let mirror = Mirror::serve()?;
        let folder = lab.temporary();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/debian-app");
        run(Command::new("cp").arg("-r").arg(example).arg(folder.path().join("context")))
            .expect_code(0);
        fs::write(folder.path().join("seal"), SECRET).expect("a file for the secret");
        Some(Self { lab, mirror, folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A build that can reach nothing but this host.
    fn build(&self) -> Steps {
        let mut command = self.lab.build(&self.path("context"), &self.path("app.wasm"));
        command.args(["--progress", "plain", "--add-host", "mirror:host-gateway"]);
        command.arg(format!("--build-arg=APT_SOURCE={}", self.mirror.apt_source("mirror")));
        command.arg(format!("--secret=id=seal,src={}", self.path("seal").display()));
        let outcome = run_within(PATIENCE, &mut command).expect_code(0);
        assert!(!outcome.stderr_text().contains(SECRET), "{}", outcome.stderr_text());
        Steps::of(&outcome)
    }

    /// What `cat KEY parts.csv | sha256sum | cut -c1-16` prints.
    fn seal(&self) -> String {
        let parts = fs::read(self.path("context/parts.csv")).expect("parts");
        let sum = Sha256::new().chain_update(SECRET).chain_update(parts).finalize();
        sum.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[test]
#[ignore = "slow: installs a compiler in the guest"]
fn debian_app_is_built_offline_and_runs_everywhere() {
    let Some(example) = Example::new() else { return };
    let first = example.build();
    for step in [INSTALLS, COMPILES, SEALS] {
        assert!(!first.is_cached(step), "{first:?}");
    }
    let expected = format!(
        "shelf A    5000 parts    134.00 EUR\nshelf B      84 parts    202.40 EUR\n\
         shelf C      47 parts    243.20 EUR\nseal {}, user 65534\n",
        example.seal(),
    );
    let artifact = Artifact::at(example.lab, example.path("app.wasm"));
    for runtime in Runtime::BOTH {
        let outcome = runtime.run(&artifact, &[]).expect_code(0);
        assert_eq!(outcome.stdout_text(), expected, "{runtime:?}");
    }

    // Layers are in the store uncompressed, files in the artifact too.
    let mut grep = Command::new("grep");
    grep.args(["--recursive", "--files-with-matches", "--fixed-strings", SECRET]);
    let found = run(grep.arg(artifact.wasm()).arg(example.lab.folder().join("cache")));
    assert_eq!((found.code, found.stdout_text()), (1, String::new()), "{}", found.stderr_text());

    let bytes = fs::read(artifact.wasm()).expect("an artifact");
    let second = example.build();
    assert_eq!(second.executed(), [""; 0], "{second:?}");
    assert!(
        fs::read(artifact.wasm()).expect("an artifact") == bytes,
        "the second artifact differs"
    );

    let parts = OpenOptions::new().append(true).open(example.path("context/parts.csv"));
    parts.expect("parts").write_all(b"nut M6,A,1,2\n").expect("a longer file");
    let third = example.build();
    assert!(third.is_cached(INSTALLS) && third.is_cached(COMPILES), "{third:?}");
    assert!(!third.is_cached(SEALS), "{third:?}");
}
