"""Makes an OCI layout: a base image with layers by GNU tar and by Python's tarfile on top, which use
everything that layers can say; and prints what `listing.py` must see of it below /rt.

Usage: layers.py BASE LAYOUT
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

base, layout = sys.argv[1:]
work = layout + ".work"
blobs = os.path.join(layout, "blobs/sha256")
HUGE = 6 << 30
PIECE = 1 << 20
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
LONG = "n" * 255
DEEP = "deep/" * 30


def text(name):
    return "".join(
        chr(byte) if 0x20 < byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in os.fsencode(name)
    )


class Expected:
    """The final state, written down independently of any layer."""

    def __init__(self):
        self.nodes = {}

    def put(self, path, what, mode, uid, gid, mtime, xattrs=None, names=None):
        names = sorted(names or [path], key=os.fsencode)
        for name in names:
            self.nodes[name] = (what, mode, uid, gid, mtime, xattrs or {}, names)

    def lines(self):
        listings = {}
        for path in self.nodes:
            listings.setdefault(os.path.dirname(path), []).append(path)
        directories = [""]
        first = {}
        while directories:
            directory = directories.pop()
            paths = sorted(listings.get(directory, []), key=os.fsencode)
            lines = [self.line(path, first) for path in paths]
            if len(lines) > 1000:
                sha = hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()
                lines = [f"{text(directory)}/ {len(lines)} entries sha256={sha}"]
            yield from lines
            directories += [path for path in reversed(paths) if self.nodes[path][0] == "dir"]

    def line(self, path, first):
        what, mode, uid, gid, mtime, xattrs, names = self.nodes[path]
        parts = [text(path), what, f"mode={mode:04o}", f"uid={uid}", f"gid={gid}", f"mtime={mtime}"]
        if what != "dir":
            parts.append(f"nlink={len(names)}")
            parts.append("first=" + text(first.setdefault(names[0], path)))
        return " ".join(parts + [f"{name}={value.hex()}" for name, value in sorted(xattrs.items())])


def file_of(data):
    return f"file size={len(data)} sha256={hashlib.sha256(data).hexdigest()}"


def sparse_of(size, pieces):
    """What the listing says of zeros with `pieces` (offset to bytes), of which it hashes three."""
    sha = hashlib.sha256()
    for start in (0, size // 2, size - PIECE):
        window = bytearray(PIECE)
        for at, data in pieces.items():
            if start <= at < start + PIECE:
                window[at - start : at - start + len(data)] = data
        sha.update(window)
    return f"file size={size} sha256={sha.hexdigest()}"


expected = Expected()


class Folder:
    """Files of the host that GNU tar makes a layer of."""

    def __init__(self, name, *options):
        self.root = os.path.join(work, name)
        self.options = options
        self.times = {}
        os.makedirs(os.path.join(self.root, "rt"))

    def path(self, path):
        full = os.path.join(self.root, "rt", path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        return full

    def time(self, path, mode, mtime):
        full = self.path(path)
        os.chmod(full, mode)
        self.times[full] = mtime

    def file(self, path, data, mode, mtime):
        with open(self.path(path), "wb") as file:
            file.write(data)
        self.time(path, mode, mtime)

    def sparse(self, path, size, pieces, mode, mtime):
        with open(self.path(path), "wb") as file:
            file.truncate(size)
            for at, data in pieces.items():
                file.seek(at)
                file.write(data)
        self.time(path, mode, mtime)

    def directory(self, path, mode, mtime):
        os.makedirs(self.path(path), exist_ok=True)
        self.time(path, mode, mtime)

    def tar(self):
        # Times last: making an entry changes its directory's.
        for full, mtime in self.times.items():
            os.utime(full, (mtime, mtime))
        out = self.root + ".tar"
        owner = ["--owner=:1234", "--group=:70000", "--numeric-owner", "--sort=name"]
        subprocess.run(["tar", "-C", self.root, *self.options, *owner, "-cf", out, "rt"], check=True)
        return out


class Archive:
    """A layer by Python's tarfile."""

    def __init__(self, name, form):
        self.path = os.path.join(work, name + ".tar")
        self.out = tarfile.open(self.path, "w", format=form)

    def add(self, path, kind, mode, uid=0, gid=0, mtime=0, data=b"", link="", device=(0, 0), xattrs=None):
        info = tarfile.TarInfo("rt/" + path)
        info.type, info.mode, info.uid, info.gid, info.mtime = kind, mode, uid, gid, mtime
        info.size, info.linkname = len(data), link
        info.devmajor, info.devminor = device
        named = {f"SCHILY.xattr.{name}": value for name, value in (xattrs or {}).items()}
        info.pax_headers = {name: value.decode("utf-8", "surrogateescape") for name, value in named.items()}
        self.out.addfile(info, io.BytesIO(data))

    def tar(self):
        self.out.close()
        return self.path


def first_layer():
    layer = Folder("first", "--format=pax", "--sparse")
    layer.directory("", 0o755, 1_000_000_000)
    modes = {"plain": 0o640, "suid": 0o4755, "sgid": 0o2711, "none": 0, LONG: 0o600, DEEP + LONG: 0o644}
    for number, (path, mode) in enumerate(modes.items()):
        data = path.encode() * 7
        layer.file(path, data, mode, 1_100_000_000 + number)
        expected.put(path, file_of(data), mode, 1234, 70000, 1_100_000_000 + number)
    for end in range(1, 31):
        path = "/".join(["deep"] * end)
        layer.directory(path, 0o750, 1_200_000_000 + end)
        expected.put(path, "dir", 0o750, 1234, 70000, 1_200_000_000 + end)
    layer.directory("sticky", 0o1777, 86_400)
    expected.put("sticky", "dir", 0o1777, 1234, 70000, 86_400)
    layer.file(b"latin\xe9".decode("utf-8", "surrogateescape"), b"x", 0o644, 1)
    expected.put(os.fsdecode(b"latin\xe9"), file_of(b"x"), 0o644, 1234, 70000, 1)
    os.symlink("../plain", layer.path("link"))
    os.utime(layer.path("link"), (5, 5), follow_symlinks=False)
    expected.put("link", "symlink target=../plain", 0o777, 1234, 70000, 5)
    os.mkfifo(layer.path("fifo"))
    layer.time("fifo", 0o604, 6)
    expected.put("fifo", "fifo", 0o604, 1234, 70000, 6)
    layer.file("hard/1", b"linked", 0o644, 7)
    os.link(layer.path("hard/1"), layer.path("hard/2"))
    layer.directory("hard", 0o755, 8)
    pieces = {0: b"start", HUGE // 2 + 70_000: b"middle", HUGE - 3: b"end"}
    layer.sparse("huge", HUGE, pieces, 0o644, 9)
    expected.put("huge", sparse_of(HUGE, pieces), 0o644, 1234, 70000, 9)
    # What upper layers hide.
    for path in ["gone/a", "gone/b/c", "anew/old", "opaque/old", "opaque/dir/old", "opaque/kept", "file"]:
        layer.file(path, b"lower", 0o644, 10)
    return layer.tar()


def second_layer():
    layer = Archive("second", tarfile.PAX_FORMAT)
    xattrs = {"user.note": b"a=b\nc", "user.empty": b"", "user.long": b"v" * 3000}
    layer.add("noted", tarfile.REGTYPE, 0o644, 1, 2, 11, b"noted", xattrs=xattrs)
    expected.put("noted", file_of(b"noted"), 0o644, 1, 2, 11, xattrs)
    capability = {"security.capability": CAPABILITY}
    layer.add("ping", tarfile.REGTYPE, 0o755, 0, 0, 12, b"elf", xattrs=capability)
    layer.add("ping6", tarfile.LNKTYPE, 0o755, link="rt/ping")
    expected.put("ping", file_of(b"elf"), 0o755, 0, 0, 12, capability, ["ping", "ping6"])
    layer.add("noted-dir", tarfile.DIRTYPE, 0o700, 3_000_000, 4_000_000_000, 2**32 - 1, xattrs={"user.d": b"1"})
    expected.put("noted-dir", "dir", 0o700, 3_000_000, 4_000_000_000, 2**32 - 1, {"user.d": b"1"})
    layer.add("null", tarfile.CHRTYPE, 0o666, 0, 0, 13, device=(1, 3))
    expected.put("null", "char rdev=1:3", 0o666, 0, 0, 13)
    layer.add("disk", tarfile.BLKTYPE, 0o660, 0, 6, 14, device=(4095, 1_048_575))
    expected.put("disk", "block rdev=4095:1048575", 0o660, 0, 6, 14)
    # A third name, of a file that a lower layer has.
    layer.add("hard/3", tarfile.LNKTYPE, 0o644, link="rt/hard/1")
    expected.put("hard/1", file_of(b"linked"), 0o644, 1234, 70000, 7, names=["hard/1", "hard/2", "hard/3"])
    layer.add("hard", tarfile.DIRTYPE, 0o711, 8, 8, 15)
    expected.put("hard", "dir", 0o711, 8, 8, 15)
    layer.add(".wh.gone", tarfile.REGTYPE, 0)
    layer.add(".wh.anew", tarfile.REGTYPE, 0)
    layer.add("anew", tarfile.DIRTYPE, 0o755, 0, 0, 16)
    layer.add("anew/new", tarfile.REGTYPE, 0o644, 0, 0, 17, b"upper")
    expected.put("anew", "dir", 0o755, 0, 0, 16)
    expected.put("anew/new", file_of(b"upper"), 0o644, 0, 0, 17)
    layer.add("opaque", tarfile.DIRTYPE, 0o755, 0, 0, 18)
    layer.add("opaque/kept", tarfile.REGTYPE, 0o644, 0, 0, 19, b"upper")
    layer.add("opaque/.wh..wh..opq", tarfile.REGTYPE, 0)
    expected.put("opaque", "dir", 0o755, 0, 0, 18)
    expected.put("opaque/kept", file_of(b"upper"), 0o644, 0, 0, 19)
    layer.add("file", tarfile.DIRTYPE, 0o755, 0, 0, 20)
    expected.put("file", "dir", 0o755, 0, 0, 20)
    layer.add("big", tarfile.DIRTYPE, 0o755, 0, 0, 21)
    expected.put("big", "dir", 0o755, 0, 0, 21)
    for number in range(60_000):
        name = f"big/{number:05}-" + "x" * (number % 40)
        layer.add(name, tarfile.REGTYPE, 0o644, number % 100, 0, number)
        expected.put(name, file_of(b""), 0o644, number % 100, 0, number)
    return layer.tar()


def sparse_layer(name, size, *options):
    layer = Folder(name, "--sparse", *options)
    pieces = {0: name.encode(), size // 2: b"m" * 5000, size - PIECE + 1: b"tail"}
    layer.sparse(name, size, pieces, 0o644, 22)
    layer.directory("", 0o755, 1_000_000_001)
    expected.put(name, sparse_of(size, pieces), 0o644, 1234, 70000, 22)
    return layer.tar()


def add_blob(data):
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(blobs, digest), "wb") as file:
        file.write(data)
    return digest


def descriptor(kind, digest):
    size = os.path.getsize(os.path.join(blobs, digest))
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": size}


def read_blob(descriptor):
    with open(os.path.join(base, "blobs/sha256", descriptor["digest"].removeprefix("sha256:"))) as file:
        return json.load(file)


shutil.copytree(base, layout)
with open(os.path.join(base, "index.json")) as file:
    manifest = read_blob(json.load(file)["manifests"][0])
config = read_blob(manifest["config"])
tars = [
    first_layer(),
    second_layer(),
    sparse_layer("old-gnu", 100 << 20, "--format=gnu"),
    sparse_layer("pax-0.0", 101 << 20, "--format=pax", "--sparse-version=0.0"),
    sparse_layer("pax-0.1", 102 << 20, "--format=pax", "--sparse-version=0.1"),
    sparse_layer("pax-1.0", 103 << 20, "--format=pax", "--sparse-version=1.0"),
]
for tar in tars:
    with open(tar, "rb") as file:
        digest = add_blob(file.read())
    manifest["layers"].append(descriptor("layer.v1.tar", digest))
    config["rootfs"]["diff_ids"].append(f"sha256:{digest}")
manifest["config"] = descriptor("config.v1+json", add_blob(json.dumps(config).encode()))
top = descriptor("manifest.v1+json", add_blob(json.dumps(manifest).encode()))
top["platform"] = {"architecture": "riscv64", "os": "linux"}
with open(os.path.join(layout, "index.json"), "w") as file:
    json.dump({"schemaVersion": 2, "manifests": [top]}, file)
shutil.rmtree(work)
for each in expected.lines():
    print(each)
