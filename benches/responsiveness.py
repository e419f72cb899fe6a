#!/usr/bin/env python3
"""Measures what an idle container costs, and how soon a key is echoed.

    benches/responsiveness.py LITHIFY BOOT_FILES BASE [--seconds N] [--keys N]

Runs the Debian base image by `lithify run`. The cost is processor time of the whole process, in percent of the
time that it idles. The echo is the guest's: bash shows what is typed at its prompt, by its own line editor; cat has
the guest's terminal show it. One key at a time, each from the write into the terminal to the read of the same letter.
"""

import argparse
import contextlib
import os
import pathlib
import platform
import pty
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time

# What has not appeared by then never will.
PATIENCE = 60
# Starting and the last timers of a start are over.
SETTLE = 3


def built(args, folder):
    (folder / "Dockerfile").write_text("FROM debian:trixie-slim\n")
    context = f"debian:trixie-slim=oci-layout://{args.base}"
    wasm, compiled = folder / "debian.wasm", folder / "debian.cwasm"
    build = [args.lithify, "build", "--quiet", "--boot-files", args.boot, "--build-context", context]
    subprocess.run([*build, "-o", wasm, folder], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([args.lithify, "compile", wasm, "-o", compiled], check=True)
    return compiled


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command):
        self.child, self.master = pty.fork()
        if self.child == 0:
            os.execv(command[0], [os.fspath(word) for word in command])
        self.seen = b""

    def expect(self, text):
        end = time.monotonic() + PATIENCE
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            if not ready:
                sys.exit(f"{text} is not in {self.seen}")
            self.seen += os.read(self.master, 4096)
        self.seen = self.seen.split(text, 1)[1]

    def echo_seconds(self, key):
        start = time.perf_counter()
        os.write(self.master, key)
        self.expect(key)
        return time.perf_counter() - start

    def end(self):
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        os.close(self.master)


@contextlib.contextmanager
def on_terminal(command):
    terminal = Terminal(command)
    try:
        yield terminal
    finally:
        terminal.end()


def processor_seconds(process):
    """Of all threads, to the nanosecond, which `stat` would round to ticks."""
    threads = pathlib.Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def idle_percent(process, seconds):
    time.sleep(SETTLE)
    start, before = time.monotonic(), processor_seconds(process)
    time.sleep(seconds)
    return 100 * (processor_seconds(process) - before) / (time.monotonic() - start)


def print_idle(args, run, artifact):
    sleeper = subprocess.Popen([*run, artifact, "sleep", "1000"])
    try:
        percent = idle_percent(sleeper.pid, args.seconds)
    finally:
        sleeper.kill()
        sleeper.wait()
    print(f"idle, sleep: {percent:.3f} % of a processor over {args.seconds} s")
    with on_terminal([*run, "-it", "-e", "PS1=ready> ", artifact, "bash", "--norc"]) as terminal:
        terminal.expect(b"ready> ")
        percent = idle_percent(terminal.child, args.seconds)
    print(f"idle, bash on a terminal: {percent:.3f} % of a processor over {args.seconds} s")


def print_echo(args, run, artifact, name, words, prompt):
    with on_terminal([*run, "-it", "-e", "PS1=ready> ", artifact, *words]) as terminal:
        terminal.expect(prompt)
        time.sleep(SETTLE)
        samples = []
        for number in range(args.keys):
            samples.append(terminal.echo_seconds(b"%c" % (ord("a") + number % 26)))
            time.sleep(0.02)
    milliseconds = sorted(1000 * sample for sample in samples)
    median, late = statistics.median(milliseconds), milliseconds[int(0.95 * len(milliseconds))]
    print(
        f"echo by {name}: median {median:.2f} ms, 95 % within {late:.2f} ms, max {milliseconds[-1]:.2f} ms,"
        f" {args.keys} keys"
    )


def main():
    parser = argparse.ArgumentParser()
    for name in ("lithify", "boot", "base"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--keys", type=int, default=100)
    args = parser.parse_args()
    run = [args.lithify, "run"]
    with tempfile.TemporaryDirectory() as name:
        artifact = built(args, pathlib.Path(name))
        print(f"{platform.platform()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
        print_idle(args, run, artifact)
        bash = ["bash", "--norc"]
        print_echo(args, run, artifact, "the terminal", ["sh", "-c", "echo ready; exec cat"], b"ready\r\n")
        print_echo(args, run, artifact, "bash", bash, b"ready> ")


if __name__ == "__main__":
    main()
