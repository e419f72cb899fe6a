//! However the root file system is packed, the guest reads the same.

use crate::support::{Artifact, Lab, Runtime, run};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const DOCKERFILE: &str = "FROM debian:trixie-slim AS debian
FROM scratch
COPY --from=debian /usr/bin/cat /usr/bin/od /bin/
COPY --from=debian /usr/lib/riscv64-linux-gnu/libc.so.6 /lib/riscv64-linux-gnu/
COPY --from=debian /usr/lib/riscv64-linux-gnu/ld-linux-riscv64-lp64d.so.1 /lib/
COPY data /
";

/// Builds an image with `data` in it, packed as `method` says.
fn build(lab: &'static Lab, context: &Path, method: &str) -> PathBuf {
    fs::write(context.join("Dockerfile"), DOCKERFILE).expect("a Dockerfile");
    let output = context.with_extension(format!("{}.wasm", method.replace(':', "-")));
    run(lab.build(context, &output).args(["--compress", method])).expect_code(0);
    output
}

fn inspected(lab: &Lab, artifact: &Path) -> serde_json::Value {
    let mut command = lab.lithify();
    let json = run(command.args(["inspect", "--json"]).arg(artifact)).expect_code(0).stdout_text();
    serde_json::from_str(&json).expect("JSON")
}

/// Chunks that can be packed and chunks that cannot, by turns.
fn data(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let byte = |i: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if (i >> 18) & 1 == 0 { (i / 11) as u8 } else { (state >> 56) as u8 }
    };
    (0..len).map(byte).collect()
}

#[test]
fn packed_images_are_read_as_they_were() {
    let Some(lab) = Lab::get() else { return };
    let folder = lab.temporary();
    let context = folder.path().join("app");
    fs::create_dir(&context).expect("a folder");
    let data = data(5_000_001);
    fs::write(context.join("data"), &data).expect("a file");
    let mut sizes = Vec::new();
    for (method, compression) in [("none", None), ("lz4", Some("lz4")), ("zstd:19", Some("zstd"))] {
        let artifact = Artifact::at(lab, build(lab, &context, method));
        let report = inspected(lab, artifact.wasm());
        assert_eq!(report["rom"]["compression"].as_str(), compression);
        sizes.push(report["rom"]["stored"].as_u64().expect("a size"));
        for runtime in Runtime::BOTH {
            let outcome = runtime.run(&artifact, &["cat", "/data"]).expect_guest_code(runtime, 0);
            assert!(outcome.stdout == data, "{method}, {runtime:?}");
        }
    }
    assert!(sizes.is_sorted_by(|bigger, smaller| bigger > smaller), "{sizes:?}");
}

#[test]
fn damaged_packed_image_is_one_error() {
    let Some(lab) = Lab::get() else { return };
    let folder = lab.temporary();
    let context = folder.path().join("app");
    fs::create_dir(&context).expect("a folder");
    let words = (0..1_u64 << 17).flat_map(|word| ((word * word) >> 5).to_le_bytes());
    fs::write(context.join("data"), words.collect::<Vec<u8>>()).expect("a file");
    let artifact = build(lab, &context, "lz4");
    let mut bytes = fs::read(&artifact).expect("an artifact");
    let rom = bytes.windows(8).rposition(|bytes| bytes == b"LITHROM1").expect("a packed image");
    // All but the index and what the frozen machine has read already.
    let end = bytes.len() - 4096;
    bytes[rom + 4096..end].fill(0xff);
    let damaged = folder.path().join("damaged.wasm");
    fs::write(&damaged, bytes).expect("a copy");
    let expected = "of the packed ROM is damaged";
    run(lab.lithify().arg("run").arg(&damaged).args(["cat", "/data"]))
        .expect_error(125, &["damaged.wasm: ", expected]);
    let mut stock = lab.wasmtime();
    let outcome = run(stock.arg("run").arg(&damaged).args(["cat", "/data"])).expect_code(125);
    let message = outcome.stderr_text();
    assert!(message.contains("lithify: chunk ") && message.contains(expected), "{message}");
    assert_eq!((outcome.stdout.as_slice(), message.lines().count()), (&b""[..], 1), "{message}");
}

#[test]
#[ignore = "slow: an image of more than 1 GiB, built and compiled twice"]
fn image_beyond_a_gibibyte_is_read_to_its_end() {
    let Some(lab) = Lab::get() else { return };
    let folder = lab.temporary();
    let context = folder.path().join("app");
    fs::create_dir(&context).expect("a folder");
    const WORDS: u64 = 150_000_000;
    let mut file = BufWriter::new(File::create(context.join("data")).expect("a file"));
    for word in 0..WORDS {
        file.write_all(&word.to_le_bytes()).expect("space");
    }
    file.into_inner().expect("space");
    for method in ["none", "zstd:1"] {
        let artifact = Artifact::at(lab, build(lab, &context, method));
        assert!(inspected(lab, artifact.wasm())["rom"]["raw"].as_u64() > Some(1 << 30));
        for runtime in Runtime::BOTH {
            for word in [0, WORDS / 2, WORDS - 1] {
                let place = (8 * word).to_string();
                let args = ["od", "-An", "-tu8", "-j", &place, "-N8", "/data"];
                let outcome = runtime.run(&artifact, &args).expect_guest_code(runtime, 0);
                assert_eq!(outcome.stdout_text().trim(), word.to_string(), "{method}, {runtime:?}");
            }
        }
    }
}
