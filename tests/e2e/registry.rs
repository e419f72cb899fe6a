//! From a base in a registry to an artifact in a registry to a program that runs, with Debian's
//! docker-registry, skopeo and containerd as the others.

#[path = "../../cli/tests/support/server.rs"]
#[allow(dead_code, reason = "the command's own tests use the rest")]
mod server;

use crate::support::{Lab, Outcome, run};
use server::{Door, Server, has};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A registry with the Debian base as `debian:trixie`, and a user without anything.
struct Scene {
    lab: &'static Lab,
    server: Server,
    home: TempDir,
}

impl Scene {
    fn set() -> Option<Self> {
        let lab = Lab::get()?;
        if !has(&["docker-registry", "skopeo"]) {
            return None;
        }
        let scene = Self { lab, server: Server::start(Door::Open), home: lab.temporary() };
        let base = format!("oci:{}", lab.base().display());
        scene.skopeo(&[&base, &format!("docker://{}", scene.name("debian:trixie"))]);
        Some(scene)
    }

    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.server.name())
    }

    fn skopeo(&self, words: &[&str]) {
        let mut command = Command::new("skopeo");
        command.args(["--insecure-policy", "copy", "--src-tls-verify=false"]);
        command.arg("--dest-tls-verify=false").args(words);
        run(command.env("XDG_RUNTIME_DIR", self.home.path())).expect_code(0);
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.lab.lithify();
        command.args(words).current_dir(self.home.path());
        command.env("XDG_CACHE_HOME", self.home.path()).env("HOME", self.home.path());
        command
    }

    fn lithify(&self, words: &[&str]) -> Outcome {
        run(&mut self.command(words))
    }

    /// A folder with this Dockerfile.
    fn context(&self, dockerfile: &str) -> String {
        let folder = self.home.path().join("context");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("Dockerfile"), dockerfile).expect("a Dockerfile");
        folder.display().to_string()
    }
}

#[test]
fn an_artifact_is_built_on_a_pulled_base_pushed_removed_and_run() {
    let Some(scene) = Scene::set() else { return };
    let (base, app) = (scene.name("debian:trixie"), scene.name("app:1"));
    let context = scene.context(&format!(
        "FROM {base} AS base\nCOPY --from={base} /etc/debian_version /v\nCMD [\"cat\", \"/v\"]\n"
    ));
    scene.lithify(&["build", "-t", &app, "-o", "app.wasm", &context]).expect_code(0);
    let pushed = scene.lithify(&["push", &app]).expect_code(0).stdout_text();
    scene.lithify(&["rm", &app]).expect_code(0);
    scene.lithify(&["prune", "--all", "--force"]).expect_code(0);
    scene.lithify(&["run", "--pull", "never", &app]).expect_error(125, &["not in the local store"]);
    let output = scene.lithify(&["run", &app]).expect_code(0).stdout_text();
    assert!(output.starts_with("13") || output.starts_with("trixie"), "{output}");
    let pulled = scene.lithify(&["pull", &app]).expect_code(0).stdout_text();
    assert_eq!(pulled, pushed);
}

#[test]
fn files_are_copied_and_mounted_from_an_image_of_a_registry() {
    let Some(scene) = Scene::set() else { return };
    let (base, tool) = (scene.name("debian:trixie"), scene.name("x:tag"));
    let context = scene.context("FROM scratch\nCOPY Dockerfile /marker\n");
    scene.lithify(&["build", "-o", "type=oci,dest=tool.tar", &context]).expect_code(0);
    let archive = format!("oci-archive:{}", scene.home.path().join("tool.tar").display());
    scene.skopeo(&[&archive, &format!("docker://{tool}")]);
    let context = scene.context(&format!(
        "FROM {base}\nCOPY --from={tool} /marker /copied\n\
         RUN --mount=from={tool},target=/tool cp /tool/marker /mounted\n\
         CMD [\"cat\", \"/copied\", \"/mounted\"]\n"
    ));
    scene.lithify(&["prune", "--all", "--force"]).expect_code(0);
    scene.lithify(&["build", "-o", "app.wasm", &context]).expect_code(0);
    let output = scene.lithify(&["run", "app.wasm"]).expect_code(0).stdout_text();
    assert_eq!(output, "FROM scratch\nCOPY Dockerfile /marker\n".repeat(2));
}

#[test]
fn an_image_is_converted_from_a_registry_and_from_a_layout() {
    let Some(scene) = Scene::set() else { return };
    let layout = format!("oci-layout://{}", scene.lab.base().display());
    let mut artifacts = Vec::new();
    for (number, image) in [scene.name("debian:trixie"), layout].iter().enumerate() {
        let file = format!("{number}.wasm");
        scene.lithify(&["convert", "-o", &file, image]).expect_code(0);
        artifacts.push(std::fs::read(scene.home.path().join(file)).expect("an artifact"));
    }
    assert!(artifacts[0] == artifacts[1], "the same image gives the same artifact");
    let output = scene.lithify(&["run", "0.wasm", "echo", "hello"]).expect_code(0).stdout_text();
    assert_eq!(output, "hello\n");
}

#[test]
fn a_base_that_is_not_to_be_had_is_named_with_its_line() {
    let Some(scene) = Scene::set() else { return };
    let missing = scene.name("debian:trixi");
    let context = scene.context(&format!("FROM {missing}\n"));
    let hint = format!("{missing} not found (did you mean `trixie`?)");
    scene.lithify(&["build", &context]).expect_error(1, &["Dockerfile:1", &hint]);
    let context = scene.context(&format!("FROM {}\n", scene.name("debian:trixie")));
    scene.lithify(&["build", "--pull=never", &context]).expect_error(1, &["--pull never"]);
}

/// Peak resident memory of a process in bytes, read until it ends.
fn peak_of(mut child: Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = kilobytes.map_or(peak, |kilobytes| peak.max(kilobytes << 10));
        if let Some(status) = child.try_wait().expect("a child of ours") {
            assert!(status.success(), "{status}");
            return peak;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Writes an OCI layout of an artifact whose module is `size` bytes long.
fn large_layout(folder: &Path, size: usize) {
    use lithify_image::{ArtifactInfo, Store};
    let store = Store::open(folder).expect("a store");
    let mut writer = store.writer().expect("a blob");
    let mut state = 1_u64;
    let mut chunk = vec![0; 1 << 20];
    for _ in 0..size >> 20 {
        for word in chunk.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        writer.write_all(&chunk).expect("space");
    }
    let (digest, len) = writer.commit(None).expect("a blob");
    let info = ArtifactInfo { title: "large.wasm".into(), ..ArtifactInfo::default() };
    let descriptor = store.put_artifact(digest, len, &info).expect("an artifact");
    store.set_name(&"large".parse().expect("a name"), &descriptor).expect("a name");
}

#[test]
#[ignore = "slow: moves two gigabytes"]
fn a_gigabyte_moves_within_64_megabytes_of_memory() {
    const LIMIT: u64 = 64 << 20;
    let Some(scene) = Scene::set() else { return };
    let name = scene.name("large:1");
    large_layout(&scene.home.path().join("lithify/store"), 1 << 30);
    scene.lithify(&["tag", "large", &name]).expect_code(0);
    let start = |words: &[&str], home: &Path| {
        let mut command = scene.command(words);
        command.env("XDG_CACHE_HOME", home).stdout(Stdio::null()).stderr(Stdio::null());
        peak_of(command.spawn().expect("lithify starts"))
    };
    let push = start(&["push", "-q", &name], scene.home.path());
    let other = scene.lab.temporary();
    let pull = start(&["pull", "-q", &name], other.path());
    assert!(0 < push && push < LIMIT && 0 < pull && pull < LIMIT, "push {push}, pull {pull}");
}

#[test]
#[ignore = "slow: needs containerd"]
fn containerd_imports_and_unpacks_the_image_form() {
    let Some(scene) = Scene::set() else { return };
    if !has(&["containerd", "ctr"]) {
        return;
    }
    let (base, app) = (scene.name("debian:trixie"), scene.name("app:1"));
    let context = scene.context(&format!("FROM {base}\nCMD [\"true\"]\n"));
    scene.lithify(&["build", "-t", &app, "-o", "app.wasm", &context]).expect_code(0);
    scene.lithify(&["push", "--as", "image", &app]).expect_code(0);
    let archive = scene.home.path().join("app.tar");
    let to = format!("oci-archive:{}:app:1", archive.display());
    scene.skopeo(&[&format!("docker://{app}"), &to]);
    let containerd = Containerd::start(scene.home.path());
    let archive = archive.display().to_string();
    let platform = ["--platform", "wasip1/wasm"];
    containerd
        .ctr(&[&["image", "import"], &platform[..], &["--base-name", "app", &archive]].concat());
    let listed = containerd.ctr(&["image", "ls"]).stdout_text();
    assert!(listed.contains("wasip1/wasm"), "{listed}");
    let rootfs = scene.home.path().join("rootfs");
    std::fs::create_dir(&rootfs).expect("a folder");
    let place = rootfs.display().to_string();
    containerd.ctr(&[&["image", "mount"], &platform[..], &["app:1", &place]].concat());
    let unpacked = std::fs::read(rootfs.join("app.wasm"));
    containerd.ctr(&["image", "unmount", &place]);
    let module = std::fs::read(scene.home.path().join("app.wasm")).expect("an artifact");
    assert!(unpacked.expect("the module is unpacked") == module, "other bytes were unpacked");
}

/// A containerd that keeps everything in one folder.
struct Containerd {
    child: Child,
    socket: String,
}

impl Containerd {
    fn start(folder: &Path) -> Self {
        let path = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = \
             [\"io.containerd.grpc.v1.cri\"]\n[ttrpc]\naddress = \"{}\"\n[grpc]\naddress = \"{}\"\n",
            path("root"),
            path("state"),
            path("ttrpc"),
            path("socket")
        );
        std::fs::write(path("containerd.toml"), config).expect("a configuration");
        let child = Command::new("containerd")
            .args(["-c", &path("containerd.toml")])
            .stderr(Stdio::null())
            .spawn()
            .expect("containerd starts");
        let mut containerd = Self { child, socket: path("socket") };
        while std::os::unix::net::UnixStream::connect(&containerd.socket).is_err() {
            let ended = containerd.child.try_wait().expect("a child of ours");
            assert!(ended.is_none(), "containerd ended with {ended:?}; it needs root");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        containerd
    }

    fn ctr(&self, words: &[&str]) -> Outcome {
        run(Command::new("ctr").args(["--address", &self.socket]).args(words)).expect_code(0)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
