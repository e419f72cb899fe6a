//! Runs a command in QEMU's machine: `qemu KERNEL INITRAMFS ROOTFS COMMAND [ARG...]`.
//!
//! The counterpart of `native` on the same boot files, for benchmarks: `qemu-system-riscv64` has
//! the platform's ports as virtio-serial ones, and this program is the host's side of them. The
//! command's standard output is printed; ends with the command's exit code.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lithify_control::{Frame, FrameReader, StartRequest, THAW_ENTROPY_LEN, port};

const EMULATOR: &str = "qemu-system-riscv64";

/// How long the emulator may take to open its sockets.
const PATIENCE: Duration = Duration::from_secs(30);

fn emulator(kernel: &str, initramfs: &str, rootfs: &str, folder: &Path) -> Child {
    let mut qemu = Command::new(EMULATOR);
    qemu.args(["-M", "virt", "-m", "256M", "-nodefaults", "-display", "none", "-no-reboot"]);
    qemu.args(["-accel", "tcg", "-global", "virtio-mmio.force-legacy=false"]);
    qemu.args(["-kernel", kernel, "-initrd", initramfs, "-append", "console=hvc0"]);
    qemu.args(["-chardev", "null,id=log", "-device", "virtio-serial-device,max_ports=8"]);
    qemu.args(["-device", "virtconsole,nr=0,chardev=log"]);
    for (index, name) in port::ALL.iter().enumerate() {
        let path = folder.join(name);
        qemu.arg("-chardev")
            .arg(format!("socket,id=p{index},path={},server=on,wait=off", path.display()));
        let nr = index + 1;
        qemu.arg("-device").arg(format!("virtserialport,nr={nr},chardev=p{index},name={name}"));
    }
    qemu.arg("-drive").arg(format!("if=none,id=d,format=raw,readonly=on,file={rootfs}"));
    qemu.args(["-device", "virtio-blk-device,drive=d", "-device", "virtio-rng-device"]);
    let started = qemu.stdin(Stdio::null()).spawn();
    started.unwrap_or_else(|error| panic!("{EMULATOR}: {error}"))
}

fn connect(path: &Path) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(error) if start.elapsed() > PATIENCE => panic!("{}: {error}", path.display()),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// The next frame; the machine's end is a panic.
fn receive(control: &mut UnixStream, frames: &mut FrameReader) -> Frame {
    let mut bytes = [0; 4096];
    loop {
        if let Some(frame) = frames.next_frame().expect("init speaks frames") {
            return frame;
        }
        match control.read(&mut bytes) {
            Ok(len @ 1..) => frames.push(&bytes[..len]),
            end => panic!("the guest ended: {end:?}"),
        }
    }
}

fn start(argv: &[String]) -> Frame {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let argv = argv.iter().map(|arg| arg.clone().into_bytes()).collect();
    Frame::Start(StartRequest {
        env: vec![b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_vec()],
        hostname: b"qemu".to_vec(),
        ..StartRequest::new(argv, now.as_nanos() as u64, [7; THAW_ENTROPY_LEN])
    })
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kernel, initramfs, rootfs, argv @ ..] = args.as_slice() else {
        eprintln!("usage: qemu KERNEL INITRAMFS ROOTFS COMMAND [ARG...]");
        std::process::exit(2);
    };
    let folder = std::env::temp_dir().join(format!("lithify-qemu-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("create a folder for the ports");
    let mut qemu = emulator(kernel, initramfs, rootfs, &folder);
    let [mut control, stdin, mut stdout, mut stderr, _export] =
        port::ALL.map(|name| connect(&folder.join(name)));
    let mut frames = FrameReader::default();
    assert_eq!(receive(&mut control, &mut frames), Frame::Ready, "init comes up");
    stdin.shutdown(std::net::Shutdown::Write).expect("end of the command's input");
    // They end with the process; what the command printed has arrived when its exit is reported.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::stderr()));
    let output = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::stdout()));
    control.write_all(&start(argv).encode()).expect("the control port is open");
    let end = receive(&mut control, &mut frames);
    qemu.kill().expect("the emulator runs");
    qemu.wait().expect("the emulator ends");
    // The connection may be reset by the end of the emulator.
    let _ = output.join().expect("the copy does not panic");
    std::fs::remove_dir_all(&folder).expect("remove the folder of the ports");
    match end {
        Frame::Exit(code) => std::process::exit(code as i32),
        other => panic!("init said {other:?}"),
    }
}
