#!/usr/bin/env python3
"""What translation makes of a web application in python: web/app.py, trained with requests to itself.

    web.py LITHIFY BOOT_FILES BASE WASMTIME

The application answers the same requests with translated code, more of it than a build translates by itself, and
without, under stock wasmtime, from precompiled modules, in turns: compiled by wasmtime as it is, and with the branch hints
that translated code has, as lithify compiles. A request's cost is the CPU time of that, less what a run without requests
takes. Prints how much faster a request is with translated code, and which part of all instructions that executed.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile

REQUESTS = 600
TRAINED_REQUESTS = 400
ROUNDS = 5
# Much code, none of it hot: more than the default is worth its size.
BUDGET = "1m"
# What is wanted: times as fast, and thousandths of all instructions.
SPEEDUP, COVERAGE = 4, 950
WEB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "web")


def build(args, folder, name, options):
    artifact, precompiled = (os.path.join(folder, f"{name}.{suffix}") for suffix in ("wasm", "cwasm"))
    context = f"debian:trixie-slim=oci-layout://{args.base}"
    subprocess.run(
        [args.lithify, "build", "--build-context", context, *options, "-o", artifact, WEB], check=True,
        env={**os.environ, "LITHIFY_BOOT_FILES": args.boot_files}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    compile_by(args, artifact, precompiled)
    return artifact, precompiled


def compile_by(args, artifact, precompiled, *options):
    subprocess.run([args.wasmtime, "compile", *options, artifact, "-o", precompiled], check=True)


def command(requests):
    return ["python3", "/app.py", str(requests)]


def cpu_seconds(args, precompiled, requests):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([args.wasmtime, "run", "--allow-precompiled", precompiled, *command(requests)],
                          check=True, stdout=subprocess.PIPE, text=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, done.stdout


def per_request(args, sides):
    """Of each side its milliseconds, and the checksum of the answers. The sides take turns: the machine's own
    speed changes."""
    least, checksums = {}, {}
    for _ in range(ROUNDS):
        for side in sides:
            for requests in (0, REQUESTS):
                seconds, checksums[side] = cpu_seconds(args, side, requests)
                least[side, requests] = min(seconds, least.get((side, requests), seconds))
    return [((least[side, REQUESTS] - least[side, 0]) / REQUESTS * 1e3, checksums[side]) for side in sides]


def coverage(args, artifact):
    """Thousandths of the instructions of a run."""
    done = subprocess.run([args.lithify, "run", "--stats", artifact, *command(REQUESTS)], check=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    rows = dict(line.split()[:2] for line in done.stderr.splitlines() if len(line.split()) == 2)
    return int(rows["translated"]) * 1000 // int(rows["instructions"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("lithify", "boot_files", "base", "wasmtime"):
        parser.add_argument(name, type=os.path.abspath)
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="lithify-web-")
    try:
        _, plain = build(args, folder, "interpreted", ["--translate", "off"])
        training = ["--translate", BUDGET, "--train", json.dumps(command(TRAINED_REQUESTS))]
        artifact, trained = build(args, folder, "translated", training)
        hinted = os.path.join(folder, "hinted.cwasm")
        compile_by(args, artifact, hinted, "-W", "branch-hinting=y")
        (slow, expected), *translated = per_request(args, [plain, trained, hinted])
        covered = coverage(args, artifact)
        print(f"\nweb application in python, {REQUESTS} requests, CPU milliseconds for each under wasmtime")
        print(f"interpreted {slow:.2f}; goal for translated code {SPEEDUP}x")
        for name, (fast, computed) in zip(("translated", "translated, with branch hints"), translated):
            if computed != expected:
                sys.exit(f"with translated code the answers are {computed}, without {expected}")
            print(f"{name} {fast:.2f}: {slow / fast:.2f}x as fast")
        print(f"instructions in translated code: {covered / 10:.1f} %, goal {COVERAGE / 10} %")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
