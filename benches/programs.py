#!/usr/bin/env python3
"""Measures artifacts against the same programs on QEMU user mode and on this machine itself.

    benches/programs.py LITHIFY BOOT_FILES BASE WASMTIME

Prints a table and writes raw samples, commands, machine and versions to target/bench/results.json.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import time

# Enough for a median on a noisy machine, and a run of a few minutes.
SAMPLES = 5
OUT = "target/bench"

# Programs that every side has, with the same arguments.
PROGRAMS = {
    "true": ["/bin/true"],
    "python start": ["python3", "-c", "pass"],
    "python loop": ["python3", "-c", "s=0\nfor i in range(1000000): s+=i*i%7\nprint(s)"],
    "python sha256": ["python3", "-c", "import hashlib; print(hashlib.sha256(bytes(20000000)).hexdigest())"],
    "bash loop": ["bash", "-c", "for ((i=0;i<100000;i++)); do :; done"],
}


def measure(command, environment=None):
    """Wall seconds of each run; a command that fails ends the benchmark."""
    samples = []
    for _ in range(SAMPLES):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        samples.append(time.perf_counter() - start)
    return samples


def blob(base, descriptor):
    return os.path.join(base, "blobs", *descriptor["digest"].split(":"))


def unpack(base, root):
    """The base image's files, for QEMU user mode."""
    with open(os.path.join(base, "index.json"), encoding="utf-8") as file:
        index = json.load(file)
    with open(blob(base, index["manifests"][0]), encoding="utf-8") as file:
        manifest = json.load(file)
    os.makedirs(root)
    for layer in manifest["layers"]:
        with tarfile.open(blob(base, layer)) as tar:
            tar.extractall(root, members=[m for m in tar if not m.isdev()], filter="tar")


def sides(args, artifact, precompiled):
    """Name of each side and how it runs a program."""
    found = {
        "native": lambda program: program,
        "lithify .cwasm": lambda program: [args.lithify, "run", precompiled, *program],
        "wasmtime .wasm": lambda program: [args.wasmtime, "run", artifact, *program],
    }
    if shutil.which("qemu-riscv64"):
        root = os.path.join(OUT, "root")
        unpack(args.base, root)

        def qemu(program):
            path = program[0] if program[0].startswith("/") else f"/usr/bin/{program[0]}"
            return ["qemu-riscv64", "-L", root, os.path.realpath(root + path), *program[1:]]

        found["qemu-riscv64"] = qemu
    else:
        print("skipped: qemu-riscv64 is not installed", file=sys.stderr)
    return found


def build(args):
    artifact, precompiled = f"{OUT}/debian.wasm", f"{OUT}/debian.cwasm"
    context = f"debian:trixie-slim=oci-layout://{os.path.abspath(args.base)}"
    environment = {**os.environ, "LITHIFY_BOOT_FILES": args.boot_files}
    subprocess.run(
        [args.lithify, "build", "--build-context", context, "-o", artifact, "examples/debian"],
        check=True, env=environment,
    )
    subprocess.run([args.lithify, "compile", artifact, "-o", precompiled], check=True)
    return artifact, precompiled


def version(command):
    return subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("lithify", "boot_files", "base", "wasmtime"):
        parser.add_argument(name, type=os.path.abspath)
    args = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)

    results = []
    runners = sides(args, *build(args))
    print(f"{'program':<14} {'side':<15} {'median':>9} {'best':>9} {'x native':>9}")
    for name, program in PROGRAMS.items():
        native = None
        for side, command_for in runners.items():
            command = command_for(program)
            samples = measure(command)
            median = statistics.median(samples)
            native = native or median
            print(f"{name:<14} {side:<15} {median:>8.3f}s {min(samples):>8.3f}s {median / native:>8.1f}x")
            results.append({"program": name, "side": side, "command": command, "seconds": samples})
    machine = {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "lithify": version(args.lithify),
        "wasmtime": version(args.wasmtime),
    }
    with open(f"{OUT}/results.json", "w", encoding="utf-8") as file:
        json.dump({"machine": machine, "results": results}, file, indent=2)


if __name__ == "__main__":
    main()
