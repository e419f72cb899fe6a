//! The store under many builds at a time, and under their sudden death.

mod home;

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use home::{Home, text};

/// Three stages, so that several threads write, and files large enough to be killed in.
const DOCKERFILE: &str = "FROM scratch AS a\nCOPY one two /a/\nWORKDIR /w\n\
    FROM scratch AS b\nCOPY two /b/\nCOPY one /c/\n\
    FROM scratch\nCOPY --from=a / /a\nCOPY --from=b / /b\nCMD [\"x\"]\n";

/// No build is over sooner, in microseconds.
const SHORTEST_LIFE_US: u64 = 5000;

/// Marsaglia's xorshift: what is random here must be so again from its seed.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let seed = match std::env::var("LITHIFY_TEST_SEED") {
            Ok(seed) => seed.parse().expect("LITHIFY_TEST_SEED is a number"),
            Err(_) => {
                let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
                u64::from(now.subsec_nanos()) | 1
            }
        };
        println!("LITHIFY_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }
}

fn write_context(home: &Home, name: &str, random: &mut Random) {
    home.write(&format!("{name}/Dockerfile"), DOCKERFILE);
    home.write(&format!("{name}/one"), random.bytes(300_000));
    home.write(&format!("{name}/two"), random.bytes(40_000));
}

fn start(home: &Home, words: &[&str]) -> Child {
    let mut command = home.command(words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills `kills` processes, each at a random moment of its life.
fn kill_again_and_again(kills: usize) {
    let mut random = Random::seeded();
    let home = Home::new();
    home.boot_files();
    write_context(&home, "context", &mut random);
    let began = Instant::now();
    home.builds(&["-t", "app", "context"]);
    // The first build may take longer than those after it: what outlives its moment shortens this.
    let mut life = u64::try_from(began.elapsed().as_micros()).unwrap();

    let mut killed = 0;
    for round in 0.. {
        assert!(round < 50 * kills, "{killed} of {round} were killed in time");
        if killed == kills {
            break;
        }
        let name = format!("app:{}", random.below(5));
        write_context(&home, "context", &mut random);
        let words = match random.below(10) {
            0 => vec!["prune", "--force"],
            1 => vec!["prune", "--force", "--all"],
            _ => vec!["build", "-q", "-t", &name, "-o", "app.wasm", "context"],
        };
        let mut child = start(&home, &words);
        // Now and then another build goes on beside it.
        let other = (random.below(4) == 0).then(|| {
            write_context(&home, "other", &mut random);
            start(&home, &["build", "-q", "-t", "other", "-o", "other.wasm", "other"])
        });
        sleep(Duration::from_micros(random.below(life)));
        match child.try_wait().unwrap() {
            None => killed += 1,
            Some(_) if words[0] == "build" => life = (life * 3 / 4).max(SHORTEST_LIFE_US),
            Some(_) => {}
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if let Some(mut other) = other {
            assert!(other.wait().unwrap().success(), "round {round}: the other build");
        }
        home.check_store();
    }

    home.builds(&["-t", "app", "-o", "last.wasm", "context"]);
    let (blobs, records) = home.check_store();
    assert!(blobs > 5 && records > 5, "{blobs} blobs, {records} records");
    let fresh = Home::new();
    fresh.boot_files();
    for file in ["Dockerfile", "one", "two"] {
        fresh.write(&format!("context/{file}"), home.read(&format!("context/{file}")));
    }
    fresh.builds(&["-o", "last.wasm", "context"]);
    assert!(home.read("last.wasm") == fresh.read("last.wasm"), "a fresh store gives other bytes");
}

#[test]
fn killed_at_any_moment_the_store_is_whole() {
    kill_again_and_again(20);
}

#[test]
#[ignore = "slow: 200 builds"]
fn killed_at_200_moments_the_store_is_whole() {
    kill_again_and_again(200);
}

#[test]
fn eight_builds_share_a_store() {
    let mut random = Random::seeded();
    let home = Home::new();
    home.boot_files();
    for context in ["c0", "c1", "c2", "c3"] {
        write_context(&home, context, &mut random);
    }
    let builds: Vec<Child> = (0..8)
        .map(|number| {
            let (context, name) = (format!("c{}", number / 2), format!("app:{number}"));
            let output = format!("{number}.wasm");
            let words = ["build", "-q", "-t", &name, "-o", &output, &context];
            home.command(&words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for build in builds {
        let output = build.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    for pair in [["0.wasm", "1.wasm"], ["2.wasm", "3.wasm"], ["4.wasm", "5.wasm"]] {
        assert!(home.read(pair[0]) == home.read(pair[1]), "{pair:?}");
    }
    assert!(home.read("0.wasm") != home.read("2.wasm"));
    assert_eq!(home.succeeds(&["images", "-q"]).lines().count(), 8);
    home.check_store();
}
