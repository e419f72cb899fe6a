#!/usr/bin/env python3
"""Cold starts: from exec to the program's first byte, beside runc, stock wasmtime and nothing at all.

    coldstart.py LITHIFY LITHIFY_RUN BOOT_FILES BASE WASMTIME [--runs N]

Every side prints `hello` from the same C program, compiled for its own processor. Each row is one side: median, least
and greatest milliseconds from exec to the first byte, median CPU milliseconds and page faults; in MiB the resident
memory of one that waits, what of it no other process shares, what of it is no page of a file, and what no other process
shares while another waits, too: that is what a further machine costs; and the guest's instructions in millions. The
rows of one table are measured in turns, so that a busy moment of the machine meets all of them.

Python prints a line: from an image that was translated without having seen it, from one whose build had it for
training and translated all that was worth it, and as the image's own program with what is translated by default. And a
Python HTTP server that was frozen after a visit answers its first request: from exec to the first byte of the answer,
through a published port. Bars are printed where a row has one.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

import sides

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
PYTHON_BAR_MS = 120
SERVER_BAR_MS = 25
PRINT = ["python3", "-c", "print(1)"]
IMAGES = {"20 MB image": 20 << 20, "1 GB image": 1 << 30}


@dataclass
class Side:
    name: str
    command: list
    # What makes the program wait, if the side can pass it on.
    waiting: list = None
    silent: bool = False
    # Most milliseconds that the median may be.
    bar: float = None
    # Says with `--stats=json` what it executed.
    counted: bool = False
    samples: list = field(default_factory=list)
    memory: "Memory" = None
    instructions: float = None

    def run(self):
        return start(self)

    def look(self):
        """What is measured once, behind the runs."""
        if self.waiting:
            self.memory = Memory.of(self.waiting)
        if self.counted:
            runner, *rest = self.command
            said = subprocess.run([runner, "--stats=json", *rest], check=True, capture_output=True).stderr
            self.instructions = sides.last_counts(said)["instructions"]


@dataclass
class ServerSide(Side):
    """Answers a request; the command's last word is the artifact."""

    def run(self):
        request = sides.first_request(self.command[:-1], self.command[-1])
        self.instructions = request.stats["instructions"]
        return Sample.of(request.seconds, request.usage)

    def look(self):
        pass


@dataclass
class Sample:
    first_byte: float
    cpu: float
    faults: int
    read: int

    @classmethod
    def of(cls, seconds, usage):
        # Linux counts ru_inblock in units of 512 bytes. Its ru_maxrss begins with that of this script.
        return cls(seconds * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3, usage.ru_minflt,
                   usage.ru_inblock * 512)


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
    return Sample.of(first_byte, usage)


@contextlib.contextmanager
def waiting(command):
    """A process that has printed and waits."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        process.stdout.read(1)
        yield process
        process.stdin.close()
        process.stdout.read()


def memory(process):
    """MiB that a process has, that only it has, and that are no pages of files."""
    with open(f"/proc/{process.pid}/smaps_rollup", encoding="utf-8") as file:
        lines = [line.split() for line in file if line.endswith("kB\n")]
    sizes = {name: int(kib) / 1024 for name, kib, _ in lines}
    return sizes["Rss:"], sizes["Private_Dirty:"] + sizes["Private_Clean:"], sizes["Anonymous:"]


@dataclass
class Memory:
    """MiB that one that waits has. Beside another that waits, too, clean pages of files, as the compiled code, are
    shared: the rest is what a further machine costs."""

    resident: float
    private: float
    anonymous: float
    further: float

    @classmethod
    def of(cls, command):
        with waiting(command) as process:
            alone = memory(process)
            with waiting(command):
                return cls(*alone, memory(process)[1])


def measure(found, runs, before=lambda side: None):
    for _ in range(runs):
        for side in found:
            before(side)
            side.samples.append(side.run())
    for side in found:
        side.look()


def show(title, found):
    print(f"\n{title}, {len(found[0].samples)} runs")
    print(f"{'':<44}{'median':>8}{'min':>8}{'max':>8}{'CPU':>8}{'faults':>8}{'RSS':>8}{'private':>9}"
          f"{'anonymous':>11}{'further':>9}{'M instr.':>10}")
    for side in found:
        times = [sample.first_byte for sample in side.samples]
        median = {name: statistics.median(getattr(sample, name) for sample in side.samples)
                  for name in ("cpu", "faults")}
        sizes = ["-"] * 4 if side.memory is None else [f"{size:.1f}" for size in vars(side.memory).values()]
        instructions = "-" if side.instructions is None else f"{side.instructions / 1e6:.2f}"
        print(f"{side.name:<44}{statistics.median(times):>8.2f}{min(times):>8.2f}{max(times):>8.2f}"
              f"{median['cpu']:>8.2f}{median['faults']:>8.0f}{sizes[0]:>8}{sizes[1]:>9}{sizes[2]:>11}"
              f"{sizes[3]:>9}{instructions:>10}")
    for side in found:
        if side.bar is not None:
            took = statistics.median(sample.first_byte for sample in side.samples)
            print(f"bar: {side.name}: {side.bar} ms, {'met' if took <= side.bar else 'missed'} ({took:.1f} ms)")


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

    def build(self, name, dockerfile, context, *options):
        """The artifact and its compiled form."""
        with open(os.path.join(context, "Dockerfile"), "w", encoding="utf-8") as file:
            file.write(dockerfile)
        wasm, compiled = (os.path.abspath(f"{OUT}/{name}.{kind}") for kind in ("wasm", "cwasm"))
        base = f"base=oci-layout://{self.args.base}"
        for command in (["build", "-q", "--build-context", base, *options, "-o", wasm, context],
                        ["compile", wasm, "-o", compiled]):
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
        return Side(name, [*run, compiled], [*run, "-i", compiled, "wait"], counted=True)

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

    def python_sides(self):
        builds = [
            ("not trained with it", "FROM base\n", [], PRINT),
            ("trained with it", "FROM base\n", ["--translate", "1m", "--train", json.dumps(PRINT)], PRINT),
            ("the image's program", f"FROM base\nENTRYPOINT {json.dumps(PRINT)}\n", [], []),
        ]
        for at, (name, dockerfile, options, words) in enumerate(builds):
            context = f"{OUT}/python-{at}"
            os.makedirs(context)
            _, compiled = self.build(f"python-{at}", dockerfile, context, *options)
            bar = PYTHON_BAR_MS if at else None
            command = [self.args.lithify_run, compiled, *words]
            yield Side(f"python3 -c 'print(1)', {name}", command, bar=bar, counted=True)
        yield self.server()

    def server(self):
        context = f"{OUT}/server"
        os.makedirs(context)
        for name, text in {"program.py": sides.SERVER, "index.html": "hello\n"}.items():
            with open(f"{context}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
        dockerfile = 'FROM base\nWORKDIR /srv\nCOPY program.py index.html ./\nCMD ["python3", "program.py"]\n'
        _, compiled = self.build("server", dockerfile, context, *sides.VISITED)
        return ServerSide("first request, frozen HTTP server", [self.args.lithify_run, compiled], bar=SERVER_BAR_MS)

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
    parser.add_argument("--runs", type=int, default=30)
    args = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    bench = Bench(args)

    print(f"lithify-run: {os.path.getsize(args.lithify_run) / 1e6:.2f} MB, load {os.getloadavg()[0]:.1f}")
    wasm, found = bench.hello_sides()
    packed = subprocess.run(["zstd", "-q", "-19", "--long=27", "-c", wasm], check=True, capture_output=True).stdout
    print(f"hello.wasm: {os.path.getsize(wasm) / 1e6:.2f} MB, zstd -19 {len(packed) / 1e6:.2f} MB")
    measure(found, args.runs)
    show("hello, from exec to the first byte, ms", found)

    python = list(bench.python_sides())
    measure(python, args.runs)
    show("Python by lithify-run, from exec to the first byte, ms", python)

    grown = bench.sizes()
    measure(grown, args.runs)
    show("hello from images of two sizes, ms", grown)
    cold = [Side(f"{side.name}, not in memory", side.command) for side in grown]
    measure(cold, args.runs, forget)
    show("the same, files read from the disk, ms", cold)
    for side in cold:
        read = statistics.median(sample.read for sample in side.samples)
        print(f"{side.name}: {read / 1e6:.2f} MB read")
    with open(f"{OUT}.json", "w", encoding="utf-8") as file:
        every = (*found, *python, *grown, *cold)
        json.dump({side.name: [vars(sample) for sample in side.samples] for side in every}, file)
    shutil.rmtree(OUT)


if __name__ == "__main__":
    main()
