#!/usr/bin/env python3
"""Measures artifacts against the same programs on QEMU and on this machine itself.

    benches/programs.py LITHIFY BOOT_FILES BASE WASMTIME EXAMPLES

First the guest suite (guest/suite.c): sides take turns with some groups of rows, and each row is timed inside by
the side's own monotonic clock, so that starting a machine does not count. Then cold starts, timed from
outside. EXAMPLES is the folder with the machine's examples `native` and `qemu`.

Prints tables and writes raw samples, commands, machine and versions to target/bench/results.json.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time

import sides

ROUNDS = 3
# Groups of rows that a side runs in one go, before it is the next one's turn: this machine's speed changes from
# one minute to the next, which must hit all sides. Rows with Python follow each other: the first fills caches.
TURNS = [["integer"], ["float", "memory", "branches"], ["compression", "python"], ["system"]]
# Cold starts are short: more of them fit.
STARTS = 7

# Ratios are speeds relative to this side: the full-system emulator that everybody has.
REFERENCE = "qemu-system"

# Programs that every side has, with the same arguments.
COLD = {
    "true": ["/bin/true"],
    "python start": ["python3", "-c", "pass"],
    "bash loop": ["bash", "-c", "for ((i=0;i<20000;i++)); do :; done"],
}


def run_suite(side, groups):
    """{row: (seconds, checksum)} of one run; a command that fails ends the benchmark."""
    output = subprocess.run(
        [*side.command, *groups], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, env={**os.environ, **side.environment}, text=True,
    ).stdout
    return {name: (float(seconds), checksum) for name, seconds, checksum in map(str.split, output.splitlines())}


def measure_suite(found):
    """{side: {row: samples}}; all sides must compute the same."""
    samples = {side.name: {} for side in found}
    checksums = {}
    for groups in TURNS * ROUNDS:
        for side in found:
            for row, (seconds, checksum) in run_suite(side, groups).items():
                samples[side.name].setdefault(row, []).append(seconds)
                if checksums.setdefault(row, checksum) != checksum:
                    sys.exit(f"{row}: {side.name} computes {checksum}, another side {checksums[row]}")
    return samples


def geometric_means(medians, reference):
    """[(label, {side: speed relative to the reference})] by group, CPU part and whole suite."""
    groups = {}
    for row in next(iter(medians.values())):
        group = row.split("/")[0]
        labels = [group, "whole suite"] + (["CPU part"] if group != "system" else [])
        for label in labels:
            groups.setdefault(label, []).append(row)
    last = ["CPU part", "whole suite"]
    ordered = [label for label in groups if label not in last] + last
    return [
        (label, {
            side: statistics.geometric_mean(medians[reference][row] / rows[row] for row in groups[label])
            for side, rows in medians.items()
        })
        for label in ordered
    ]


def print_suite(samples):
    medians = {
        side: {row: statistics.median(seconds) for row, seconds in rows.items()} for side, rows in samples.items()
    }
    reference = REFERENCE if REFERENCE in medians else next(iter(medians))
    names = list(medians)
    print(f"\nguest suite, median seconds of {ROUNDS} runs, and speed relative to {reference}")
    print(f"{'row':<20}" + "".join(f"{name:>18}" for name in names))
    for row in medians[reference]:
        cells = [(medians[name][row], medians[reference][row] / medians[name][row]) for name in names]
        print(f"{row:<20}" + "".join(f"{seconds:>10.3f} {ratio:>6.2f}x" for seconds, ratio in cells))
    print("geometric mean of the ratios")
    for label, ratios in geometric_means(medians, reference):
        print(f"{label:<20}" + "".join(f"{'':>10} {ratios[name]:>6.2f}x" for name in names))


# What translation is held against, and by which factor it must be faster, by group of rows.
TRANSLATED, INTERPRETED = "translated", "lithify wasm"
GOALS = [
    ("CPU part", "qemu-system", 1.3),
    ("CPU part", INTERPRETED, 5.0),
    ("integer/bytecode", INTERPRETED, 3.5),
    ("python/loop", INTERPRETED, 3.5),
    ("float", "qemu-system", 3.0),
    ("system", "qemu-system", 1.0),
]


def speedup(medians, rows, over):
    ratios = [medians[over][row] / medians[TRANSLATED][row] for row in rows]
    return statistics.geometric_mean(ratios)


def print_translation(samples, files, wasmtime):
    """How much faster translated code is, and what it costs the first compile and the file."""
    medians = {
        side: {row: statistics.median(seconds) for row, seconds in rows.items()} for side, rows in samples.items()
    }
    print("\ntranslated code under wasmtime: times as fast, geometric means")
    for label, over, goal in GOALS:
        rows = [
            row for row in medians[TRANSLATED]
            if row == label or row.startswith(label + "/") or (label == "CPU part" and not row.startswith("system/"))
        ]
        if over in medians:
            print(f"{label:<20} over {over:<14} {speedup(medians, rows, over):>6.2f}x   goal {goal}x")
    size = os.path.getsize(files.artifact) - os.path.getsize(files.interpreted)
    seconds = compile_seconds(wasmtime, files.artifact) - compile_seconds(wasmtime, files.interpreted)
    print(f"adds {size / 1e6:.2f} MB to the .wasm (goal 2.5) and {seconds:.2f} CPU-seconds to a compile (goal 3)")
    return {"bytes": size, "compile_seconds": seconds}


def compile_seconds(wasmtime, artifact):
    """CPU-seconds of all threads."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([wasmtime, "compile", "-o", os.devnull, artifact], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure_starts(found):
    """{program: {side: wall seconds of each run}}"""
    samples = {}
    for program, arguments in COLD.items():
        for _ in range(STARTS):
            for side in found:
                start = time.perf_counter()
                subprocess.run(side.start(arguments), check=True, stdout=subprocess.DEVNULL)
                elapsed = time.perf_counter() - start
                samples.setdefault(program, {}).setdefault(side.name, []).append(elapsed)
    return samples


def print_starts(samples):
    names = list(next(iter(samples.values())))
    print(f"\ncold starts from outside, median seconds of {STARTS} runs")
    print(f"{'program':<20}" + "".join(f"{name:>18}" for name in names))
    for program, by_side in samples.items():
        print(f"{program:<20}" + "".join(f"{statistics.median(by_side[name]):>18.3f}" for name in names))


def machine(args):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return {
        "system": platform.platform(),
        "processor": models[0] if models else platform.processor(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "versions": {
            name: sides.version(command)
            for name, command in {
                "lithify": args.lithify,
                "wasmtime": args.wasmtime,
                "qemu-system": sides.QEMU_SYSTEM,
                "qemu-user": sides.QEMU_USER,
                "compiler": sides.HOST_COMPILER,
                "guest compiler": sides.GUEST_COMPILER,
            }.items()
            if shutil.which(command)
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("lithify", "boot_files", "base", "wasmtime", "examples"):
        parser.add_argument(name, type=os.path.abspath)
    args = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    shutil.rmtree(sides.OUT, ignore_errors=True)
    os.makedirs(sides.OUT)

    where = machine(args)
    for name, value in where.items():
        print(f"{name}: {value}")
    files = sides.build(args)
    found = sides.suite_sides(args, files)
    suite = measure_suite(found)
    print_suite(suite)
    translation = print_translation(suite, files, args.wasmtime)
    starts = measure_starts(sides.start_sides(args, files))
    print_starts(starts)
    results = {
        "machine": where,
        "commands": {side.name: [side.environment, side.command] for side in found},
        "suite": suite,
        "translation": translation,
        "starts": starts,
    }
    with open(os.path.join(sides.OUT, "results.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=2)


if __name__ == "__main__":
    main()
