//! Boots a kernel natively and prints what it says: `boot KERNEL INITRAMFS [ROOTFS] [-- ARGS]`.
//!
//! For looking at the machine alone, under `perf` or a debugger; the control port is answered with
//! nothing, so init stops where an artifact would be frozen.

use std::io::Write;
use std::time::Instant;

use lithify_machine::host::{BlockSource, BootFile, Console, Entropy, Input, KernelLog};
use lithify_machine::{Machine, Setup, Status};

struct Bytes(Vec<u8>);

impl BootFile for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read(&mut self, offset: u64, into: &mut [u8]) {
        into.copy_from_slice(&self.0[offset as usize..][..into.len()]);
    }
}

impl BlockSource for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read(&mut self, offset: u64, into: &mut [u8]) {
        into.copy_from_slice(&self.0[offset as usize..][..into.len()]);
    }
}

struct Ports;

impl Console for Ports {
    fn write(&mut self, port: u32, bytes: &[u8]) -> usize {
        eprintln!("[port {port}: {:?}]", String::from_utf8_lossy(bytes));
        bytes.len()
    }
    fn read(&mut self, _port: u32, _into: &mut [u8]) -> Input {
        Input::Empty
    }
}

struct Zero;

impl Entropy for Zero {
    fn fill(&mut self, into: &mut [u8]) {
        into.fill(0);
    }
}

struct Stderr;

impl KernelLog for Stderr {
    fn write(&mut self, bytes: &[u8]) {
        let _ = std::io::stderr().write_all(bytes);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut parts = args.splitn(2, |arg| arg == "--");
    let files: Vec<Bytes> = parts
        .next()
        .unwrap_or_default()
        .iter()
        .map(|path| Bytes(std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"))))
        .collect();
    let kernel_args = parts.next().unwrap_or_default().join(" ");
    let mut files = files.into_iter();
    let (Some(mut kernel), Some(mut initramfs)) = (files.next(), files.next()) else {
        eprintln!("usage: boot KERNEL INITRAMFS [DISK...] [-- KERNEL ARGUMENTS]");
        std::process::exit(2);
    };
    let mut machine = Machine::new(Setup {
        memory_bytes: 256 << 20,
        epoch_ns: 0,
        kernel: &mut kernel,
        initramfs: &mut initramfs,
        kernel_args: &format!("console=hvc0 {kernel_args}"),
        rng_seed: &[0; 32],
        ports: &["lithify.control", "lithify.stdin", "lithify.stdout", "lithify.stderr"],
        console: Box::new(Ports),
        entropy: Box::new(Zero),
        disks: files.map(|disk| Box::new(disk) as Box<dyn BlockSource>).collect(),
        kernel_log: Box::new(Stderr),
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let start = Instant::now();
    let status = loop {
        match machine.run_slice() {
            Status::Running => {}
            Status::Idle { wake_ns: Some(ns) } => machine.skip_idle(ns),
            status => break status,
        }
    };
    let (instret, time) = (machine.instret(), start.elapsed());
    eprintln!(
        "{status:?} after {instret} instructions, {} pages, {time:?}, {:.0} MIPS",
        machine.touched_pages(),
        instret as f64 / time.as_secs_f64() / 1e6,
    );
}
