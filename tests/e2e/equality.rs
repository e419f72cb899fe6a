//! Programs of a distribution end in the same state after the same number of instructions, whatever is
//! translated, however few pages the TLB holds and however short the machine's slices are.

use crate::support::{Artifact, End, Image, Lab, run, trial};
use lithify_control::Profile;
use std::path::Path;
use std::sync::OnceLock;

/// What is compared in every way.
const PROGRAMS: [(&str, &str); 7] = [
    (
        "bash",
        r#"fib() { if (($1 < 2)); then echo $1; else echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); fi; }
fib 7; declare -A words; while read -r word rest; do [[ $word ]] && words[${word:0:2}]+=.; done < /etc/services
for key in "${!words[@]}"; do echo "$key ${#words[$key]}"; done | sort | head -20
trap 'echo got it' USR1; for i in 1 2 3; do kill -USR1 $$; done; (exit 3) || echo $?"#,
    ),
    (
        "coreutils",
        "seq 1 3000 | tac | sort -n | md5sum; seq 1 500 | paste - - - - | cut -f 2,3 | tr 1-5 a-e | tail -3
factor 1234567890123 9999999967; ls -l /usr/bin | wc -l; od -An -tx1 -N 64 /bin/true; base64 /bin/true | sha256sum
dd if=/dev/zero bs=64k count=20 2>/dev/null | cksum; stat -c '%a %s %n' /etc/passwd; date -u +%Y",
    ),
    // PCRE2 makes machine code of the expressions; the first lines show it in memory.
    (
        "grep",
        r#"(sleep 1; echo 777) | grep -P '7(7)\1*' & sleep 0.5; grep -c rwxp /proc/$!/maps; wait
seq 1 3000 | grep -P '^(?=.*7)(?!.*8)\d+(\d)\1$' | md5sum
grep -oP '\b(\w)\w+\1\b' /usr/share/common-licenses/GPL-3 | sort | uniq -c | sort -rn | head -3"#,
    ),
    (
        "python3",
        r#"exec python3 -c '
import hashlib, json, random, re, zlib
random.seed(7)
data = [{"n": i, "x": random.gauss(0, 1), "s": "".join(random.choices("abcdef", k=9))} for i in range(600)]
text = json.dumps(data, sort_keys=True)
print(len(text), hashlib.sha256(text.encode()).hexdigest(), zlib.crc32(zlib.compress(text.encode())))
print(sum(d["x"] ** 2 for d in json.loads(text)), len(re.findall(r"a[b-d]+e", text)))
print(sorted(data, key=lambda d: (d["s"], d["n"]))[:2], 3 ** 500 % 10 ** 40)
'"#,
    ),
    (
        "perl",
        r#"exec perl -e 'my %h; open F, "<", "/etc/services"; while (<F>) { $h{$1}++ while /(\w+)/g }
print join(",", map { "$_=$h{$_}" } (sort { $h{$b} <=> $h{$a} || $a cmp $b } keys %h)[0..9]), "\n";
my $s = 0; $s += sin($_) * sqrt($_) for 1..20000; printf "%.12f\n", $s; print scalar reverse("abc"), "\n"'"#,
    ),
    ("dpkg", "dpkg -l | md5sum; dpkg -S /bin/bash; dpkg --print-foreign-architectures; dpkg-query -W | wc -l"),
    ("apt", "apt-cache policy bash 2>&1 | head -5; apt-config dump | md5sum; apt list --installed 2>/dev/null | tail -3"),
];

/// What is compared with slices so short that hardly anything is executed translated.
const SMALL: &str =
    "for i in {1..40}; do x+=$((i * i)); done; echo $x | tr 0-4 a-e; kill -0 $$; (exit 3); echo $?";

/// Code that hardly anybody executes is translated, too: what is wrong with it shows nowhere else.
const EVERYTHING: &str = "--translate=4m";

/// The distribution three times: nothing translated, all that was trained, and that with some blocks left out.
struct Artifacts {
    interpreted: Artifact,
    translated: Artifact,
    dropped: Artifact,
}

fn artifacts() -> Option<&'static Artifacts> {
    static ARTIFACTS: OnceLock<Option<Artifacts>> = OnceLock::new();
    let build = || {
        let lab = Lab::get()?;
        let path = |name: &str| lab.folder().join(name);
        let artifact = |name: &str, options: &[String]| {
            let wasm = path(name);
            run(lab.build(&Image::Debian.context(), &wasm).args(options)).expect_code(0);
            Artifact::at(lab, wasm)
        };
        let option = |name: &str, file: &Path| format!("--profile-{name}={}", file.display());
        let train = |script: &str| {
            let words = serde_json::json!(["bash", "-c", script]);
            format!("--train={words}")
        };
        let (all, some) = (path("equality.counts"), path("equality-dropped.counts"));
        let mut options: Vec<_> = PROGRAMS.iter().map(|(_, script)| train(script)).collect();
        options.extend([option("out", &all), EVERYTHING.to_owned()]);
        let translated = artifact("equality-translated.wasm", &options);
        drop_blocks(&all, &some);
        Some(Artifacts {
            interpreted: artifact("equality-interpreted.wasm", &["--translate=off".into()]),
            translated,
            dropped: artifact(
                "equality-dropped.wasm",
                &[option("in", &some), EVERYTHING.to_owned()],
            ),
        })
    };
    ARTIFACTS.get_or_init(build).as_ref()
}

/// Writes `from` to `to` without a third of its blocks.
fn drop_blocks(from: &Path, to: &Path) {
    let bytes = std::fs::read(from).expect("a profile was written");
    let mut profile = Profile::decode(&bytes).expect("a profile");
    // A generator of numbers that look random: Knuth's.
    let mut state: u64 = 0x5eed;
    let mut is_kept = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        !(state >> 33).is_multiple_of(3)
    };
    profile.pages.iter_mut().for_each(|page| page.blocks.retain(|_| is_kept()));
    profile.pages.retain(|page| !page.blocks.is_empty());
    std::fs::write(to, profile.encode()).expect("a file");
}

fn in_bash(artifact: &Artifact, options: &str, script: &str) -> (End, u64) {
    trial(artifact, options, &["bash", "-c", script])
}

#[test]
fn programs_of_a_distribution_do_the_same_translated() {
    let Some(Artifacts { interpreted, translated, dropped }) = artifacts() else { return };
    for (name, script) in PROGRAMS {
        let (expected, none) = in_bash(interpreted, "", script);
        assert_eq!(none, 0);
        assert!(expected.stdout.lines().count() > 1, "{name}: {}", expected.stdout);
        assert!(name != "grep" || expected.stdout.starts_with("1\n777\n"), "{}", expected.stdout);
        for (artifact, options, least) in
            [(translated, "", 700), (dropped, "", 100), (translated, "tlb=4", 1)]
        {
            let (found, permille) = in_bash(artifact, options, script);
            assert_eq!(found, expected, "{name}, {}, `{options}`", artifact.wasm().display());
            assert!(permille >= least, "{name}, `{options}`: {permille} of 1000 translated");
        }
    }
}

#[test]
fn where_the_machine_looks_up_is_not_seen_by_the_guest() {
    let Some(Artifacts { interpreted, translated, dropped }) = artifacts() else { return };
    let (expected, _) = in_bash(interpreted, "", SMALL);
    for options in ["slice=1", "slice=7", "slice=50", "slice=23,tlb=4", "slice=1000"] {
        for artifact in [interpreted, translated, dropped] {
            let (found, _) = in_bash(artifact, options, SMALL);
            assert_eq!(found, expected, "{}, `{options}`", artifact.wasm().display());
        }
    }
}

#[test]
#[ignore = "slow: billions of instructions in short slices"]
fn where_the_machine_looks_up_is_not_seen_by_programs_of_a_distribution() {
    let Some(Artifacts { interpreted, translated, dropped }) = artifacts() else { return };
    for (name, script) in PROGRAMS {
        let (expected, _) = in_bash(interpreted, "", script);
        for (artifact, options) in [
            (interpreted, "slice=50"),
            (translated, "slice=1"),
            (translated, "slice=50"),
            (translated, "slice=500,tlb=4"),
            (dropped, "slice=17"),
            (dropped, "slice=5000,tlb=4"),
        ] {
            let (found, _) = in_bash(artifact, options, script);
            assert_eq!(found, expected, "{name}, {}, `{options}`", artifact.wasm().display());
        }
    }
}
