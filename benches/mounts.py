#!/usr/bin/env python3
"""Measures sequential reads and writes of a mounted host directory.

    benches/mounts.py LITHIFY BOOT_FILES BASE WASMTIME NATIVE [--megabytes N]

NATIVE is the machine's example `native`. Each side runs dd in the Debian base image, on the same file of the
host, and takes turns with the others; dd's own clock counts, so that starting a machine does not. Beside the wall
clock stands what the whole run cost in processor time, which a busy machine disturbs less. Prints the medians in
megabytes (10^6 bytes) per second.
"""

import argparse
import os
import pathlib
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile

import sides

ROUNDS = 3
BLOCK = 1 << 20


def run(command):
    """Seconds by dd's clock and seconds of processor time, of a command whose last words are dd's."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = re.search(r"copied, ([0-9.e-]+) s", result.stdout)
    if result.returncode != 0 or not seconds:
        sys.exit(f"{' '.join(map(str, command))}: {result.returncode}\n{result.stdout}")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(seconds[1]), processor


def built(args, folder):
    """The base image: compiled for both runtimes, and as the squashfs that the native machine takes."""
    (folder / "Dockerfile").write_text("FROM debian:trixie-slim\n")
    context = f"debian:trixie-slim=oci-layout://{args.base}"
    names = ("debian.wasm", "debian.cwasm", "stock.cwasm", "root.squashfs")
    wasm, ours, stock, root = (folder / name for name in names)
    build = [args.lithify, "build", "--quiet", "--boot-files", args.boot, "--build-context", context]
    subprocess.run([*build, "--compress", "none", "-o", wasm, folder], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([args.lithify, "compile", wasm, "-o", ours], check=True)
    subprocess.run([args.wasmtime, "compile", "-o", stock, wasm], check=True)
    sides.extract_squashfs(wasm, root)
    return ours, stock, root


def commands(args, folder, shared):
    """{name: (command before dd's words, the shared folder there)}"""
    ours, stock, root = built(args, folder)
    boot = pathlib.Path(args.boot)
    native = [args.native, f"--dir={shared}", boot / "kernel-riscv64", boot / "initramfs-riscv64.cpio"]
    return {
        "host": ([], shared),
        "native machine": ([*native, root], "/data"),
        "lithify run": ([args.lithify, "run", "-v", f"{shared}:/data", ours], "/data"),
        "wasmtime": ([args.wasmtime, "run", "--allow-precompiled", "--dir", f"{shared}::/data", stock], "/data"),
    }


def main():
    parser = argparse.ArgumentParser()
    for name in ("lithify", "boot", "base", "wasmtime", "native"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("--megabytes", type=int, default=300)
    args = parser.parse_args()
    count = args.megabytes * 1_000_000 // BLOCK
    samples = {}
    with tempfile.TemporaryDirectory() as name:
        folder, shared = pathlib.Path(name), pathlib.Path(name) / "shared"
        shared.mkdir()
        found = commands(args, folder, shared)
        for _ in range(ROUNDS):
            for side, (command, place) in found.items():
                file = f"{place}/file"
                common = ["dd", f"bs={BLOCK}", f"count={count}"]
                for row, words in {
                    "write": [*common, "if=/dev/zero", f"of={file}"],
                    "read": [*common, f"if={file}", "of=/dev/null"],
                }.items():
                    samples.setdefault((side, row), []).append(run([*command, *words]))
    print(f"{platform.platform()}, {os.cpu_count()} processors, {count} MiB, {ROUNDS} rounds")
    print(f"{'MB/s':16}{'write':>10}{'read':>10}{'write, CPU':>14}{'read, CPU':>12}")
    for side in found:
        speed = lambda row, which: count * BLOCK / 1e6 / statistics.median(
            sample[which] for sample in samples[side, row]
        )
        wall = "".join(f"{speed(row, 0):10.0f}" for row in ("write", "read"))
        print(f"{side:16}{wall}{speed('write', 1):14.0f}{speed('read', 1):12.0f}")


if __name__ == "__main__":
    main()
