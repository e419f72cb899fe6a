//! A database server of the distribution that was frozen while it runs.

use crate::support::{Artifact, Image, Lab, Mirror, Runtime, run_within};
use std::time::Duration;

/// apt installs, in the guest.
const PATIENCE: Duration = Duration::from_secs(900);

/// PostgreSQL and a client, packed from a mirror on this host.
fn artifact() -> Option<Artifact> {
    let lab = Lab::get()?;
    let mirror = Mirror::serve()?;
    let wasm = lab.folder().join("postgres.wasm");
    let mut build = lab.build(&Image::Debian.context().with_file_name("postgres"), &wasm);
    build.args(["--warm", "line:^ready$", "--add-host", "mirror:host-gateway"]);
    build.arg(format!("--build-arg=APT_SOURCE={}", mirror.apt_source("mirror")));
    run_within(PATIENCE, &mut build).expect_code(0);
    Some(Artifact::at(lab, wasm))
}

/// Statements, each in a session of its own, and what the client prints.
const SESSIONS: [(&str, &str); 9] = [
    // Written before the freeze.
    ("SELECT count(*), sum(amount) FROM ledger", "2000|6003000"),
    ("SELECT count(*) FROM ledger WHERE note <> md5(id::text)", "0"),
    ("INSERT INTO ledger SELECT n, 1, 'new' FROM generate_series(2001, 2100) n", "INSERT 0 100"),
    ("CHECKPOINT", "CHECKPOINT"),
    ("DELETE FROM ledger WHERE id % 2 = 0", "DELETE 1050"),
    ("VACUUM ledger", "VACUUM"),
    ("SELECT count(*), sum(amount) FROM ledger", "1050|3000050"),
    ("SELECT id FROM ledger WHERE note = md5('1999')", "1999"),
    // The clock is the host's.
    ("SELECT now() > '2025-01-01'", "t"),
];

#[test]
#[ignore = "slow: installs a database server in the guest"]
fn postgres_serves_at_once_and_keeps_its_data_right() {
    let Some(artifact) = artifact() else { return };
    let lines = |of: fn(&(&'static str, &'static str)) -> &'static str| -> String {
        SESSIONS.iter().map(|session| format!("{}\n", of(session))).collect()
    };
    let (input, expected) = (lines(|session| session.0), lines(|session| session.1));
    // Each start has the frozen state.
    for runtime in [Runtime::BOTH, Runtime::BOTH].concat() {
        let outcome = runtime.feed(&artifact, &[], input.clone().into_bytes()).expect_code(0);
        assert_eq!(outcome.stdout_text(), expected, "{runtime:?}");
    }
}
