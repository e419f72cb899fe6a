//! WASI preview 1, as far as the machine needs it, behind safe functions.

mod files;
mod sockets;

pub(crate) use files::*;
pub(crate) use sockets::*;

use wasip1::{Ciovec, Errno, Fd, Iovec, Subscription, SubscriptionU, SubscriptionUU};

const STDIN: Fd = 0;
const STDERR: Fd = 2;

/// First descriptor that can be a preopened directory.
const FIRST_PREOPEN: Fd = 3;

/// Most preopened directories that are looked at: a host that never says "no more" must not hang
/// the start.
const MAX_PREOPENS: Fd = 1024;

/// Nanoseconds since some fixed point.
pub(crate) fn monotonic_ns() -> u64 {
    // SAFETY: the call takes no pointers.
    unsafe { wasip1::clock_time_get(wasip1::CLOCKID_MONOTONIC, 1) }.unwrap_or_default()
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn realtime_ns() -> u64 {
    // SAFETY: the call takes no pointers.
    unsafe { wasip1::clock_time_get(wasip1::CLOCKID_REALTIME, 1) }.unwrap_or_default()
}

/// Fills `into` with the host's randomness.
///
/// # Errors
/// If the host has none: nothing else may be used in its place.
pub(crate) fn random(into: &mut [u8]) -> Result<(), Errno> {
    // SAFETY: the call writes `len` bytes to `into`.
    unsafe { wasip1::random_get(into.as_mut_ptr(), into.len()) }
}

/// Ends the program.
pub(crate) fn exit(code: u32) -> ! {
    // SAFETY: the call takes no pointers.
    unsafe { wasip1::proc_exit(code) };
    unreachable!("proc_exit does not return")
}

/// Prints one line for the user.
pub(crate) fn report(message: &str) {
    write_all(STDERR, format!("lithify: {message}\n").as_bytes());
}

/// Prints bytes as they are.
pub(crate) fn print_error(bytes: &[u8]) {
    write_all(STDERR, bytes);
}

fn write_all(fd: Fd, mut bytes: &[u8]) {
    while let Some(rest) = write(fd, bytes).ok().filter(|n| *n > 0).and_then(|n| bytes.get(n..)) {
        bytes = rest;
    }
}

/// Writes some of `bytes`.
///
/// # Errors
/// What the host answers, such as a broken pipe.
pub(crate) fn write(fd: Fd, bytes: &[u8]) -> Result<usize, Errno> {
    let piece = Ciovec { buf: bytes.as_ptr(), buf_len: bytes.len() };
    // SAFETY: the piece describes `bytes`, which outlives the call.
    unsafe { wasip1::fd_write(fd, &[piece]) }
}

/// Reads up to `into.len()` bytes; zero is the end.
///
/// # Errors
/// What the host answers.
pub(crate) fn read(fd: Fd, into: &mut [u8]) -> Result<usize, Errno> {
    let piece = Iovec { buf: into.as_mut_ptr(), buf_len: into.len() };
    // SAFETY: the piece describes `into`, which outlives the call.
    unsafe { wasip1::fd_read(fd, &[piece]) }
}

/// Reads standard input.
///
/// # Errors
/// What the host answers.
pub(crate) fn read_stdin(into: &mut [u8]) -> Result<usize, Errno> {
    read(STDIN, into)
}

const INPUT: u64 = 1;
const TIMEOUT: u64 = 2;
const FILE: u64 = 3;

/// Files that are waited for beside standard input.
pub(crate) const MAX_WAITED: usize = 2;

/// Waits until standard input can be read (if `input` asks for it), one of `files` can, or
/// `timeout_ns` have passed. Returns whether input can be read without waiting.
pub(crate) fn wait(input: bool, files: [Option<Fd>; MAX_WAITED], timeout_ns: u64) -> bool {
    let input_wish = input.then(|| readable(STDIN, INPUT));
    let file_wishes = files.into_iter().flatten().map(|file| readable(file, FILE));
    let wishes = input_wish.into_iter().chain(file_wishes);
    // The time and the wishes that are there come first.
    let mut subscriptions = [timeout(timeout_ns); MAX_WAITED + 2];
    let count = 1 + wishes.zip(&mut subscriptions[1..]).map(|(wish, to)| *to = wish).count();
    // SAFETY: an event is plain integers, for which zeros are valid.
    let mut happened: [wasip1::Event; MAX_WAITED + 2] = unsafe { std::mem::zeroed() };
    // SAFETY: both arrays have room for `count` entries.
    let result =
        unsafe { wasip1::poll_oneoff(subscriptions.as_ptr(), happened.as_mut_ptr(), count) };
    match result {
        Ok(count) => happened[..count].iter().any(|event| event.userdata == INPUT),
        // A host that cannot wait can still read; a closed descriptor then says so.
        Err(_) => input,
    }
}

fn timeout(ns: u64) -> Subscription {
    let clock = wasip1::SubscriptionClock {
        id: wasip1::CLOCKID_MONOTONIC,
        timeout: ns,
        precision: 0,
        flags: 0,
    };
    Subscription {
        userdata: TIMEOUT,
        u: SubscriptionU { tag: wasip1::EVENTTYPE_CLOCK.raw(), u: SubscriptionUU { clock } },
    }
}

fn readable(file: Fd, userdata: u64) -> Subscription {
    let fd_read = wasip1::SubscriptionFdReadwrite { file_descriptor: file };
    Subscription {
        userdata,
        u: SubscriptionU { tag: wasip1::EVENTTYPE_FD_READ.raw(), u: SubscriptionUU { fd_read } },
    }
}

/// The program's arguments, the name of the program first.
pub(crate) fn arguments() -> Vec<Vec<u8>> {
    // SAFETY: the sizes call takes no pointers; `get` has room for what it announced.
    unsafe { strings(wasip1::args_sizes_get(), |list, bytes| wasip1::args_get(list, bytes)) }
}

/// The environment as `NAME=VALUE`.
pub(crate) fn environment() -> Vec<Vec<u8>> {
    // SAFETY: as in `arguments`.
    unsafe { strings(wasip1::environ_sizes_get(), |list, bytes| wasip1::environ_get(list, bytes)) }
}

/// # Safety
/// `get` writes as many pointers and bytes as `sizes` says, NUL-terminated strings into the
/// second buffer.
unsafe fn strings(
    sizes: Result<(usize, usize), Errno>,
    get: impl FnOnce(*mut *mut u8, *mut u8) -> Result<(), Errno>,
) -> Vec<Vec<u8>> {
    let Ok((count, len)) = sizes else {
        return Vec::new();
    };
    let mut list = vec![std::ptr::null_mut(); count];
    let mut bytes = vec![0; len];
    if get(list.as_mut_ptr(), bytes.as_mut_ptr()).is_err() {
        return Vec::new();
    }
    let strings = bytes.split(|byte| *byte == 0).take(count);
    strings.map(<[u8]>::to_vec).collect()
}

/// Contents of `file` in the preopened directory called `directory`, if the host offers both.
pub(crate) fn preopened_file(directory: &str, file: &str) -> Option<Vec<u8>> {
    let fd = open_preopened(directory, file)?;
    let contents = read_to_end(fd);
    // SAFETY: the descriptor was opened above and is used nowhere else.
    let _ = unsafe { wasip1::fd_close(fd) };
    contents.ok()
}

/// `file` in the preopened directory called `directory`, for reading, if the host offers both.
pub(crate) fn open_preopened(directory: &str, file: &str) -> Option<Fd> {
    let folder = preopen(directory)?;
    let rights = wasip1::RIGHTS_FD_READ | wasip1::RIGHTS_POLL_FD_READWRITE;
    // SAFETY: the path is a string that outlives the call.
    unsafe { wasip1::path_open(folder, 0, file, 0, rights, 0, 0) }.ok()
}

/// The preopened directory called `name`, if the host offers it.
pub(crate) fn preopen(name: &str) -> Option<Fd> {
    preopens().find_map(|(fd, found)| (found == name.as_bytes()).then_some(fd))
}

/// The directories that the host has opened, with their names.
pub(crate) fn preopens() -> impl Iterator<Item = (Fd, Vec<u8>)> {
    (FIRST_PREOPEN..FIRST_PREOPEN + MAX_PREOPENS).map_while(|fd| Some((fd, preopen_name(fd)?)))
}

fn preopen_name(fd: Fd) -> Option<Vec<u8>> {
    // SAFETY: the call takes no pointers.
    let stat = unsafe { wasip1::fd_prestat_get(fd) }.ok()?;
    // SAFETY: directories are the only kind of preopen that preview 1 has.
    let len = unsafe { stat.u.dir }.pr_name_len;
    let mut name = vec![0; len];
    // SAFETY: the buffer has the announced length.
    unsafe { wasip1::fd_prestat_dir_name(fd, name.as_mut_ptr(), len) }.ok()?;
    Some(name)
}

fn read_to_end(fd: Fd) -> Result<Vec<u8>, Errno> {
    let mut contents = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match read(fd, &mut buffer)? {
            0 => return Ok(contents),
            len => contents.extend_from_slice(&buffer[..len]),
        }
    }
}
