"""Tars, OCI layouts and streams as no honest program writes them."""

import gzip
import hashlib
import json
import os

BLOCK = 512
LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
PLATFORM = {"architecture": "riscv64", "os": "linux"}
END = bytes(2 * BLOCK)


def pad(data):
    return data + bytes(-len(data) % BLOCK)


def header(name, kind=b"0", size=0, link=b"", mode=0o755, **fields):
    """A ustar header. `fields` are raw bytes for `uid`, `mtime`, `devmajor`, `checksum` or `gnu`, and
    `size` may be such, too."""
    raw = bytearray(BLOCK)

    def put(at, value):
        raw[at : at + len(value)] = value

    put(0, name[:100])
    put(100, b"%07o\0" % mode)
    put(108, fields.get("uid", b"0000000\0"))
    put(116, b"0000000\0")
    put(124, size if isinstance(size, bytes) else b"%011o\0" % size)
    put(136, fields.get("mtime", b"00000000000\0"))
    put(148, b" " * 8)
    put(156, kind)
    put(157, link[:100])
    put(257, b"ustar  \0" if "gnu" in fields else b"ustar\x0000")
    put(329, fields.get("devmajor", b"0000001\0"))
    put(337, b"0000003\0")
    put(386, fields.get("gnu", b""))
    put(148, fields.get("checksum", b"%06o\0 " % sum(raw)))
    return bytes(raw)


def entry(name, data=b"", **fields):
    return header(name, size=len(data), **fields) + pad(data)


def directory(name):
    return header(name, b"5")


def symlink(name, target):
    return header(name, b"2", link=target)


def hardlink(name, target):
    return header(name, b"1", link=target)


def record(key, value):
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def pax(*records, raw=None):
    """An extended header for the entry that follows."""
    data = raw if raw is not None else b"".join(record(key, value) for key, value in records)
    return entry(b"PaxHeaders", data, kind=b"x")


def sparse(parts, real_size):
    """The fields of an old GNU sparse header from 386 on, `parts` as offset and length."""
    body = b"".join(b"%011o\0%011o\0" % part for part in parts).ljust(96, b"\0")
    return body + b"\0" + b"%011o\0" % real_size


def zeros_gzip(mebibytes):
    """Many members, each of 16 MiB of zeros."""
    return gzip.compress(bytes(16 << 20), 9, mtime=0) * (mebibytes // 16)


def zeros_zstd(mebibytes):
    """One frame of RLE blocks (RFC 8878): four bytes for each 128 KiB."""
    size = 128 << 10
    block = lambda last: (last | 1 << 1 | size << 3).to_bytes(3, "little") + b"\0"
    return bytes.fromhex("28b52ffd0038") + block(0) * (mebibytes * 8 - 1) + block(1)


class Layout:
    """An image whose parts may contradict each other."""

    def __init__(self, folder):
        self.folder = folder
        self.blobs = os.path.join(folder, "blobs/sha256")
        os.makedirs(self.blobs)
        self.write("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')

    def write(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(data)

    def blob(self, kind, data):
        digest = hashlib.sha256(data).hexdigest()
        self.write(f"blobs/sha256/{digest}", data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    def json(self, kind, value):
        return self.blob(kind, json.dumps(value).encode())

    def index(self, *manifests):
        self.write("index.json", json.dumps({"schemaVersion": 2, "manifests": list(manifests)}).encode())

    def manifest(self, config, layers):
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        return {**self.json(MANIFEST, manifest), "platform": PLATFORM}

    def config(self, diff_ids, **settings):
        rootfs = {"type": "layers", "diff_ids": diff_ids}
        return self.json(CONFIG, {**PLATFORM, "rootfs": rootfs, "config": settings})

    def image(self, tars, stored=None, diff_ids=None, **settings):
        """`stored` are the layers as they lie in the layout, if not as the `tars`."""
        layers = [self.blob(LAYER, data) for data in stored or tars]
        diff_ids = diff_ids or ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]
        self.index(self.manifest(self.config(diff_ids, **settings), layers))
