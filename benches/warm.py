#!/usr/bin/env python3
"""Measures how soon a frozen program is of use.

    benches/warm.py LITHIFY BOOT_FILES BASE [--runs N] [--json FILE]

A Python HTTP server, frozen when it listens, answers its first request: from the exec of `lithify run` on the compiled
artifact to the first byte of the answer, through a published port: after a visit in the build, and without one. Beside
it the same server started cold. And a Python program that has imported as much as numpy is, frozen after that: from the
exec to the first byte that it prints, beside one that imported nothing and beside hello in C, which starts. Each row has
median, least and most milliseconds, and what the last run executed and touched. The bar is 25 ms for the first request. Clients try again every 0.2 ms.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import coldstart
import sides

BAR_MS = 25
# Memory that `import numpy` adds to a process, in modules of a MiB each.
WEIGHT_MIB = 30
MODULE = """
TABLE = [float(number) for number in range(28_000)]
def total():
    return sum(TABLE)
"""
IMPORTS = "weight, asyncio, decimal, email.message, http.server, json, logging.config, sqlite3, ssl, unittest, xml.dom.minidom"
PROGRAMS = {
    "server": sides.SERVER,
    "imports": f"import {IMPORTS}\nprint('ready', flush=True)\ninput()\nprint('hello', flush=True)\n",
    "nothing": "print('ready', flush=True)\ninput()\nprint('hello', flush=True)\n",
}


def build(args, folder, program, *options):
    """The compiled artifact of a program."""
    context = folder / program
    context.mkdir(exist_ok=True)
    (context / "program.py").write_text(PROGRAMS[program])
    (context / "index.html").write_text("hello\n")
    (context / "Dockerfile").write_text(
        "FROM debian:trixie-slim\nWORKDIR /srv\nCOPY . ./\nCMD [\"python3\", \"program.py\"]\n"
    )
    write_weight(context / "weight")
    name = "-".join([program, *(option.strip("-").replace(":", "-").replace("/", "") for option in options)])
    return compile_image(args, folder, name, context, *options)


def write_weight(package):
    """A package whose modules all are imported with it."""
    package.mkdir(exist_ok=True)
    names = [f"part{number}" for number in range(WEIGHT_MIB)]
    for name in names:
        (package / f"{name}.py").write_text(MODULE)
    (package / "__init__.py").write_text(f"from . import {', '.join(names)}\n")


def build_hello(args, folder, _program):
    """The compiled artifact of hello in C."""
    context = folder / "hello"
    coldstart.compile_hello(sides.GUEST_COMPILER, context)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY hello /\nENTRYPOINT [\"/hello\"]\n")
    return compile_image(args, folder, "hello", context)


def compile_image(args, folder, name, context, *options):
    wasm, compiled = folder / f"{name}.wasm", folder / f"{name}.cwasm"
    base = f"debian:trixie-slim=oci-layout://{args.base}"
    command = [args.lithify, "build", "--quiet", "--boot-files", args.boot, "--build-context", base]
    subprocess.run([*command, *options, "-o", wasm, context], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([args.lithify, "compile", wasm, "-o", compiled], check=True)
    return compiled


def first_request(args, compiled):
    """Milliseconds from the exec to the answer's first byte."""
    request = sides.first_request([args.lithify, "run"], compiled)
    return request.seconds * 1000, request.stats


def first_byte(args, compiled):
    """Milliseconds from the exec to the first byte of a program that waits for a line."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [args.lithify, "run", "--stats=json", "-i", compiled],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    process.stdin.write(b"go\n")
    process.stdin.flush()
    while process.stdout.readline() != b"hello\n":
        if process.poll() is not None:
            sys.exit(f"{compiled.name}: it ended")
    took = time.perf_counter() - start
    return took * 1000, sides.last_counts(process.communicate()[1])


def row(name, measured):
    samples = [took for took, _ in measured]
    last = measured[-1][1]
    print(
        f"{name:<44} {statistics.median(samples):9.1f} {min(samples):9.1f} {max(samples):9.1f}"
        f" {last['instructions'] / 1e6:9.1f} {last['new_pages']:9} {last['private_kib'] / 1024:9.1f}",
        flush=True,
    )
    return {"name": name, "unit": "ms", "samples": samples, "last": last}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lithify", type=os.path.abspath)
    parser.add_argument("boot", type=os.path.abspath)
    parser.add_argument("base", type=os.path.abspath)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Linux {platform.release()}, {args.runs} runs, ms")
    print(f"{'':<44} {'median':>9} {'min':>9} {'max':>9} {'M instr.':>9} {'new pages':>9} {'priv. MiB':>9}")
    cases = [
        ("first request, frozen after a visit", first_request, "server", sides.VISITED, args.runs),
        ("first request, frozen at its port", first_request, "server", ["--warm", "port:8080"], args.runs),
        ("first request, server started cold", first_request, "server", [], min(args.runs, 5)),
        ("first byte, frozen after imports", first_byte, "imports", ["--warm", "line:^ready$"], args.runs),
        ("first byte, frozen without imports", first_byte, "nothing", ["--warm", "line:^ready$"], args.runs),
        ("first byte, imports made cold", first_byte, "imports", [], min(args.runs, 5)),
        ("first byte, hello in C started", first_byte, "hello", [], args.runs),
    ]
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for name, measure, program, options, runs in cases:
            make = build_hello if program == "hello" else build
            compiled = make(args, pathlib.Path(folder), program, *options)
            measure(args, compiled)
            rows.append(row(name, [measure(args, compiled) for _ in range(runs)]))
    median = statistics.median(rows[0]["samples"])
    print(f"bar for the first request: {BAR_MS} ms, {'met' if median <= BAR_MS else 'missed'} ({median:.1f} ms)")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
