"""Those that run the benchmark's programs, what they need built, and a server's first request."""

import contextlib
import json
import mmap
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, field
from typing import Callable

OUT = "target/bench"
HOST_COMPILER = "gcc"
GUEST_COMPILER = "riscv64-linux-gnu-gcc"
QEMU_USER = "qemu-riscv64"
QEMU_SYSTEM = "qemu-system-riscv64"

# Contraction to fused multiply-add is the one thing about which the two compilers' results would differ.
C_FLAGS = ["-O2", "-ffp-contract=off", "-static", "-s"]

SERVER = """\
import http.server
http.server.ThreadingHTTPServer.request_queue_size = 128
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
SERVER_PORT = 8080
# Freezes that server when it listens and has answered a request.
VISITED = ["--warm", f"port:{SERVER_PORT}", "--warm-get", "/"]
PATIENCE = 60
RETRY = 0.0002


@dataclass
class Side:
    """How one side runs the guest suite."""

    name: str
    command: list
    environment: dict = field(default_factory=dict)


@dataclass
class StartSide:
    """How one side runs a program from nothing."""

    name: str
    start: Callable


@dataclass
class Files:
    """What was built."""

    host_suite: str
    guest_suite: str
    artifact: str
    # The same without translated code.
    interpreted: str
    precompiled: str
    squashfs: str
    # The image's files, for QEMU's user mode.
    root: str


def version(command):
    return subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]


def blob(base, descriptor):
    return os.path.join(base, "blobs", *descriptor["digest"].split(":"))


def unpack(base, root):
    with open(os.path.join(base, "index.json"), encoding="utf-8") as file:
        index = json.load(file)
    with open(blob(base, index["manifests"][0]), encoding="utf-8") as file:
        manifest = json.load(file)
    os.makedirs(root)
    for layer in manifest["layers"]:
        with tarfile.open(blob(base, layer)) as tar:
            tar.extractall(root, members=[m for m in tar if not m.isdev()], filter="tar")


def extract_squashfs(artifact, out):
    """The root file system, which must not be packed, is the end of the artifact's last section."""
    with open(artifact, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as module:
        at = len(module)
        while (at := module.rfind(b"hsqs", 0, at)) >= 0:
            # Squashfs superblock: major version at byte 28, bytes used at 40; padded to 4 KiB.
            major, = struct.unpack_from("<H", module, at + 28)
            used, = struct.unpack_from("<Q", module, at + 40)
            if major == 4 and 0 <= len(module) - at - used < 4096:
                with open(out, "wb") as target:
                    target.write(module[at:])
                return
    sys.exit(f"{artifact}: no root file system found")


def build(args):
    files = Files(*(os.path.abspath(os.path.join(OUT, name)) for name in (
        "suite-host", "image/suite", "suite.wasm", "suite-interpreted.wasm", "suite.cwasm", "suite.squashfs", "root")))
    os.makedirs(os.path.dirname(files.guest_suite))
    for compiler, program in ((HOST_COMPILER, files.host_suite), (GUEST_COMPILER, files.guest_suite)):
        subprocess.run([compiler, *C_FLAGS, "-o", program, "benches/guest/suite.c", "-lm"], check=True)
    shutil.copy("benches/guest/Dockerfile", os.path.dirname(files.guest_suite))
    context = f"debian:trixie-slim=oci-layout://{args.base}"
    # Trained on what is measured: what translation is good for is another question than how far a profile
    # carries.
    for artifact, options in (
        (files.interpreted, ["--translate", "off", "--compress", "none"]),
        (files.artifact, ["--compress", "none", "--train", json.dumps(["/suite"])]),
    ):
        subprocess.run(
            [args.lithify, "build", "--build-context", context, *options, "-o", artifact,
             os.path.dirname(files.guest_suite)],
            check=True, env={**os.environ, "LITHIFY_BOOT_FILES": args.boot_files}, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    subprocess.run([args.lithify, "compile", files.artifact, "-o", files.precompiled], check=True)
    extract_squashfs(files.interpreted, files.squashfs)
    unpack(args.base, files.root)
    return files


def suite_sides(args, files):
    boot = [os.path.join(args.boot_files, name) for name in ("kernel-riscv64", "initramfs-riscv64.cpio")]
    machine = [*boot, files.squashfs, "/suite"]
    sides = [
        Side("host", [files.host_suite], {"SUITE_PYTHON": sys.executable}),
        Side("lithify native", [os.path.join(args.examples, "native"), *machine]),
        Side("lithify wasm", [args.wasmtime, "run", files.interpreted, "/suite"]),
        Side("translated", [args.wasmtime, "run", files.artifact, "/suite"]),
    ]
    if shutil.which(QEMU_SYSTEM):
        sides.append(Side("qemu-system", [os.path.join(args.examples, "qemu"), *machine]))
    if shutil.which(QEMU_USER):
        qemu = shutil.which(QEMU_USER)
        environment = {
            "SUITE_EXEC": f"{qemu} -L {files.root}", "SUITE_ROOT": files.root, "SUITE_SELF": files.guest_suite,
        }
        sides.append(Side("qemu-user", [qemu, files.guest_suite], environment))
    report_missing()
    return sides


def report_missing():
    for tool in (QEMU_SYSTEM, QEMU_USER):
        if not shutil.which(tool):
            print(f"skipped: {tool} is not installed", file=sys.stderr)


def start_sides(args, files):
    def in_root(program):
        path = program[0] if program[0].startswith("/") else f"/usr/bin/{program[0]}"
        return [QEMU_USER, "-L", files.root, os.path.realpath(files.root + path), *program[1:]]

    sides = [
        StartSide("host", lambda program: program),
        StartSide("lithify .cwasm", lambda program: [args.lithify, "run", files.precompiled, *program]),
        StartSide("wasmtime .wasm", lambda program: [args.wasmtime, "run", files.artifact, *program]),
    ]
    if shutil.which(QEMU_USER):
        sides.append(StartSide("qemu-user", in_root))
    return sides


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def answer(port):
    """What the server says and when its first byte came, or nothing if it does not say anything yet."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        if first := connection.recv(65536):
            return time.perf_counter(), first + b"".join(iter(lambda: connection.recv(65536), b""))
    return None


@dataclass
class Request:
    # From the exec of the runner to the answer's first byte.
    seconds: float
    usage: object
    # What `--stats=json` wrote behind all that the program did.
    stats: dict


def first_request(runner, compiled):
    """Starts the server by a command that takes the options of `lithify run`, asks it once and ends it."""
    port = free_port()
    command = [*runner, "--stats=json", "-p", f"127.0.0.1:{port}:{SERVER_PORT}", compiled]
    start = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not (answered := answer(port)):
            if time.perf_counter() - start > PATIENCE or process.poll() is not None:
                process.kill()
                sys.exit(f"{compiled}: no answer")
            time.sleep(RETRY)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    first_byte, text = answered
    if not text.endswith(b"hello\n"):
        sys.exit(f"{compiled}: wrong answer {text!r}")
    return Request(first_byte - start, usage, last_counts(said))


def last_counts(said):
    return json.loads(said.decode().splitlines()[-1])
