#!/usr/bin/env python3
"""Measures pulls of one large artifact against `skopeo copy` from the same registry.

    benches/registry.py LITHIFY [--megabytes N]

Debian's docker-registry serves on this machine. Both sides write to empty folders on the same disk and take
turns. Prints the samples, the medians, the ratio of speeds, and the peak memory of both.
"""

import argparse
import hashlib
import json
import os
import pathlib
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 5


def write_layout(folder, megabytes):
    """An OCI layout of an artifact with one module of random bytes."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    module = hashlib.sha256()
    with open(blobs / "module", "wb") as file:
        for _ in range(megabytes):
            chunk = os.urandom(1 << 20)
            module.update(chunk)
            file.write(chunk)
    (blobs / "module").rename(blobs / module.hexdigest())
    layer = {"mediaType": "application/wasm", "digest": f"sha256:{module.hexdigest()}", "size": megabytes << 20}
    config = put(json.dumps({"architecture": "wasm", "os": "wasip1", "layerDigests": [layer["digest"]]}).encode())
    config["mediaType"] = "application/vnd.wasm.config.v0+json"
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [layer]}
    entry = put(json.dumps(manifest).encode())
    entry["mediaType"] = manifest_type
    entry["annotations"] = {"org.opencontainers.image.ref.name": "large"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def start_registry(folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
    )
    server = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return server, f"127.0.0.1:{port}/large:1"
        except OSError:
            time.sleep(0.05)


def timed(command, home):
    """Seconds and peak memory in bytes."""
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    # What earlier rounds wrote must not be flushed on this one's time.
    os.sync()
    start = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    if status:
        sys.exit(f"{command} ended with {status}")
    return seconds, usage.ru_maxrss << 10


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("lithify")
    arguments.add_argument("--megabytes", type=int, default=1024)
    given = arguments.parse_args()
    lithify = os.path.abspath(given.lithify)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        folder = pathlib.Path(name)
        write_layout(folder / "layout", given.megabytes)
        server, image = start_registry(folder)
        try:
            skopeo = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"]
            timed([*skopeo, f"oci:{folder}/layout:large", f"docker://{image}"], folder)
            sides = {
                "lithify": lambda home: [lithify, "pull", "-q", image],
                "skopeo": lambda home: [*skopeo, f"docker://{image}", f"oci:{home}/layout:large"],
            }
            samples = {side: [] for side in sides}
            for _ in range(ROUNDS):
                for side, command in sides.items():
                    with tempfile.TemporaryDirectory(dir=folder) as home:
                        samples[side].append(timed(command(home), home))
        finally:
            server.kill()
            server.wait()
    print(f"{platform.platform()}, {os.cpu_count()} processors, {given.megabytes} MiB")
    median = {}
    for side, measured in samples.items():
        seconds = [round(second, 2) for second, _ in measured]
        median[side] = statistics.median(seconds)
        peak = max(memory for _, memory in measured) / 1e6
        print(f"{side:8} {median[side]:6.2f} s  {given.megabytes / median[side]:7.0f} MiB/s  peak {peak:.0f} MB  {seconds}")
    print(f"speed of lithify relative to skopeo: {median['skopeo'] / median['lithify']:.2f}")


if __name__ == "__main__":
    main()
