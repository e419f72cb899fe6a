#!/usr/bin/env python3
"""Measures what a build costs beyond the work it is asked to do.

    benches/builds.py LITHIFY BOOT_FILES BASE

A rebuild of examples/python with nothing changed, and with one file changed; a `RUN true` on the cached
base, as a whole build and its step alone. Beside that the same command by `runc run` and `buildah run`,
which execute on this machine's own processor, where they are installed.

Prints a table and writes raw samples, commands, machine and versions to target/bench/builds.json.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import time

import sides

SAMPLES = 9
WORK = os.path.join(sides.OUT, "builds")
BASE_NAME = "debian:trixie-slim"
# Seconds that a row should stay below on two processors.
BARS = {"rebuild, nothing changed": 0.3, "RUN true, its step": 1.0}

TRUE = "int main(void) { return 0; }\n"


def timed(command, environment=None, text=None):
    """Wall seconds of a command, and what it wrote to standard error."""
    start = time.perf_counter()
    done = subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
        **({"input": text} if text is not None else {"stdin": subprocess.DEVNULL}),
    )
    return time.perf_counter() - start, done.stderr


class Builder:
    """`lithify build` with the base image and a cache of this benchmark's own."""

    def __init__(self, args):
        self.command = [args.lithify, "build", "--progress", "json",
                        "--build-context", f"{BASE_NAME}=oci-layout://{args.base}"]
        self.environment = {**os.environ, "LITHIFY_BOOT_FILES": args.boot_files,
                            "XDG_CACHE_HOME": os.path.abspath(os.path.join(WORK, "cache"))}

    def build(self, context, *options, dockerfile=None):
        output = ["-o", os.path.join(WORK, "app.wasm")]
        return timed([*self.command, *output, *options, context], self.environment, dockerfile)


def rebuilds(builder):
    """Of an example with two RUN steps."""
    context = os.path.join(WORK, "python")
    shutil.copytree("examples/python", context)
    builder.build(context)
    unchanged = [builder.build(context)[0] for _ in range(SAMPLES)]
    changed = []
    for _ in range(SAMPLES):
        with open(os.path.join(context, "orders.json"), "a", encoding="utf-8") as orders:
            orders.write("\n")
        changed.append(builder.build(context)[0])
    return {"rebuild, nothing changed": unchanged, "rebuild, one file changed": changed}


def run_true(builder):
    """Each build executes a RUN that no cache has."""
    context = os.path.join(WORK, "empty")
    os.makedirs(context)
    rows = {"RUN true, whole build": [], "RUN true, its step": []}
    for number in range(SAMPLES + 1):
        dockerfile = f"FROM {BASE_NAME}\nRUN true {number}\n"
        seconds, events = builder.build(context, "-f", "-", dockerfile=dockerfile)
        # The first makes what all others share: the base's disk, the frozen machine.
        if number > 0:
            rows["RUN true, whole build"].append(seconds)
            rows["RUN true, its step"].append(step_seconds(events, f"RUN true {number}"))
    return rows


def step_seconds(events, name):
    numbers = {}
    for event in map(json.loads, events.splitlines()):
        if event["event"] == "start":
            numbers[event["id"]] = event["name"]
        elif event["event"] == "done" and numbers[event["id"]].endswith(name):
            return event["seconds"]
    raise SystemExit(f"`{name}' was not executed")


def host_true():
    """A root file system of one static program for this machine."""
    root = os.path.join(WORK, "host-root")
    os.makedirs(root)
    subprocess.run([sides.HOST_COMPILER, "-x", "c", "-static", "-o", f"{root}/true", "-"],
                   input=TRUE, text=True, check=True)
    return root


def runc(root):
    bundle = os.path.join(WORK, "bundle")
    os.makedirs(bundle)
    rootless = [] if os.getuid() == 0 else ["--rootless"]
    subprocess.run(["runc", "spec", *rootless], cwd=bundle, check=True)
    path = os.path.join(bundle, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["process"].update(terminal=False, args=["/true"])
    config["root"]["path"] = os.path.abspath(root)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    return [timed(["runc", "run", "--bundle", bundle, f"lithify-bench-{os.getpid()}-{number}"])[0]
            for number in range(SAMPLES)]


def buildah(root):
    storage = os.path.abspath(os.path.join(WORK, "containers"))
    command = ["buildah", "--root", f"{storage}/root", "--runroot", f"{storage}/run", "--storage-driver", "vfs"]
    container = subprocess.run([*command, "from", "scratch"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run([*command, "copy", container, root, "/"], check=True, stdout=subprocess.DEVNULL)
    return [timed([*command, "run", "--network", "none", container, "/true"])[0] for _ in range(SAMPLES)]


def others():
    root = host_true()
    for measure in (runc, buildah):
        name = f"{measure.__name__} run true"
        if shutil.which(measure.__name__) is None:
            yield name, f"absent: {measure.__name__} is not installed"
            continue
        try:
            yield name, measure(root)
        except subprocess.CalledProcessError as error:
            yield name, f"absent: {' '.join(error.cmd)}: {(error.stderr or '').strip().splitlines()[-1:]}"


def show(name, samples):
    if isinstance(samples, str):
        print(f"{name:<28} {samples}")
        return
    bar = f"{BARS[name]:.1f}" if name in BARS else ""
    print(f"{name:<28}{statistics.median(samples):>9.3f}{min(samples):>9.3f}{max(samples):>9.3f}{bar:>7}")


def machine(args):
    tools = {"lithify": args.lithify, "runc": "runc", "buildah": "buildah"}
    return {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "versions": {name: sides.version(command) for name, command in tools.items() if shutil.which(command)},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("lithify", "boot_files", "base"):
        parser.add_argument(name, type=os.path.abspath)
    args = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)

    where = machine(args)
    for name, value in where.items():
        print(f"{name}: {value}")
    print(f"\nbuilds, wall seconds of {SAMPLES} runs\n{'':<28}{'median':>9}{'min':>9}{'max':>9}{'bar':>7}")
    builder = Builder(args)
    results = {}
    for rows in (rebuilds(builder), run_true(builder), dict(others())):
        for name, samples in rows.items():
            show(name, samples)
        results.update(rows)
    shutil.rmtree(WORK)
    with open(os.path.join(sides.OUT, "builds.json"), "w", encoding="utf-8") as file:
        json.dump({"machine": where, "command": builder.command, "seconds": results}, file, indent=2)


if __name__ == "__main__":
    main()
