//! What layers say is what a container sees: an image by foreign tools, with everything that layers
//! can say, is compared with a table of its final state as the merged tree, as the squashfs that a
//! kernel mounts, and in the guest, while building and in the artifact.

mod merged;

use crate::support::{Lab, run};
use lithify_image::{Platform, Selection, Store, open_image};
use lithify_rootfs::{SquashfsOptions, Tree, write_squashfs};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/e2e/round_trip");

/// The image, and the lines that each listing of it must have.
struct Image {
    lab: &'static Lab,
    folder: TempDir,
    expected: String,
}

impl Image {
    fn make() -> Option<Self> {
        let lab = Lab::get()?;
        let folder = lab.temporary();
        let mut layers = Command::new("python3");
        layers.arg(Path::new(SCRIPTS).join("layers.py")).arg(lab.base());
        let expected = run(layers.arg(folder.path().join("layout"))).expect_code(0).stdout_text();
        assert!(expected.lines().count() > 50, "{expected}");
        Some(Self { lab, folder, expected })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tree(&self) -> Tree {
        let store = Store::open(self.path("store")).expect("a store");
        let platform =
            Platform { os: "linux".into(), architecture: "riscv64".into(), variant: None };
        let selection = Selection { image: None, platform };
        let image = open_image(&self.path("layout"), &selection, &store).expect("an image");
        Tree::from_layers(&image.layers, &store).expect("layers of a tree")
    }

    #[track_caller]
    fn assert_listed(&self, listing: &str, by: &str) {
        let mut found = listing.lines();
        for expected in self.expected.lines() {
            assert_eq!(found.next(), Some(expected), "{by}");
        }
        assert_eq!(found.next(), None, "{by}");
    }
}

/// What the host's Python sees below `/rt` of the image mounted by the host's kernel.
fn mounted(image: &Path, at: &Path) -> Option<String> {
    fs::create_dir(at).expect("a folder");
    let mut mount = Command::new("mount");
    mount.args(["-t", "squashfs", "-o", "loop,ro"]).arg(image).arg(at);
    let mounting = run(&mut mount);
    if mounting.code != 0 {
        println!("skipped: no loop mount of squashfs: {}", mounting.stderr_text());
        return None;
    }
    let mut python = Command::new("python3");
    let listed = run(python.arg(Path::new(SCRIPTS).join("listing.py")).arg(at.join("rt")));
    run(Command::new("umount").arg(at)).expect_code(0);
    Some(listed.expect_code(0).stdout_text())
}

#[test]
fn image_by_foreign_tools_is_merged_and_mounted_without_loss() {
    let Some(image) = Image::make() else { return };
    let tree = image.tree();
    image.assert_listed(&merged::listing(&tree, Path::new("/rt")), "the merged tree");
    let disk = image.path("disk");
    let mut out = File::create(&disk).expect("a file");
    let warnings = write_squashfs(&tree, &mut out, &SquashfsOptions::default());
    assert_eq!(warnings.expect("an image"), []);
    if let Some(listing) = mounted(&disk, &image.path("mounted")) {
        image.assert_listed(&listing, "the host's kernel");
    }
}

#[test]
#[ignore = "slow: the guest hashes and lists 60,000 files twice"]
fn image_by_foreign_tools_is_seen_in_the_guest_without_loss() {
    let Some(image) = Image::make() else { return };
    let context = image.path("context");
    fs::create_dir(&context).expect("a folder");
    fs::copy(Path::new(SCRIPTS).join("listing.py"), context.join("listing.py")).expect("a script");
    let dockerfile = "FROM rt\nCOPY listing.py /\nRUN python3 /listing.py /rt > /in-run\n";
    fs::write(context.join("Dockerfile"), dockerfile).expect("a Dockerfile");
    let artifact = image.path("app.wasm");
    let mut build = image.lab.build(&context, &artifact);
    let layout = format!("rt=oci-layout://{}", image.path("layout").display());
    run(build.args(["--build-context", &layout])).expect_code(0);
    for (script, by) in
        [("cat /in-run", "a step of the build"), ("python3 /listing.py /rt", "the artifact")]
    {
        let mut command = image.lab.lithify();
        command.arg("run").arg(&artifact).args(["sh", "-c", script]);
        image.assert_listed(&run(&mut command).expect_code(0).stdout_text(), by);
    }
}
