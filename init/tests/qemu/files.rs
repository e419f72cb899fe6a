//! What the machine boots: init and the probe built for the guest, an initramfs, squashfs images.

use crate::machine::BootFiles;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// When the image's `/etc` was last changed, seconds since the Unix epoch.
pub(crate) const ETC_MTIME: u64 = 1_000_000_000;

const TARGET: &str = "riscv64gc-unknown-linux-gnu";

/// All files, made once for all tests.
pub(crate) struct Files {
    /// Kernel and initramfs.
    pub(crate) boot: BootFiles,
    /// An image with accounts, programs that are none, and a hostile `/etc`.
    pub(crate) image: PathBuf,
    /// One program and nothing else.
    pub(crate) scratch: PathBuf,
    /// Not a file system.
    pub(crate) garbage: PathBuf,
    _directory: TempDir,
}

static FILES: LazyLock<Result<Files, String>> = LazyLock::new(make);

/// The files, or `None` after saying what the tests lack.
pub(crate) fn files() -> Option<&'static Files> {
    match &*FILES {
        Ok(files) => Some(files),
        Err(missing) => {
            println!("skipped: {missing}");
            None
        }
    }
}

fn make() -> Result<Files, String> {
    for tool in ["qemu-system-riscv64", "mksquashfs", "riscv64-linux-gnu-gcc"] {
        let found = Command::new(tool).arg("-version").output().is_ok();
        found.then_some(()).ok_or_else(|| format!("no {tool}"))?;
    }
    let kernel = kernel();
    kernel.exists().then_some(()).ok_or_else(|| format!("no kernel at {}", kernel.display()))?;
    let built = build_guest_programs();
    let directory = tempfile::tempdir().expect("temporary directory");
    let at = |name: &str| directory.path().join(name);
    let init = fs::read(built.join("lithify-init")).expect("init was built");
    fs::write(at("initramfs"), initramfs(&init)).expect("written");
    let probe = built.join("examples/probe");
    full_tree(&at("full"), &probe);
    put(&at("bare/probe"), &fs::read(&probe).expect("probe was built"), 0o755);
    fs::write(at("garbage"), [0x47; 64 << 10]).expect("written");
    Ok(Files {
        boot: BootFiles { kernel, initramfs: at("initramfs") },
        image: squashfs(&at("full")),
        scratch: squashfs(&at("bare")),
        garbage: at("garbage"),
        _directory: directory,
    })
}

fn kernel() -> PathBuf {
    let boot_files = std::env::var_os("LITHIFY_BOOT_FILES").map(PathBuf::from);
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/boot");
    boot_files.unwrap_or_else(default).join("kernel-riscv64")
}

fn build_guest_programs() -> PathBuf {
    // target/<profile>/deps/<this test>
    let test = std::env::current_exe().expect("path of the test");
    let target_dir = test.ancestors().nth(3).expect("target directory");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "lithify-init", "--target", TARGET])
        .args(["--profile", "guest", "--bin", "lithify-init", "--example", "probe"])
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "init does not build for {TARGET}");
    target_dir.join(TARGET).join("guest")
}

fn put(path: &Path, bytes: &[u8], mode: u32) {
    fs::create_dir_all(path.parent().expect("absolute")).expect("directory");
    fs::write(path, bytes).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
}

fn full_tree(root: &Path, probe: &Path) {
    put(&root.join("bin/probe"), &fs::read(probe).expect("probe was built"), 0o755);
    put(&root.join("bin/plain"), b"no program", 0o644);
    put(&root.join("bin/headless"), b"exit 0\n", 0o755);
    put(&root.join("bin/lost"), b"#!/no/such/interpreter\n", 0o755);
    put(&root.join("bin/script"), b"#!/bin/probe file\nscript body\n", 0o755);
    put(&root.join("etc/passwd"), b"root:x:0:0::/root:/\nweb:x:33:34::/var/www:/\n", 0o644);
    put(&root.join("etc/group"), b"root:x:0:\nwww:x:34:\naudio:x:29:web\n", 0o644);
    put(&root.join("etc/machine-id"), b"0123456789abcdef0123456789abcdef\n", 0o444);
    put(&root.join("file"), b"", 0o644);
    put(&root.join("etc/skel/one"), b"1", 0o644);
    put(&root.join("etc/skel/sub/two"), b"2", 0o644);
    put(&root.join("etc/plain/kept"), b"", 0o644);
    put(&root.join("etc/plain/gone"), b"", 0o644);
    put(&root.join("etc/plain/same/deep"), b"", 0o644);
    symlink("../run/missing/resolv.conf", root.join("etc/resolv.conf")).expect("link");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(ETC_MTIME);
    let etc = fs::File::open(root.join("etc")).expect("directory");
    etc.set_modified(time).expect("time");
}

fn squashfs(tree: &Path) -> PathBuf {
    let image = tree.with_extension("squashfs");
    let made = Command::new("mksquashfs")
        .arg(tree)
        .arg(&image)
        .args([
            "-all-root",
            "-noI",
            "-noD",
            "-noF",
            "-noX",
            "-no-exports",
            "-no-progress",
            "-quiet",
        ])
        .status()
        .expect("mksquashfs runs");
    assert!(made.success());
    image
}

/// A cpio archive ("newc") with `/init` and the directories that init mounts on.
fn initramfs(init: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (inode, (name, mode, bytes)) in
        [("init", 0o100_755, init), ("TRAILER!!!", 0, &[])].into_iter().enumerate()
    {
        cpio_entry(&mut archive, inode, name, mode, bytes);
    }
    archive
}

fn cpio_entry(archive: &mut Vec<u8>, inode: usize, name: &str, mode: u32, bytes: &[u8]) {
    let fields = [inode as u32, mode, 0, 0, 1, 0, bytes.len() as u32, 0, 0, 0, 0];
    archive.extend_from_slice(b"070701");
    for field in fields.into_iter().chain([name.len() as u32 + 1, 0]) {
        archive.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(bytes);
    archive.resize(archive.len().next_multiple_of(4), 0);
}
