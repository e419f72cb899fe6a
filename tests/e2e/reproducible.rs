//! Same Dockerfile and context, same bytes.

use crate::support::{Artifact, Image, Lab, run};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Copies the context, files in reverse order and with `age` as their modification time.
fn copy_aged(from: &Path, to: &Path, age: Duration) {
    fs::create_dir_all(to).expect("a folder for the copy");
    let mut files: Vec<_> =
        fs::read_dir(from).expect("the context").map(|file| file.expect("a file").path()).collect();
    files.sort();
    for path in files.iter().rev() {
        let copy = to.join(path.file_name().expect("a name"));
        fs::copy(path, &copy).expect("a copy");
        let copy = fs::File::options().write(true).open(copy).expect("the copy");
        copy.set_modified(SystemTime::now() - age).expect("a new time");
    }
}

#[test]
fn two_folders_give_the_same_bytes() {
    let Some(lab) = Lab::get() else { return };
    let image = Image::Shell("exec-form");
    let first = Artifact::of(lab, image);

    let folder = lab.temporary();
    let context = folder.path().join("somewhere/else");
    copy_aged(&image.context(), &context, Duration::from_secs(86_400 * 365));
    let home = folder.path().join("home");
    let output = folder.path().join("second.wasm");
    let mut command = lab.build(Path::new("."), &output);
    command.current_dir(&context).args(["--target", "exec-form", "--progress", "plain"]);
    command.env("HOME", &home).env_remove("XDG_CACHE_HOME").env("TZ", "Asia/Tokyo");
    run(&mut command).expect_code(0);

    let (first, second) = (read(first.wasm()), read(&output));
    let difference = first.iter().zip(&second).position(|(a, b)| a != b);
    assert_eq!(difference, None, "first different byte");
    assert_eq!(first.len(), second.len());
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("an artifact")
}
