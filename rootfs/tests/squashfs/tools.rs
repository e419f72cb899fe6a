//! Foreign programs. Where one is missing or a right is, the test says so and passes.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lithify_rootfs::{SquashfsOptions, SquashfsView, Tree, Warning, write_squashfs};

/// Writes the image to `dir` and returns its warnings.
pub(crate) fn write(tree: &Tree, dir: &Path) -> Vec<Warning> {
    let mut out = File::create(dir.join("image")).unwrap();
    write_squashfs(tree, &mut out, &SquashfsOptions::default()).unwrap()
}

/// Writes the image to `dir` as [`SquashfsView`] has it, and returns its warnings.
pub(crate) fn write_view(tree: &Tree, dir: &Path) -> Vec<Warning> {
    let (view, warnings) = SquashfsView::new(tree, &SquashfsOptions::default()).unwrap();
    let out = File::create(dir.join("image")).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut position = 0;
    while position < view.len() {
        let len = (view.len() - position).min(1 << 20) as usize;
        view.read_at(&mut buffer[..len], position).unwrap();
        out.write_all_at(&buffer[..len], position).unwrap();
        position += len as u64;
    }
    warnings
}

/// The two ways to write an image.
pub(crate) const WRITERS: [fn(&Tree, &Path) -> Vec<Warning>; 2] = [write, write_view];

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Runs `program` in `dir` and returns its output; `None` if it is not installed.
pub(crate) fn run(program: &str, dir: &Path, arguments: &[&str]) -> Option<String> {
    let output: Output = match Command::new(program).args(arguments).current_dir(dir).output() {
        Ok(output) => output,
        Err(_) => {
            println!("skipped: no `{program}` program");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}{errors}");
    assert!(errors.is_empty(), "{program} {arguments:?}: {errors}");
    Some(text)
}

pub(crate) fn unsquashfs(dir: &Path, arguments: &[&str]) -> Option<String> {
    run("unsquashfs", dir, arguments)
}

/// The image in a directory, mounted by the kernel until this is dropped.
pub(crate) struct Mount {
    device: String,
    root: PathBuf,
}

impl Mount {
    /// `None` if there are no loop devices for this user or no squashfs in this kernel.
    pub(crate) fn new(dir: &Path) -> Option<Self> {
        let kernel = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !kernel.split_whitespace().any(|name| name == "squashfs") {
            println!("skipped: this kernel has no squashfs");
            return None;
        }
        let mut losetup = Command::new("losetup");
        losetup.args(["--find", "--show", "--read-only"]).arg(dir.join("image"));
        let Some(output) = losetup.output().ok().filter(|output| output.status.success()) else {
            println!("skipped: no loop devices, or not root");
            return None;
        };
        let device = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let mount = Self { device, root: dir.join("mnt") };
        fs::create_dir(&mount.root).unwrap();
        let mut command = Command::new("mount");
        let command = command.args(["-t", "squashfs", "-o", "ro", &mount.device]);
        let output = command.arg(&mount.root).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the kernel refuses the image: {errors}");
        Some(mount)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.root).output();
        let _ = Command::new("losetup").args(["--detach", &self.device]).output();
    }
}
