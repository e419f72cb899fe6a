#!/usr/bin/env python3
"""Measures what packing the root file system costs and saves, and that its size costs a start nothing.

    benches/rom.py LITHIFY BOOT_FILES BASE WASMTIME

For each way of packing: the artifact's size, a cold start of hello and of python on stock wasmtime, which
unpacks as it reads, and by `lithify run`, whose compiled form is unpacked, and the speed of reading a large
file in the guest. Then hello with 20 MB and with 1 GB of other files beside it: time, and bytes read from
disk by a start of which nothing is in the page cache.

Prints tables and writes raw samples and commands to target/bench/rom.json.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import time

import sides

SAMPLES = 15
METHODS = ["none", "lz4", "zstd:3", "zstd:9"]
WORK = os.path.join(sides.OUT, "rom")
BASE_NAME = "debian:trixie-slim"
LARGE_MB = 64
READ = ["python3", "-c", """
import os, time
file = os.open('/large', os.O_RDONLY)
start = time.monotonic()
total = 0
while data := os.read(file, 1 << 20):
    total += len(data)
print(total / (time.monotonic() - start) / 1e6)
"""]


def sample(command):
    """Wall and CPU milliseconds of a command."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          env=ENVIRONMENT)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": 1000 * wall, "cpu": 1000 * cpu, "output": done.stdout}


def samples(command, count=SAMPLES):
    return [sample(command) for _ in range(count)]


def shown(rows, key):
    values = [row[key] for row in rows]
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def text_and_noise(path, size):
    """Half of it words, half of it random: it packs about as an image of programs does."""
    generator = random.Random(size)
    words = [generator.randbytes(4).hex().encode() for _ in range(2000)]
    with open(path, "wb") as file:
        while file.tell() < size:
            file.write(b" ".join(generator.choices(words, k=7000)))
            file.write(generator.randbytes(65536))
        file.truncate(size)


def context(name, dockerfile, files=()):
    folder = os.path.join(WORK, name)
    os.makedirs(folder)
    shutil.copy("examples/hello/hello", folder)
    for path, size in files:
        text_and_noise(os.path.join(folder, path), size)
    with open(os.path.join(folder, "Dockerfile"), "w", encoding="utf-8") as out:
        out.write(dockerfile)
    return folder


def build(folder, method):
    output = f"{folder}-{method.replace(':', '-')}.wasm"
    subprocess.run([ARGS.lithify, "build", "--quiet", "--compress", method, "-o", output,
                    "--build-context", f"{BASE_NAME}=oci-layout://{ARGS.base}", folder],
                   check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    return output


def runtimes(wasm):
    """Commands that run the artifact, each from a compiled form."""
    ours, stock = wasm[:-4] + "cwasm", wasm[:-4] + "stock.cwasm"
    subprocess.run([ARGS.lithify, "compile", wasm, "-o", ours], check=True, env=ENVIRONMENT)
    subprocess.run([ARGS.wasmtime, "compile", wasm, "-o", stock], check=True, env=ENVIRONMENT)
    return {"stock": [ARGS.wasmtime, "run", "--allow-precompiled", stock],
            "lithify": [ARGS.lithify, "run", ours]}


def methods():
    hello = context("hello", "FROM scratch\nCOPY hello /\nENTRYPOINT [\"/hello\"]\n")
    python = context("python", f"FROM {BASE_NAME}\nCOPY large /\n", [("large", LARGE_MB << 20)])
    raw = {}
    print(f"{'':10}{'hello':>9}{'python':>9}   cold start, ms of CPU: median (min-max){'':32}read, MB/s")
    print(f"{'':10}{'MB':>9}{'MB':>9}   {'hello, stock':22}{'python, stock':24}{'python, lithify':24}"
          "stock  lithify")
    for method in METHODS:
        small, big = build(hello, method), build(python, method)
        print_one = ["python3", "-c", "print(1)"]
        hello_runs, python_runs = runtimes(small), runtimes(big)
        row = {
            "bytes": [os.path.getsize(small), os.path.getsize(big)],
            "hello, stock": samples(hello_runs["stock"]),
            "python, stock": samples([*python_runs["stock"], *print_one]),
            "python, lithify": samples([*python_runs["lithify"], *print_one]),
            "read, stock": samples([*python_runs["stock"], *READ], 3),
            "read, lithify": samples([*python_runs["lithify"], *READ], 3),
        }
        raw[method] = row
        speeds = [max(float(run["output"]) for run in row[key]) for key in ("read, stock", "read, lithify")]
        print(f"{method:10}{row['bytes'][0] / 1e6:9.1f}{row['bytes'][1] / 1e6:9.1f}   "
              f"{shown(row['hello, stock'], 'cpu'):22}{shown(row['python, stock'], 'cpu'):24}"
              f"{shown(row['python, lithify'], 'cpu'):24}{speeds[0]:5.0f}{speeds[1]:9.0f}", flush=True)
    return raw


def evicted(path):
    """Takes a file out of the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk_bytes(command, path):
    """What a start reads from disk when its compiled form is not in memory."""
    evicted(path)
    done = subprocess.run(["/usr/bin/time", "-f", "%I", *command], check=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    return 512 * int(re.findall(r"\d+", done.stderr)[-1])


def image_sizes():
    raw = {}
    print(f"\n{'hello beside':14}{'.cwasm MB':>11}   {'CPU ms':24}{'wall ms':24}read from disk, KB")
    for megabytes in (20, 1000):
        folder = context(f"beside-{megabytes}", "FROM scratch\nCOPY . /\nENTRYPOINT [\"/hello\"]\n",
                         [("other", megabytes * 1_000_000)])
        wasm = build(folder, "lz4")
        compiled = wasm[:-4] + "cwasm"
        subprocess.run([ARGS.lithify, "compile", wasm, "-o", compiled], check=True, env=ENVIRONMENT)
        command = [ARGS.lithify, "run", compiled]
        sample(command)
        runs = samples(command, 2 * SAMPLES)
        read = [disk_bytes(command, compiled) for _ in range(5)]
        raw[megabytes] = {"runs": runs, "read": read, "bytes": os.path.getsize(compiled)}
        print(f"{megabytes:>11} MB{os.path.getsize(compiled) / 1e6:11.0f}   {shown(runs, 'cpu'):24}"
              f"{shown(runs, 'wall'):24}{statistics.median(read) / 1000:.0f}", flush=True)
        shutil.rmtree(folder)
    return raw


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("lithify", "boot_files", "base", "wasmtime"):
        parser.add_argument(name, type=os.path.abspath)
    ARGS = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    ENVIRONMENT = {**os.environ, "LITHIFY_BOOT_FILES": ARGS.boot_files,
                   "XDG_CACHE_HOME": os.path.abspath(os.path.join(WORK, "cache"))}
    RAW = {"methods": methods(), "sizes": image_sizes()}
    with open(os.path.join(sides.OUT, "rom.json"), "w", encoding="utf-8") as out:
        json.dump(RAW, out, indent=1)
    shutil.rmtree(WORK)
