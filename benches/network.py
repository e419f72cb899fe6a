#!/usr/bin/env python3
"""Measures the network of a guest: bytes through one TCP connection, and short connections.

    benches/network.py LITHIFY BOOT_FILES BASE NATIVE [--megabytes N]

NATIVE is the machine's example `native`. A server on the host's loopback sends or takes the bytes; in the guest,
the Debian base image, dd does, and its own clock counts. Beside it stands what the machine's process cost in
processor time, which a busy machine disturbs less. For short connections the host connects to a published port,
where python echoes a byte. Prints medians, in megabytes (10^6 bytes) and connections per second.
"""

import argparse
import os
import pathlib
import platform
import socket
import statistics
import subprocess
import tempfile
import threading
import time

import mounts
import sides

ROUNDS = 3
BLOCK = 1 << 20
CONNECTIONS = 300

ECHO = """import socket
listener = socket.create_server(("", 80))
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(connection.recv(1))
"""


def serve(each):
    """Begins to serve connections on the loopback, each by a call of `each`; returns the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def loop():
        while True:
            connection, _ = listener.accept()
            with connection:
                each(connection)

    threading.Thread(target=loop, daemon=True).start()
    return listener.getsockname()[1]


def source(blocks):
    def send(connection):
        block = bytes(BLOCK)
        for _ in range(blocks):
            connection.sendall(block)
    return send


def sink(connection):
    buffer = bytearray(BLOCK)
    while connection.recv_into(buffer):
        pass


def built(args, folder):
    """The base image, compiled and as the squashfs that the native machine takes."""
    (folder / "Dockerfile").write_text("FROM debian:trixie-slim\n")
    context = f"debian:trixie-slim=oci-layout://{args.base}"
    wasm, compiled, root = (folder / name for name in ("debian.wasm", "debian.cwasm", "root.squashfs"))
    build = [args.lithify, "build", "--quiet", "--boot-files", args.boot, "--build-context", context]
    subprocess.run([*build, "--compress", "none", "-o", wasm, folder], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([args.lithify, "compile", wasm, "-o", compiled], check=True)
    sides.extract_squashfs(wasm, root)
    return compiled, root


def connections(command, port):
    """Connections per second that a machine serves on a published port."""
    with subprocess.Popen([*command, "/usr/bin/python3", "-c", ECHO], stdout=subprocess.PIPE) as machine:
        try:
            assert machine.stdout.readline() == b"ready\n", "the server does not start"
            start = time.perf_counter()
            for _ in range(CONNECTIONS):
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.sendall(b"x")
                    assert connection.recv(1) == b"x"
            return CONNECTIONS / (time.perf_counter() - start)
        finally:
            machine.kill()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def main():
    parser = argparse.ArgumentParser()
    for name in ("lithify", "boot", "base", "native"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("--megabytes", type=int, default=300)
    args = parser.parse_args()
    count = args.megabytes * 1_000_000 // BLOCK
    samples = {}
    with tempfile.TemporaryDirectory() as name:
        compiled, root = built(args, pathlib.Path(name))
        boot = pathlib.Path(args.boot)
        files = [boot / "kernel-riscv64", boot / "initramfs-riscv64.cpio"]
        port = free_port()
        published = f"127.0.0.1:{port}:80"
        found = {
            "native machine": [args.native, f"--net={published}", *files, root],
            "lithify run": [args.lithify, "run", "--network=host", f"--publish={published}", compiled],
        }
        server = {"in": serve(source(count)), "out": serve(sink)}
        for _ in range(ROUNDS):
            for side, command in found.items():
                for row, words in {
                    "in": f"dd bs={BLOCK} iflag=fullblock of=/dev/null < /dev/tcp/10.0.2.2/{server['in']}",
                    "out": f"dd bs={BLOCK} count={count} if=/dev/zero > /dev/tcp/10.0.2.2/{server['out']}",
                }.items():
                    run = mounts.run([*command, "/bin/bash", "-c", words])
                    samples.setdefault((side, row), []).append(run)
                samples.setdefault((side, "connections"), []).append(connections(command, port))
    print(f"{platform.platform()}, {os.cpu_count()} processors, {count} MiB, {ROUNDS} rounds")
    print(f"{'MB/s':16}{'in':>10}{'out':>10}{'in, CPU':>14}{'out, CPU':>12}{'connections/s':>16}")
    for side in found:
        speed = lambda row, which: count * BLOCK / 1e6 / statistics.median(
            sample[which] for sample in samples[side, row]
        )
        wall = "".join(f"{speed(row, 0):10.0f}" for row in ("in", "out"))
        rate = statistics.median(samples[side, "connections"])
        print(f"{side:16}{wall}{speed('in', 1):14.0f}{speed('out', 1):12.0f}{rate:16.0f}")


if __name__ == "__main__":
    main()
