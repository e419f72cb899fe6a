#!/usr/bin/env python3
"""Cold starts: from exec to the program's first byte, beside runc, stock wasmtime and nothing at all.

    coldstart.py LITHIFY LITHIFY_RUN BOOT_FILES BASE WASMTIME

Every side prints `hello` from the same C program, compiled for its own processor. Each row is one side:
median, least and greatest milliseconds from exec to the first byte, median CPU milliseconds, page faults,
resident memory and the part of it that no other process shares, in MiB. The rows of one table are measured
in turns, so that a busy moment of the machine meets all of them.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

import sides

RUNS = 30
OUT = "target/bench/coldstart"
# Prints, and waits for the end of its input if it has an argument: its memory can be looked at then.
HELLO = """
#include <stdio.h>
int main(int argc, char **argv) { puts("hello"); fflush(stdout); while (argc > 1 && getchar() != EOF); }
"""
# (module (memory (export "memory") 1) (func (export "_start"))) behind the custom sections of an artifact.
WASM = bytes.fromhex("0061736d01000000")
EMPTY = bytes.fromhex(
    "010401600000" "03020100" "0503010001"
    "0713" "02" "066d656d6f7279" "0200" "065f7374617274" "0000" "0a040102000b")
IMAGES = {"20 MB image": 20 << 20, "1 GB image": 1 << 30}


@dataclass
class Side:
    name: str
    command: list
    # What makes the program wait, if the side can pass it on.
    waiting: list = None
    silent: bool = False
    samples: list = field(default_factory=list)
    private: float = 0.0


@dataclass
class Sample:
    first_byte: float
    cpu: float
    faults: int
    resident: float
    read: int


def start(side):
    begun = time.perf_counter()
    with subprocess.Popen(side.command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        said = process.stdout.read(1)
        first_byte = time.perf_counter() - begun
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or (not said and not side.silent):
        sys.exit(f"{side.command} ended with {process.returncode} and printed {said}")
    # Linux counts ru_inblock in units of 512 bytes, ru_maxrss in KiB.
    return Sample(first_byte * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3, usage.ru_minflt,
                  usage.ru_maxrss / 1024, usage.ru_inblock * 512)


def private_memory(side):
    """MiB that only this process has, once the program has printed."""
    if side.waiting is None:
        return None
    with subprocess.Popen(side.waiting, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        process.stdout.read(1)
        with open(f"/proc/{process.pid}/smaps_rollup", encoding="utf-8") as file:
            sizes = dict(line.split(":", 1) for line in file if ":" in line)
        process.stdin.close()
        process.stdout.read()
    kib = sum(int(sizes[name].split()[0]) for name in ("Private_Dirty", "Private_Clean"))
    return kib / 1024


def measure(found, before=lambda side: None):
    for _ in range(RUNS):
        for side in found:
            before(side)
            side.samples.append(start(side))
    for side in found:
        side.private = private_memory(side)


def show(title, found):
    print(f"\n{title}, {RUNS} runs")
    print(f"{'':<34}{'median':>8}{'min':>8}{'max':>8}{'CPU':>8}{'faults':>8}{'RSS':>8}{'private':>9}")
    for side in found:
        times = [sample.first_byte for sample in side.samples]
        median = {name: statistics.median(getattr(sample, name) for sample in side.samples)
                  for name in ("cpu", "faults", "resident")}
        private = "-" if side.private is None else f"{side.private:.1f}"
        print(f"{side.name:<34}{statistics.median(times):>8.2f}{min(times):>8.2f}{max(times):>8.2f}"
              f"{median['cpu']:>8.2f}{median['faults']:>8.0f}{median['resident']:>8.1f}{private:>9}")


def compile_hello(compiler, folder):
    os.makedirs(folder)
    subprocess.run([compiler, "-O2", "-static", "-s", "-x", "c", "-o", f"{folder}/hello", "-"],
                   input=HELLO, text=True, check=True)


def custom_sections(artifact):
    """Those at the front, where an artifact has its manifest."""
    with open(artifact, "rb") as file:
        start = file.read(1 << 20)
    at = len(WASM)
    while start[at] == 0:
        length, shift = 0, 0
        at += 1
        while True:
            byte = start[at]
            length |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
        at += length
    return start[len(WASM):at]


class Bench:
    def __init__(self, args):
        self.args = args
        self.environment = {**os.environ, "LITHIFY_BOOT_FILES": args.boot_files}

    def build(self, name, dockerfile, context):
        """The artifact and its compiled form."""
        with open(os.path.join(context, "Dockerfile"), "w", encoding="utf-8") as file:
            file.write(dockerfile)
        wasm, compiled = (os.path.abspath(f"{OUT}/{name}.{kind}") for kind in ("wasm", "cwasm"))
        base = f"base=oci-layout://{self.args.base}"
        for command in (["build", "-q", "--build-context", base, "-o", wasm, context], ["compile", wasm, "-o", compiled]):
            subprocess.run([self.args.lithify, *command], check=True, env=self.environment, stdout=subprocess.DEVNULL)
        return wasm, compiled

    def hello(self, name, padding=0):
        context = f"{OUT}/{name}"
        compile_hello(sides.GUEST_COMPILER, context)
        with open(f"{context}/padding", "wb") as file:
            for at in range(0, padding, 1 << 20):
                file.write(os.urandom(min(1 << 20, padding - at)))
        return self.build(name, 'FROM scratch\nCOPY . /\nENTRYPOINT ["/hello"]\n', context)

    def runner(self, name, compiled):
        run = [self.args.lithify_run]
        return Side(name, [*run, compiled], [*run, "-i", compiled, "wait"])

    def hello_sides(self):
        wasm, compiled = self.hello("hello")
        empty = f"{OUT}/empty"
        with open(f"{empty}.wasm", "wb") as file:
            file.write(WASM + custom_sections(wasm) + EMPTY)
        subprocess.run([self.args.lithify, "compile", f"{empty}.wasm", "-o", f"{empty}.cwasm"], check=True)
        run = [self.args.lithify, "run"]
        found = [
            Side("lithify-run, empty module", [self.args.lithify_run, f"{empty}.cwasm"], silent=True),
            self.runner("lithify-run, .cwasm", compiled),
            Side("lithify run, cached .wasm", [*run, wasm], [*run, "-i", wasm, "wait"]),
            *self.stock(wasm), *self.runc(),
        ]
        # A file that has just been written is hashed at every start.
        time.sleep(3)
        for side in found:
            start(side)
        return wasm, found

    def stock(self, wasm):
        compiled = f"{OUT}/stock.cwasm"
        subprocess.run([self.args.wasmtime, "compile", "-o", compiled, wasm], check=True)
        yield Side("wasmtime run, precompiled", [self.args.wasmtime, "run", "--allow-precompiled", compiled])
        cached = [self.args.wasmtime, "run", "-C", "cache=y", wasm]
        if subprocess.run(cached, capture_output=True, check=False).returncode == 0:
            yield Side("wasmtime run, cached", cached)
        else:
            print("skipped: this wasmtime has no cache", file=sys.stderr)

    def runc(self):
        if not shutil.which("runc"):
            print("skipped: runc is not installed", file=sys.stderr)
            return
        bundle = f"{OUT}/bundle"
        compile_hello(sides.HOST_COMPILER, f"{bundle}/rootfs")
        rootless = [] if os.getuid() == 0 else ["--rootless"]
        subprocess.run(["runc", "spec", *rootless], cwd=bundle, check=True)
        with open(f"{bundle}/config.json", encoding="utf-8") as file:
            config = json.load(file)
        config["process"].update(terminal=False, args=["/hello"])
        with open(f"{bundle}/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        yield Side("runc run", ["runc", "run", "--bundle", bundle, f"lithify-bench-{os.getpid()}"])

    def python(self):
        context = f"{OUT}/python"
        os.makedirs(context)
        program = json.dumps(["python3", "-c", "print(1)"])
        _, compiled = self.build("python", f"FROM base\nENTRYPOINT {program}\n", context)
        return Side("lithify-run, python3 -c 'print(1)'", [self.args.lithify_run, compiled])

    def sizes(self):
        return [self.runner(name, self.hello(name.replace(" ", "-"), size)[1]) for name, size in IMAGES.items()]


def forget(side):
    """The compiled form is not in the host's page cache."""
    with open(side.command[-1], "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("lithify", "lithify_run", "boot_files", "base", "wasmtime"):
        parser.add_argument(name, type=os.path.abspath)
    args = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    bench = Bench(args)

    print(f"lithify-run: {os.path.getsize(args.lithify_run) / 1e6:.2f} MB, load {os.getloadavg()[0]:.1f}")
    wasm, found = bench.hello_sides()
    packed = subprocess.run(["zstd", "-q", "-19", "--long=27", "-c", wasm], check=True, capture_output=True).stdout
    print(f"hello.wasm: {os.path.getsize(wasm) / 1e6:.2f} MB, zstd -19 {len(packed) / 1e6:.2f} MB")
    found.append(bench.python())
    measure(found)
    show("from exec to the first byte, ms", found)

    grown = bench.sizes()
    measure(grown)
    show("hello from images of two sizes, ms", grown)
    cold = [Side(f"{side.name}, not in memory", side.command) for side in grown]
    measure(cold, forget)
    show("the same, files read from the disk, ms", cold)
    for side in cold:
        read = statistics.median(sample.read for sample in side.samples)
        print(f"{side.name}: {read / 1e6:.2f} MB read")
    with open(f"{OUT}.json", "w", encoding="utf-8") as file:
        json.dump({side.name: [vars(sample) for sample in side.samples] for side in (*found, *grown, *cold)}, file)
    shutil.rmtree(OUT)


if __name__ == "__main__":
    main()
