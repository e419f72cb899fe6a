//! A QEMU machine with the platform's ports, and the host's side of them.

use lithify_control::{Frame, FrameReader, ROOT_AT_START, StartRequest, THAW_ENTROPY_LEN, port};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// A boot takes two seconds on an idle machine; tests share theirs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What boots.
pub(crate) struct BootFiles {
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
}

/// A machine that has reported `Ready`.
pub(crate) struct Machine {
    qemu: Child,
    directory: TempDir,
    control: UnixStream,
    frames: FrameReader,
    stdin: UnixStream,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
    export: JoinHandle<Vec<u8>>,
}

/// How a container ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) frame: Frame,
    pub(crate) archives: usize,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) export: Vec<u8>,
}

impl End {
    pub(crate) fn code(&self) -> u32 {
        match self.frame {
            Frame::Exit(code) => code,
            ref other => panic!("no exit: {other:?}, stderr: {}", text(&self.stderr)),
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        assert_eq!(self.code(), 0, "stderr: {}", text(&self.stderr));
        text(&self.stdout).lines().map(str::to_owned).collect()
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A request for `argv` with nothing else special.
pub(crate) fn request(argv: &[&str]) -> StartRequest {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let argv = argv.iter().map(|word| word.as_bytes().to_vec()).collect();
    StartRequest {
        hostname: b"stone".to_vec(),
        ..StartRequest::new(argv, now.as_nanos() as u64, [0x5a; THAW_ENTROPY_LEN])
    }
}

impl Machine {
    /// Boots `squashfs` to `Ready`.
    pub(crate) fn boot(files: &BootFiles, squashfs: &Path) -> Self {
        Self::boot_with(files, squashfs, "")
    }

    /// Boots to `Ready` a guest that waits for its request before it looks at `disk`.
    pub(crate) fn boot_without_root(files: &BootFiles, disk: &Path) -> Self {
        Self::boot_with(files, disk, ROOT_AT_START)
    }

    fn boot_with(files: &BootFiles, disk: &Path, args: &str) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let qemu = command(files, disk, directory.path(), args)
            .stdin(Stdio::null())
            .spawn()
            .expect("qemu starts");
        let [control, stdin, stdout, stderr, export] =
            port::ALL.map(|name| connect(&directory.path().join(name)));
        control.set_read_timeout(Some(PATIENCE)).expect("socket option");
        let mut machine = Self {
            qemu,
            directory,
            control,
            frames: FrameReader::default(),
            stdin,
            stdout: collect(stdout),
            stderr: collect(stderr),
            export: collect(export),
        };
        assert_eq!(machine.receive(), Some(Frame::Ready), "{}", machine.kernel_log());
        machine
    }

    pub(crate) fn send(&mut self, frame: &Frame) {
        self.control.write_all(&frame.encode()).expect("control port open");
    }

    /// The next frame, `None` when the machine has ended.
    pub(crate) fn receive(&mut self) -> Option<Frame> {
        let mut bytes = [0; 4096];
        loop {
            if let Some(frame) = self.frames.next_frame().expect("frames") {
                return Some(frame);
            }
            match self.control.read(&mut bytes) {
                Ok(0) => return None,
                Ok(len) => self.frames.push(&bytes[..len]),
                Err(error) => panic!("control port: {error}; {}", self.kernel_log()),
            }
        }
    }

    pub(crate) fn stdin(&self) -> UnixStream {
        self.stdin.try_clone().expect("descriptor")
    }

    /// Runs one container to its end, with `input` and then end of file on its stdin.
    pub(crate) fn run(mut self, request: StartRequest, input: Vec<u8>) -> End {
        self.send(&Frame::Start(request));
        let mut stdin = self.stdin();
        let feeder = std::thread::spawn(move || {
            // A container that does not read its input ends all the same.
            let _ = stdin.write_all(&input).and_then(|()| stdin.shutdown(Shutdown::Write));
        });
        let end = self.end();
        feeder.join().expect("feeder");
        end
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> End {
        let mut archives = 0;
        let frame = loop {
            match self.receive() {
                Some(Frame::Archived) => archives += 1,
                Some(frame) => break frame,
                None => panic!("died: {}", self.kernel_log()),
            }
        };
        self.stop();
        End {
            frame,
            archives,
            stdout: self.stdout.join().expect("reader"),
            stderr: self.stderr.join().expect("reader"),
            export: self.export.join().expect("reader"),
        }
    }

    /// The kernel's messages of a machine that must end before `Ready`.
    pub(crate) fn log_of_failed_boot(files: &BootFiles, squashfs: &Path) -> String {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut qemu = command(files, squashfs, directory.path(), "").spawn().expect("qemu starts");
        let _ports = port::ALL.map(|name| connect(&directory.path().join(name)));
        qemu.wait().expect("qemu ends");
        read_log(directory.path())
    }

    fn kernel_log(&self) -> String {
        read_log(self.directory.path())
    }

    fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn read_log(directory: &Path) -> String {
    text(&std::fs::read(directory.join("log")).unwrap_or_default())
}

fn command(files: &BootFiles, squashfs: &Path, directory: &Path, args: &str) -> Command {
    let mut qemu = Command::new("qemu-system-riscv64");
    qemu.args(["-M", "virt", "-m", "128M", "-nodefaults", "-display", "none", "-no-reboot"]);
    qemu.args(["-global", "virtio-mmio.force-legacy=false"]);
    qemu.arg("-kernel").arg(&files.kernel).arg("-initrd").arg(&files.initramfs);
    qemu.args(["-append", &format!("console=hvc0 {args}")]);
    qemu.args(["-device", "virtio-serial-device,max_ports=8"]);
    qemu.arg("-chardev").arg(format!("file,id=log,path={}", directory.join("log").display()));
    qemu.args(["-device", "virtconsole,nr=0,chardev=log"]);
    for (index, name) in port::ALL.iter().enumerate() {
        let path = directory.join(name);
        qemu.arg("-chardev")
            .arg(format!("socket,id=p{index},path={},server=on,wait=off", path.display()));
        let nr = index + 1;
        qemu.arg("-device").arg(format!("virtserialport,nr={nr},chardev=p{index},name={name}"));
    }
    let image = squashfs.display();
    qemu.arg("-drive").arg(format!("if=none,id=d,format=raw,readonly=on,file={image}"));
    qemu.args(["-device", "virtio-blk-device,drive=d", "-device", "virtio-rng-device"]);
    qemu
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

fn collect(mut from: UnixStream) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // The machine's death ends the stream with an error or without.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}
