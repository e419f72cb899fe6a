#!/usr/bin/env python3
"""Measures how soon a frozen program is of use.

    benches/warm.py LITHIFY BOOT_FILES BASE [--runs N] [--json FILE]

A Python HTTP server, frozen when it listens, answers its first request: from the exec of `lithify run` on the compiled
artifact to the whole answer, through a published port: after a visit in the build, and without one. Beside it the same
server started cold. And a Python program that has imported much, frozen after that: from the exec to the first byte that it
prints, beside one that imported nothing. Each row has median, least and most milliseconds, and what the last run executed
and touched. The bar is 25 ms for the first request. Clients try again every 0.2 ms.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

PATIENCE = 60
BAR_MS = 25
RETRY = 0.0002

SERVER = """\
import http.server
http.server.ThreadingHTTPServer.request_queue_size = 128
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
VISITED = ["--warm", "port:8080", "--warm-get", "/"]
IMPORTS = "asyncio, decimal, email.message, http.server, json, logging.config, sqlite3, ssl, unittest, xml.dom.minidom"
PROGRAMS = {
    "server": SERVER,
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
        "FROM debian:trixie-slim\nWORKDIR /srv\nCOPY program.py index.html ./\nCMD [\"python3\", \"program.py\"]\n"
    )
    name = "-".join([program, *(option.strip("-").replace(":", "-").replace("/", "") for option in options)])
    wasm, compiled = folder / f"{name}.wasm", folder / f"{name}.cwasm"
    base = f"debian:trixie-slim=oci-layout://{args.base}"
    command = [args.lithify, "build", "--quiet", "--boot-files", args.boot, "--build-context", base]
    subprocess.run([*command, *options, "-o", wasm, context], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([args.lithify, "compile", wasm, "-o", compiled], check=True)
    return compiled


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def answer(port):
    """What the server says, or nothing if it does not yet."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""


def first_request(args, compiled):
    """Milliseconds from the exec to the answer."""
    port = free_port()
    command = [args.lithify, "run", "--stats=json", "-p", f"127.0.0.1:{port}:8080", compiled]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while not (text := answer(port)):
            if time.perf_counter() - start > PATIENCE or process.poll() is not None:
                sys.exit(f"{compiled.name}: no answer")
            time.sleep(RETRY)
        took = time.perf_counter() - start
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[1]
    if not text.endswith(b"hello\n"):
        sys.exit(f"{compiled.name}: wrong answer {text!r}")
    return took * 1000, counts(said)


def counts(said):
    """What `--stats=json` wrote behind all that the program did."""
    return json.loads(said.decode().splitlines()[-1])


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
    process.stdin.close()
    return took * 1000, counts(process.communicate()[1])


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
        ("first request, frozen after a visit", first_request, "server", VISITED, args.runs),
        ("first request, frozen at its port", first_request, "server", ["--warm", "port:8080"], args.runs),
        ("first request, server started cold", first_request, "server", [], min(args.runs, 5)),
        ("first byte, frozen after imports", first_byte, "imports", ["--warm", "line:^ready$"], args.runs),
        ("first byte, frozen without imports", first_byte, "nothing", ["--warm", "line:^ready$"], args.runs),
        ("first byte, imports made cold", first_byte, "imports", [], min(args.runs, 5)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for name, measure, program, options, runs in cases:
            compiled = build(args, pathlib.Path(folder), program, *options)
            measure(args, compiled)
            rows.append(row(name, [measure(args, compiled) for _ in range(runs)]))
    median = statistics.median(rows[0]["samples"])
    print(f"bar for the first request: {BAR_MS} ms, {'met' if median <= BAR_MS else 'missed'} ({median:.1f} ms)")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
