//! Nothing leads out of the directory.

use lithify_hostdir::{Errno, HostDir, OpenFlags, SetTimes, read_entries};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const READ: OpenFlags = OpenFlags {
    read: true,
    write: false,
    create: false,
    exclusive: false,
    truncate: false,
    append: false,
    directory: false,
};
const CREATE: OpenFlags = OpenFlags { write: true, create: true, truncate: true, ..READ };

/// `inside` is shared; `outside/secret` must stay unseen and as it is.
fn lab() -> (TempDir, HostDir) {
    let lab = tempfile::tempdir().unwrap();
    for folder in ["inside/sub", "outside"] {
        fs::create_dir_all(lab.path().join(folder)).unwrap();
    }
    fs::write(lab.path().join("outside/secret"), "secret").unwrap();
    fs::write(lab.path().join("inside/file"), "file").unwrap();
    let dir = HostDir::open(&lab.path().join("inside")).unwrap();
    (lab, dir)
}

fn outside_is_untouched(lab: &Path) {
    let names: Vec<_> = fs::read_dir(lab.join("outside")).unwrap().collect();
    assert_eq!(names.len(), 1);
    assert_eq!(fs::read(lab.join("outside/secret")).unwrap(), b"secret");
}

/// Tries every operation on `path`; returns those that succeeded.
fn successes(dir: &HostDir, path: &[u8]) -> Vec<&'static str> {
    let times = SetTimes::pair(SetTimes::Now, SetTimes::Keep);
    [
        ("open", dir.open_file(path, READ).is_ok()),
        ("create", dir.open_file(path, CREATE).is_ok()),
        ("stat", dir.stat(path).is_ok()),
        ("times", dir.set_times(path, &times).is_ok()),
        ("mkdir", dir.create_directory(path).is_ok()),
        ("symlink", dir.symlink(b"x", path).is_ok()),
        ("link to", dir.link(b"file", dir, path).is_ok()),
        ("link from", dir.link(path, dir, b"linked").is_ok()),
        ("rename to", dir.rename(b"sub", dir, path).is_ok()),
        ("rename from", dir.rename(path, dir, b"moved").is_ok()),
        ("readlink", dir.read_link(path).is_ok()),
        ("rmdir", dir.remove_directory(path).is_ok()),
        ("unlink", dir.remove_file(path).is_ok()),
    ]
    .into_iter()
    .filter_map(|(name, succeeded)| succeeded.then_some(name))
    .collect()
}

#[test]
fn names_that_lead_up_or_are_not_plain_are_refused() {
    let (lab, dir) = lab();
    for path in [
        "..",
        "../outside/secret",
        "sub/../../outside/secret",
        "sub/..",
        "/etc/passwd",
        "//",
        "sub//x",
        "sub/./x",
        "./file",
        "sub/",
    ] {
        assert_eq!(dir.stat(path.as_bytes()).unwrap_err(), Errno::PERM, "{path}");
        assert_eq!(successes(&dir, path.as_bytes()), [""; 0], "{path}");
    }
    assert!(dir.stat(b"a\0b").is_err());
    assert_eq!(dir.stat(&b"a/".repeat(3000)).unwrap_err(), Errno::NAMETOOLONG);
    outside_is_untouched(lab.path());
}

#[test]
fn symbolic_links_on_the_way_are_not_followed() {
    let (lab, dir) = lab();
    let inside = lab.path().join("inside");
    symlink("../outside", inside.join("relative")).unwrap();
    symlink(lab.path().join("outside"), inside.join("absolute")).unwrap();
    symlink("sub", inside.join("harmless")).unwrap();
    for path in ["relative/secret", "absolute/secret", "relative/new", "harmless/new"] {
        assert_eq!(dir.stat(path.as_bytes()).unwrap_err(), Errno::NOTDIR, "{path}");
        assert_eq!(successes(&dir, path.as_bytes()), [""; 0], "{path}");
    }
    outside_is_untouched(lab.path());
}

#[test]
fn a_symbolic_link_at_the_end_is_the_link_itself() {
    let (lab, dir) = lab();
    let link = lab.path().join("inside/link");
    symlink("../outside/secret", &link).unwrap();
    assert_eq!(dir.open_file(b"link", READ).unwrap_err(), Errno::LOOP);
    assert_eq!(dir.open_file(b"link", CREATE).unwrap_err(), Errno::LOOP);
    assert_eq!(dir.read_link(b"link").unwrap(), b"../outside/secret");
    assert_eq!(dir.stat(b"link").unwrap().st_size, 17);
    dir.link(b"link", &dir, b"second").unwrap();
    dir.remove_file(b"link").unwrap();
    assert!(!link.exists());
    outside_is_untouched(lab.path());
}

#[test]
fn links_that_appear_while_a_path_is_walked_lead_nowhere() {
    let (lab, dir) = lab();
    let inside = lab.path().join("inside");
    fs::write(inside.join("sub/secret"), "inside").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fs::rename(inside.join("sub"), inside.join("away")).unwrap();
                symlink("../outside", inside.join("sub")).unwrap();
                fs::remove_file(inside.join("sub")).unwrap();
                fs::rename(inside.join("away"), inside.join("sub")).unwrap();
            }
        });
        let mut seen = BTreeSet::new();
        for _ in 0..20_000 {
            let Ok(file) = dir.open_file(b"sub/secret", READ) else { continue };
            let mut bytes = [0; 6];
            fs::File::from(file).read_exact(&mut bytes).unwrap();
            seen.insert(bytes);
        }
        done.store(true, Ordering::Relaxed);
        assert!(seen.iter().all(|bytes| bytes == b"inside"), "{seen:?}");
    });
    outside_is_untouched(lab.path());
}

#[test]
fn pipes_and_sockets_are_neither_waited_for_nor_opened() {
    let (lab, dir) = lab();
    let pipe = lab.path().join("inside/pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(lab.path().join("inside/socket")).unwrap();
    assert_eq!(dir.open_file(b"pipe", READ).unwrap_err(), Errno::ACCESS);
    for path in [&b"pipe"[..], b"socket"] {
        assert!(dir.open_file(path, CREATE).is_err());
        assert!(dir.stat(path).is_ok());
    }
}

#[test]
fn the_root_can_be_looked_at_but_not_replaced() {
    let (_lab, dir) = lab();
    for path in [&b""[..], b"."] {
        assert_eq!(successes(&dir, path), ["open", "stat", "times"]);
    }
}

#[test]
fn a_single_file_is_the_root_and_all_there_is() {
    let (lab, inside) = lab();
    symlink("inside/file", lab.path().join("link")).unwrap();
    for name in ["inside/file", "link"] {
        let single = HostDir::open_single(&lab.path().join(name)).unwrap();
        for path in [&b""[..], b"."] {
            assert_eq!(successes(&single, path), ["open", "create", "stat", "times"], "{name}");
        }
        for path in [&b"file"[..], b"sub", b"new", b"..", "../outside/secret".as_bytes(), b"/"] {
            assert!(successes(&single, path).is_empty(), "{name}: {}", path.escape_ascii());
        }
        // From or to elsewhere, either.
        assert_eq!(single.rename(b"", &inside, b"moved"), Err(Errno::BUSY));
        assert_eq!(inside.link(b"sub/x", &single, b"x"), Err(Errno::NOTDIR));
    }
    outside_is_untouched(lab.path());
}

#[test]
fn a_single_file_is_followed_by_name_but_through_no_link() {
    let (lab, _) = lab();
    let path = lab.path().join("inside/file");
    let single = HostDir::open_single(&path).unwrap();
    let size = || single.stat(b"").map(|stat| stat.st_size);
    fs::write(lab.path().join("inside/new"), "longer than before").unwrap();
    fs::rename(lab.path().join("inside/new"), &path).unwrap();
    assert_eq!(size(), Ok(18));
    fs::remove_file(&path).unwrap();
    assert_eq!(size(), Err(Errno::NOENT));
    symlink("../outside/secret", &path).unwrap();
    assert_eq!(single.open_file(b"", READ).unwrap_err(), Errno::LOOP);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(single.open_file(b"", READ).unwrap_err(), Errno::ACCESS);
}

#[test]
fn only_a_regular_file_is_a_single_file() {
    let (lab, _) = lab();
    let open = |name: &str| HostDir::open_single(&lab.path().join(name)).map(drop);
    assert_eq!(open("inside"), Err(Errno::ACCESS));
    assert_eq!(open("missing"), Err(Errno::NOENT));
    assert_eq!(HostDir::open_single(Path::new("/dev/null")).map(drop), Err(Errno::ACCESS));
    assert_eq!(HostDir::open_single(Path::new("/")).map(drop), Err(Errno::ISDIR));
}

#[test]
fn a_listing_goes_on_where_an_earlier_one_stopped() {
    let (lab, dir) = lab();
    for number in 0..1000 {
        fs::write(lab.path().join(format!("inside/sub/{number}")), "").unwrap();
    }
    let sub = dir.open_file(b"sub", OpenFlags { directory: true, ..READ }).unwrap();
    let mut names = Vec::new();
    let mut position = 0;
    loop {
        let mut left = 7;
        let before = names.len();
        read_entries(sub.as_fd(), position, &mut |entry| {
            if left == 0 {
                return false;
            }
            left -= 1;
            position = entry.next;
            names.push(String::from_utf8(entry.name.to_vec()).unwrap());
            true
        })
        .unwrap();
        if names.len() == before {
            break;
        }
    }
    assert_eq!(names.len(), 1002);
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>().len(), 1002);
}

#[test]
fn names_move_between_directories() {
    let (lab, dir) = lab();
    let other = lab.path().join("other");
    fs::create_dir(&other).unwrap();
    let other_dir = HostDir::open(&other).unwrap();
    dir.link(b"file", &other_dir, b"second").unwrap();
    dir.rename(b"file", &other_dir, b"moved").unwrap();
    assert_eq!(fs::read(other.join("second")).unwrap(), b"file");
    assert_eq!(fs::read(other.join("moved")).unwrap(), b"file");
    assert!(dir.stat(b"file").is_err());
}
