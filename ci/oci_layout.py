#!/usr/bin/env python3
"""Writes an OCI image layout that holds one image of one layer.

The same layer and arguments give the same bytes.
"""

import argparse
import datetime
import gzip
import hashlib
import json
import os
import shutil

MEDIA = "application/vnd.oci.image"
# Of the gzip stream: beyond it Debian's base loses 1 % of size for twice the time.
COMPRESSION_LEVEL = 6
COPY_CHUNK = 1 << 20


class Layout:
    """A layout directory under construction."""

    def __init__(self, path):
        self.blobs = os.path.join(path, "blobs", "sha256")
        self.path = path
        os.makedirs(self.blobs)

    def descriptor(self, media_type, digest, size):
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}

    def add_json(self, media_type, value):
        data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.blobs, digest), "wb") as blob:
            blob.write(data)
        return self.descriptor(media_type, digest, len(data))

    def add_layer(self, tar_path):
        """Returns the descriptor of the compressed layer and the digest of its tar (the diff id)."""
        part = os.path.join(self.path, "layer.part")
        diff_id = hashlib.sha256()
        with open(tar_path, "rb") as tar, open(part, "wb") as raw:
            # Name and time in the gzip header would be those of this run.
            with gzip.GzipFile("", "wb", COMPRESSION_LEVEL, raw, mtime=0) as packed:
                while chunk := tar.read(COPY_CHUNK):
                    diff_id.update(chunk)
                    packed.write(chunk)
        with open(part, "rb") as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()
        size = os.path.getsize(part)
        shutil.move(part, os.path.join(self.blobs, digest))
        return self.descriptor(f"{MEDIA}.layer.v1.tar+gzip", digest, size), diff_id.hexdigest()

    def finish(self, manifest, reference):
        manifest["annotations"] = {"org.opencontainers.image.ref.name": reference}
        index = {"schemaVersion": 2, "mediaType": f"{MEDIA}.index.v1+json", "manifests": [manifest]}
        with open(os.path.join(self.path, "oci-layout"), "w", encoding="ascii") as file:
            json.dump({"imageLayoutVersion": "1.0.0"}, file)
        with open(os.path.join(self.path, "index.json"), "w", encoding="ascii") as file:
            json.dump(index, file, sort_keys=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layer", required=True, help="the root file system, an uncompressed tar")
    parser.add_argument("--architecture", required=True, help="GOARCH name")
    parser.add_argument("--reference", required=True, help="tag in the layout's index")
    parser.add_argument("--created", required=True, type=int, help="seconds since 1970")
    parser.add_argument("out", help="directory to make; must not exist")
    args = parser.parse_args()

    layout = Layout(args.out)
    layer, diff_id = layout.add_layer(args.layer)
    created = datetime.datetime.fromtimestamp(args.created, datetime.timezone.utc)
    created = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    platform = {"architecture": args.architecture, "os": "linux"}
    config = layout.add_json(f"{MEDIA}.config.v1+json", {
        **platform,
        "created": created,
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["bash"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        "history": [{"created": created, "created_by": "ci/debian-base.sh"}],
    })
    manifest = layout.add_json(f"{MEDIA}.manifest.v1+json", {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA}.manifest.v1+json",
        "config": config,
        "layers": [layer],
    })
    manifest["platform"] = platform
    layout.finish(manifest, args.reference)


if __name__ == "__main__":
    main()
