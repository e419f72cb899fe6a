//! Runs a command in a natively built machine:
//! `native [--net[=PUBLISHED,...]] [--dir=HOST] KERNEL INITRAMFS ROOTFS COMMAND [ARG...]`.
//!
//! For looking at the machine alone, under `perf` or a debugger, and for benchmarks. With `--net`
//! it has a network, in which the host's loopback is the gateway, and ports `[IP:]HOST:GUEST[/udp]`
//! of the host lead to the guest; with `--dir` a folder of the host is its `/data`. Prints what the
//! boot and the command cost to standard error; ends with the command's exit code.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lithify_control::{
    Frame, FrameReader, Mount, MountKind, PLAN, ROOT_AT_START, StartRequest, THAW_ENTROPY_LEN,
    Volume, port,
};
use lithify_hostdir::HostDir;
use lithify_hostnet::{Access, SystemSockets, resolvers_of_host};
use lithify_machine::host::{
    BlockSource, BootFile, Clock, Console, Entropy, FileServer, Input, KernelLog, Link,
};
use lithify_machine::{Hosts, Machine, Setup, Status};
use lithify_net::{Gateway, Settings, SharedGateway};
use lithify_ninep::native::NativeTree;
use lithify_ninep::{Export, Server};

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

#[derive(Default)]
struct Control {
    reader: FrameReader,
    from_guest: VecDeque<Frame>,
    to_guest: VecDeque<u8>,
}

#[derive(Clone, Default)]
struct Ports(Rc<RefCell<Control>>);

impl Console for Ports {
    fn write(&mut self, port: u32, bytes: &[u8]) -> usize {
        match port {
            0 => {
                let control = &mut *self.0.borrow_mut();
                control.reader.push(bytes);
                while let Some(frame) = control.reader.next_frame().expect("init speaks frames") {
                    control.from_guest.push_back(frame);
                }
            }
            2 => std::io::stdout().write_all(bytes).expect("stdout is open"),
            3 => std::io::stderr().write_all(bytes).expect("stderr is open"),
            _ => {}
        }
        bytes.len()
    }

    fn read(&mut self, port: u32, into: &mut [u8]) -> Input {
        let mut control = self.0.borrow_mut();
        let len = into.len().min(control.to_guest.len());
        match (port, len) {
            (1, _) => Input::Closed,
            (0, 1..) => {
                for (target, byte) in into.iter_mut().zip(control.to_guest.drain(..len)) {
                    *target = byte;
                }
                Input::Bytes(len)
            }
            _ => Input::Empty,
        }
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

struct HostClock(Instant);

impl Clock for HostClock {
    fn monotonic_ns(&mut self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
    fn realtime_ns(&mut self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
    }
}

fn read(path: &str) -> Bytes {
    Bytes(std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}")))
}

/// A network with the host's name servers and published ports.
fn network(published: &str) -> SharedGateway<SystemSockets> {
    let resolvers = resolvers_of_host().unwrap_or_else(|error| panic!("name servers: {error}"));
    let settings = Settings { access: Access::Gateway, resolvers, seed: 1, ..Settings::default() };
    let sockets = SystemSockets::new().unwrap_or_else(|error| panic!("{error}"));
    let mut gateway = Gateway::new(sockets, settings);
    for port in published.split(',').filter(|port| !port.is_empty()) {
        let port = port.parse().unwrap_or_else(|error| panic!("{error}"));
        gateway.publish(&port).unwrap_or_else(|error| panic!("{port}: {error}"));
    }
    SharedGateway::new(gateway)
}

/// The file that names the network's name server.
fn resolv_conf() -> Mount {
    let content = format!("nameserver {}\n", PLAN.dns_v4).into_bytes();
    let kind = MountKind::File { content, mode: 0o644, uid: 0, gid: 0 };
    Mount { target: b"/etc/resolv.conf".to_vec(), kind }
}

/// A folder of the host for the 9p device.
struct Files(Server);

impl FileServer for Files {
    fn serve(&mut self, request: &[u8], answer: &mut Vec<u8>) {
        self.0.serve(request, answer);
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

fn shared_files(folder: &str) -> Box<dyn FileServer> {
    let directory = HostDir::open(folder.as_ref()).unwrap_or_else(|error| panic!("{error}"));
    let tree = Box::new(NativeTree::new(directory));
    Box::new(Files(Server::new(vec![Export { tree, read_only: false }])))
}

fn shared_mount() -> Mount {
    let kind = MountKind::Host { export: 0, read_only: false };
    Mount { target: b"/data".to_vec(), kind }
}

/// Lets time pass until the guest has something to do.
fn idle(machine: &mut Machine, net: Option<&SharedGateway<SystemSockets>>, wake_ns: Option<u64>) {
    match net {
        Some(net) => net.wait(wake_ns.map(Duration::from_nanos)).expect("the host can wait"),
        None => machine.skip_idle(wake_ns.expect("a timer or a frame")),
    }
}

/// Runs until init sends a frame.
fn run(
    machine: &mut Machine,
    ports: &Ports,
    net: Option<&SharedGateway<SystemSockets>>,
    what: &str,
) -> Frame {
    let (start, before) = (Instant::now(), machine.instret());
    let frame = loop {
        let status = machine.run_slice();
        if let Some(frame) = ports.0.borrow_mut().from_guest.pop_front() {
            break frame;
        }
        match status {
            Status::Running => {}
            Status::Idle { wake_ns } => idle(machine, net, wake_ns),
            Status::Halted(halt) => panic!("the guest ended: {halt:?}"),
        }
    };
    let (instructions, time) = (machine.instret() - before, start.elapsed());
    eprintln!(
        "{what}: {instructions} instructions in {time:.3?}, {:.0} MIPS, {} pages touched so far",
        instructions as f64 / time.as_secs_f64() / 1e6,
        machine.touched_pages(),
    );
    frame
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let published = args
        .first()
        .and_then(|arg| arg.strip_prefix("--net"))
        .map(|rest| rest.strip_prefix('=').unwrap_or(rest).to_owned());
    let net = published.map(|published| {
        args.remove(0);
        network(&published)
    });
    let shared = args.first().and_then(|arg| arg.strip_prefix("--dir=")).map(str::to_owned);
    let files = shared.map(|folder| {
        args.remove(0);
        shared_files(&folder)
    });
    let [kernel, initramfs, rootfs, argv @ ..] = args.as_slice() else {
        eprintln!(
            "usage: native [--net[=PUBLISHED,...]] [--dir=HOST] KERNEL INITRAMFS ROOTFS COMMAND [ARG...]"
        );
        std::process::exit(2);
    };
    let ports = Ports::default();
    let disk = read(rootfs);
    let volume = Volume { offset: 0, len: BlockSource::len(&disk) };
    let mut machine = Machine::new(Setup {
        memory_bytes: 256 << 20,
        epoch_ns: 0,
        kernel: &mut read(kernel),
        initramfs: &mut read(initramfs),
        kernel_args: &format!("console=hvc0 loglevel=5 {ROOT_AT_START}"),
        rng_seed: &[0; 32],
        ports: &port::ALL,
        hosts: Hosts {
            console: Box::new(ports.clone()),
            entropy: Box::new(Zero),
            disk: Box::new(disk),
            kernel_log: Box::new(Stderr),
            link: None,
        },
    })
    .unwrap_or_else(|error| panic!("{error}"));
    run(&mut machine, &ports, None, "boot");
    let gateway = net.as_ref();
    machine.connect(gateway.map(|gateway| Box::new(gateway.clone()) as Box<dyn Link>));
    machine.thaw(Box::new(HostClock(Instant::now())), [1; 16]);
    let argv = argv.iter().map(|arg| arg.clone().into_bytes()).collect();
    let has_files = files.is_some();
    machine.serve_files(files);
    let request = Frame::Start(StartRequest {
        env: vec![b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_vec()],
        hostname: b"native".to_vec(),
        volumes: vec![volume],
        mounts: net.iter().map(|_| resolv_conf()).chain(has_files.then(shared_mount)).collect(),
        network: net.is_some(),
        ..StartRequest::new(argv, HostClock(Instant::now()).realtime_ns(), [7; THAW_ENTROPY_LEN])
    });
    ports.0.borrow_mut().to_guest.extend(request.encode());
    match run(&mut machine, &ports, gateway, "command") {
        Frame::Exit(code) => std::process::exit(code as i32),
        other => panic!("init said {other:?}"),
    }
}
