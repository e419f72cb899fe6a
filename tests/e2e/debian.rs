//! Debian's own programs.

use crate::support::{Artifact, Image, Lab, Runtime, run};
use std::collections::HashMap;
use std::process::Command;

#[track_caller]
fn debian_says(script: &str, expected: &str) {
    let Some(lab) = Lab::get() else { return };
    let debian = Artifact::of(lab, Image::Debian);
    for runtime in Runtime::BOTH {
        let outcome = runtime.run(&debian, &["bash", "-c", script]).expect_code(0);
        assert_eq!(outcome.stdout_text().trim_end(), expected, "{runtime:?}");
        assert_eq!(outcome.stderr_text(), "", "{runtime:?}");
    }
}

#[test]
fn kernel_is_riscv64_linux() {
    debian_says("uname -sm", "Linux riscv64");
}

#[test]
fn bash_has_arrays_pipes_and_substitution() {
    debian_says(
        "a=(x y z); echo ${#a[@]} ${a[-1]} $((6 * 7)) $(echo ab | rev); diff <(echo 1) <(echo 1)",
        "3 z 42 ba",
    );
}

#[test]
fn coreutils_work() {
    // The sum is that of the same text on the host's sha256sum.
    debian_says(
        "seq 1000 | shuf | sort -n | sha256sum | cut -c1-16; printf '%s\\n' b a b | sort | uniq -c | tr -s ' '",
        "67d4ff71d43921d5\n 1 a\n 2 b",
    );
}

#[test]
fn perl_works() {
    debian_says(
        "perl -MList::Util=sum -MPOSIX=floor -e 'print sum(map { $_ ** 2 } 1..5), \" \", floor(2.7)'",
        "55 2",
    );
}

#[test]
fn python_has_json_hashes_sqlite_and_tls() {
    let program = r#"
import json, hashlib, sqlite3, ssl
total, = sqlite3.connect(":memory:").execute("select 6 * 7").fetchone()
print(json.dumps({"sum": hashlib.sha256(b"abc").hexdigest()[:8], "total": total}))
print(ssl.OPENSSL_VERSION.split()[0], 0.1 + 0.2)
"#;
    debian_says(
        &format!("python3 -c '{program}'"),
        "{\"sum\": \"ba7816bf\", \"total\": 42}\nOpenSSL 0.30000000000000004",
    );
}

#[test]
fn apt_get_starts() {
    debian_says("apt-get --version | head -1 | sed 's/ [0-9][^ ]* / N /'", "apt N (riscv64)");
}

#[test]
fn whole_image_lists_without_an_error() {
    let Some(lab) = Lab::get() else { return };
    let debian = Artifact::of(lab, Image::Debian);
    for runtime in Runtime::BOTH {
        // Of /proc, the entries of `ls` itself are gone when it comes to them.
        let script = "ls -lR -I proc / | wc -l";
        let outcome = runtime.run(&debian, &["bash", "-o", "pipefail", "-c", script]);
        let outcome = outcome.expect_code(0);
        assert_eq!(outcome.stderr_text(), "", "{runtime:?}");
        let lines: u32 = outcome.stdout_text().trim().parse().expect("a number");
        assert!(lines > 5_000, "{lines} lines");
    }
}

/// Every file of the base image, as the host's tar and sha256sum read them from its layer.
#[test]
#[ignore = "slow"]
fn every_file_has_its_bytes() {
    let Some(lab) = Lab::get() else { return };
    let debian = Artifact::of(lab, Image::Debian);
    let script = "find / -xdev -type f -exec sha256sum {} +";
    let guest = Runtime::Ours.run(&debian, &["bash", "-c", script]).expect_code(0).stdout_text();
    let guest: HashMap<&str, &str> = guest
        .lines()
        .filter_map(|line| line.split_once("  /").map(|(sum, path)| (path, sum)))
        .collect();
    let mut checked = 0;
    for line in sums_of_base(lab).lines() {
        let (path, sum) = line.split_once('\t').expect("a path and a sum");
        // Init writes these anew at every start.
        if ["etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/machine-id"].contains(&path) {
            continue;
        }
        assert_eq!(guest.get(path), Some(&sum), "{path}");
        checked += 1;
    }
    assert!(checked > 3_000, "{checked} files");
}

/// Lines of path, tab and SHA-256 of all regular files of the base's only layer.
fn sums_of_base(lab: &Lab) -> String {
    let blobs = std::fs::read_dir(lab.base().join("blobs/sha256")).expect("the base's blobs");
    let layer = blobs
        .map(|blob| blob.expect("a blob").path())
        .max_by_key(|path| path.metadata().expect("a blob").len())
        .expect("a layer");
    let per_file = r#"printf '%s\t%s\n' "${TAR_FILENAME#./}" "$(sha256sum | cut -c1-64)""#;
    let mut tar = Command::new("tar");
    tar.args(["-xf"]).arg(layer).arg(format!("--to-command={per_file}"));
    run(&mut tar).expect_code(0).stdout_text()
}
