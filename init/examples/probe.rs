//! The program that the boot tests run as the container: each word on its command line shows one
//! property of the place it finds itself in.

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio, exit};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "exit" => exit(words.next().and_then(|code| code.parse().ok()).unwrap_or(99)),
            "cat" => drop(io::copy(&mut io::stdin().lock(), &mut io::stdout().lock())?),
            "both" => both_streams()?,
            "file" => print!("{}", fs::read_to_string(words.next().unwrap_or_default())?),
            "status" => status()?,
            "cwd" => println!("{}", std::env::current_dir()?.display()),
            "device" => println!("{}", fs::metadata(words.next().unwrap_or_default())?.dev()),
            "env" => std::env::vars().for_each(|(name, value)| println!("{name}={value}")),
            "list" => list(&words.next().unwrap_or_default())?,
            "random" => random()?,
            "clock" => println!("{}", clock().as_millis()),
            "reopen" => reopen()?,
            "sleep" => {
                println!("sleeping");
                std::thread::sleep(Duration::from_secs(60));
            }
            "sip" => drop(io::stdin().lock().read(&mut [0; 1])?),
            "orphan" => orphan()?,
            "write" => fs::write(words.next().unwrap_or_default(), b"written\n")?,
            "change" => change(&mut words)?,
            other => {
                eprintln!("probe: unknown word {other}");
                exit(98);
            }
        }
    }
    Ok(())
}

fn both_streams() -> io::Result<()> {
    for n in 0..100 {
        writeln!(io::stdout(), "out {n}")?;
        writeln!(io::stderr(), "err {n}")?;
    }
    Ok(())
}

fn status() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let shown = ["Pid:", "PPid:", "Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Sig"];
    for line in status.lines().filter(|line| shown.iter().any(|name| line.starts_with(name))) {
        println!("{}", line.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

fn list(directory: &str) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().into_string().unwrap_or_default());
    }
    names.sort();
    println!("{}", names.join(" "));
    Ok(())
}

fn random() -> io::Result<()> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    println!("{:032x}", u128::from_be_bytes(bytes));
    print!("{}", fs::read_to_string("/etc/machine-id")?);
    print!("{}", fs::read_to_string("/proc/sys/kernel/random/boot_id")?);
    Ok(())
}

fn clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn reopen() -> io::Result<()> {
    fs::File::options().write(true).open("/dev/stdout")?.write_all(b"reopened\n")
}

/// Changes the tree: a verb and its operands.
fn change(words: &mut impl Iterator<Item = String>) -> io::Result<()> {
    let verb = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let mut operand = || words.next().unwrap_or_default();
    match verb.as_str() {
        "mkdir" => fs::create_dir(path),
        "rm" => fs::remove_file(path),
        "rmtree" => fs::remove_dir_all(path),
        "link" => fs::hard_link(path, operand()),
        "rename" => fs::rename(path, operand()),
        "symlink" => symlink(operand(), path),
        "chmod" => {
            let mode = u32::from_str_radix(&operand(), 8).unwrap_or_default();
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
        }
        "chown" => chown(path, operand().parse().ok(), operand().parse().ok()),
        "xattr" => {
            let name = operand();
            Ok(rustix::fs::setxattr(path, name, operand().as_bytes(), XattrFlags::empty())?)
        }
        "mtime" => {
            let seconds = operand().parse().unwrap_or_default();
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            fs::File::open(path)?.set_modified(time)
        }
        "extend" => {
            let file = fs::File::options().write(true).create(true).truncate(false).open(path)?;
            file.set_len(operand().parse().unwrap_or_default())
        }
        "socket" => UnixListener::bind(path).map(drop),
        "fifo" => Ok(mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?),
        other => Err(io::Error::other(format!("unknown change {other}"))),
    }
}

/// Leaves a process behind that holds the output streams open.
fn orphan() -> io::Result<()> {
    Command::new("/bin/probe").arg("sleep").stdin(Stdio::null()).spawn()?;
    println!("parent ends");
    Ok(())
}
