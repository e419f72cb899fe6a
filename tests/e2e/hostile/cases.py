"""Makes hostile builds, each in a folder: `context` with a Dockerfile, perhaps a `layout` that it is
FROM, and `expected`: `accepted`, or `refused` and the parts that the message must have, one a line.

Usage: cases.py FOLDER VICTIM quick|slow, where no build may change or show anything of VICTIM.
"""

import gzip
import json
import os
import sys

sys.dont_write_bytecode = True

from forge import CONFIG, END, INDEX, LAYER, MANIFEST, Layout, directory, entry, hardlink, header, pad
from forge import pax, sparse, symlink, zeros_gzip, zeros_zstd

folder, victim = sys.argv[1], os.fsencode(sys.argv[2])
ACCEPTED = None


def case(name, expected, dockerfile="FROM base\nCOPY Dockerfile /\n", files=None, links=None):
    """Writes all of a case but the layout, whose folder it returns."""
    root = os.path.join(folder, name)
    os.makedirs(os.path.join(root, "context"))
    contents = {"Dockerfile": dockerfile, **(files or {})}
    for path, data in contents.items():
        with open(os.path.join(root, "context", path), "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
    for path, target in (links or {}).items():
        os.symlink(target, os.path.join(root, "context", path))
    lines = ["accepted"] if expected is ACCEPTED else ["refused", *expected]
    with open(os.path.join(root, "expected"), "w") as file:
        file.write("\n".join(lines))
    return os.path.join(root, "layout")


def layer(name, expected, *parts, end=END):
    Layout(case("layer-" + name, expected)).image([b"".join(parts) + end])


def layers(name, expected, *tars):
    Layout(case("layers-" + name, expected)).image([tar + END for tar in tars])


def stream(name, expected, tar, stored):
    Layout(case("stream-" + name, expected)).image([tar], [stored])


def text(name, expected, dockerfile, **more):
    Layout(case("dockerfile-" + name, expected, dockerfile, **more)).image([END])


def escapes():
    layer("up", ["`..`", "../evil"], entry(b"../evil", b"x"))
    layer("up-inside", ["`..`", "a/../../evil"], entry(b"a/../../evil", b"x"))
    layer("up-in-pax", ["`..`", "evil"], pax((b"path", b"a/../../evil")), entry(b"a", b"x"))
    layer("absolute", ACCEPTED, entry(victim + b"/evil", b"x"))
    layer("symlink-absolute", ACCEPTED, symlink(b"out", victim), entry(b"out/evil", b"x"))
    up = b"../" * 20 + victim[1:]
    layer("symlink-relative", ACCEPTED, symlink(b"out", up), entry(b"out/evil", b"x"))
    layers("symlink-below", ACCEPTED, symlink(b"out", victim), entry(b"out/evil", b"x"))
    layer("symlink-loop", ["too many symbolic links"], symlink(b"a", b"b"), symlink(b"b", b"a"), entry(b"a/x"))
    layer("symlink-to-itself", ["too many symbolic links"], symlink(b"a", b"a/a/a"), entry(b"a/x"))
    doubling = [symlink(b"l%d" % n, b"l%d/l%d" % (n - 1, n - 1)) for n in range(1, 60)]
    layer("symlink-doubling", ["too many symbolic links"], directory(b"l0"), *doubling, entry(b"l59/x"))
    layer("symlink-to-file", ["is not a directory"], entry(b"f"), symlink(b"a", b"f"), entry(b"a/x"))
    layer("hardlink-up", ["`..`", "evil"], hardlink(b"evil", b"../../etc/passwd"))
    layer("hardlink-absolute", ["does not exist"], hardlink(b"evil", b"/etc/passwd"))
    layer("hardlink-by-symlink", ["does not exist"], symlink(b"out", b"/etc"), hardlink(b"evil", b"out/passwd"))
    layer("hardlink-to-directory", ["cannot be hard linked"], directory(b"d"), hardlink(b"evil", b"d"))
    layer("hardlink-to-itself", ["does not exist"], hardlink(b"evil", b"evil"))
    layer("hardlink-to-nothing", ["link without a usable target"], hardlink(b"evil", b""))


def whiteouts():
    layer("whiteout-of-nothing", ["names no file", ".wh."], entry(b"d/.wh."))
    layer("whiteout-of-dot", ["names no file", ".wh.."], entry(b"d/.wh.."))
    layer("whiteout-of-parent", ["names no file", ".wh..."], entry(b"d/.wh..."))
    layer("whiteout-as-directory-name", ACCEPTED, entry(b".wh./evil"))
    layer("whiteout-up", ["`..`"], entry(b"../.wh.etc"))
    layers("whiteout-by-symlink", ACCEPTED, symlink(b"out", victim), entry(b"out/.wh.secret"))
    layers("opaque-directory", ACCEPTED, entry(b"d/x"), directory(b"d/.wh..wh..opq"))
    layers("opaque-by-symlink", ACCEPTED, symlink(b"out", victim), entry(b"out/.wh..wh..opq"))


def headers():
    layer("size-octal", ["beyond the archive's end"], header(b"f", size=0o77777777777))
    layer("size-negative", ["layer", "byte 0"], header(b"f", size=b"\xff" * 12))
    layer("size-base-256", ["layer"], header(b"f", size=b"\x80" + b"\xff" * 11))
    layer("size-pax", ["PAX", "size"], pax((b"size", b"99999999999999999999")), entry(b"f"))
    layer("size-pax-wraps", ["beyond the archive's end"], pax((b"size", b"18446744073709551615")), entry(b"f"))
    layer("size-text", ["unreadable size"], header(b"f", size=b"12 34x     \0"))
    layer("checksum", ["wrong checksum"], header(b"f", checksum=b"000000\0 "))
    layer("garbage", ["wrong checksum"], bytes(range(256)) * 4)
    layer("truncated-header", ["ends within"], entry(b"f"), header(b"g")[:100], end=b"")
    layer("truncated-data", ["beyond the archive's end"], header(b"f", size=5000), end=b"")
    layer("unknown-type", ["unsupported entry type `Z`"], header(b"f", b"Z"))
    layer("uid", ["unreadable uid"], header(b"f", uid=b"\xff" * 8))
    layer("mtime", ACCEPTED, header(b"f", mtime=b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7))
    layer("device", ["device number 2097151:3 is out of range"], header(b"f", b"3", devmajor=b"7777777\0"))
    layer("nul-in-name", ["NUL"], pax((b"path", b"a\0b")), entry(b"f"))
    layer("name-of-nothing", ["is not a directory"], pax((b"path", b"")), entry(b""))
    layer("name-too-long", ["a name exceeds the limit of 255 bytes"], pax((b"path", b"n" * 256)), entry(b"f"))
    layer("path-too-long", ["a path exceeds the limit of 4096 bytes"], pax((b"path", b"d/" * 100_000)), directory(b"d"))
    layer("path-too-deep", ["512 directories"], pax((b"path", b"d/" * 600)), directory(b"d"))
    layer("target-too-long", ["symbolic link's target exceeds"], pax((b"linkpath", b"t" * 5000)), symlink(b"f", b"t"))
    layer("pax-huge", ["extended header", "exceeds the limit of 1048576 bytes"], pax(raw=b"x" * (2 << 20)), entry(b"f"))
    layer("pax-length", ["malformed PAX record"], pax(raw=b"9999 path=x\n"), entry(b"f"))
    layer("pax-no-key", ["malformed PAX record"], pax(raw=b"6 abc\n"), entry(b"f"))
    layer("long-name-huge", ["extended header", "limit"], entry(b"l", b"n" * (2 << 20), kind=b"L"), entry(b"f"))
    layer("xattr-value", ["attribute's value exceeds"], pax((b"SCHILY.xattr.user.a", b"v" * 70_000)), entry(b"f"))
    layer("xattr-name", ["attribute's name exceeds"], pax((b"SCHILY.xattr.user." + b"a" * 300, b"v")), entry(b"f"))
    many = [(b"SCHILY.xattr.user.%d" % number, b"") for number in range(20_000)]
    layer("xattr-many", ACCEPTED, pax(*many), entry(b"f"))


def sparse_files():
    overlap = sparse([(0, 10), (5, 10)], 100)
    layer("sparse-overlap", ["sparse map with overlaps"], entry(b"f", b"x" * 20, kind=b"S", gnu=overlap))
    beyond = sparse([(95, 10)], 100)
    layer("sparse-beyond", ["beyond the file's end"], entry(b"f", b"x" * 10, kind=b"S", gnu=beyond))
    short = sparse([(0, 10)], 100)
    layer("sparse-uncovered", ["does not cover"], entry(b"f", b"x" * 20, kind=b"S", gnu=short))
    one = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"%d" % 2**62)]
    layer("sparse-huge", ["68719476736 bytes"], pax(*one), entry(b"f", pad(b"0\n")))
    layer("sparse-count", ["65536 extents"], pax(*one), entry(b"f", pad(b"99999999\n")))
    layer("sparse-wraps", ["sparse map"], pax(*one), entry(b"f", pad(b"1\n%d\n%d\n" % (2**64 - 5, 10))))
    layer("sparse-no-map", ["unreadable sparse map"], pax(*one), entry(b"f", b""))
    odd = [(b"GNU.sparse.map", b"0,1,2"), (b"GNU.sparse.size", b"10")]
    layer("sparse-odd", ["odd length"], pax(*odd), entry(b"f", b"x"))
    terabytes = one[:2] + [(b"GNU.sparse.realsize", b"%d" % (64 << 30))]
    parts = [pax(*terabytes) + entry(b"f%d" % number, pad(b"0\n")) for number in range(40)]
    layer("sparse-many", ACCEPTED, *parts)


def counts():
    tar = entry(b"f") * (1 << 20) + entry(b"g") + END
    stream("million-entries", ["1048576 tar entries"], tar, gzip.compress(tar, 1))
    deep = b"".join(directory(b"d/" * (n * 8)) for n in range(1, 12))
    layer("directories-below", ACCEPTED, deep)


def streams():
    tar = entry(b"f", b"x" * 100_000) + END
    packed = gzip.compress(tar)
    stream("gzip-bomb", ["expands"], b"", zeros_gzip(2048))
    stream("zstd-bomb", ["expands"], b"", zeros_zstd(2048))
    stream("gzip-cut", ["layer"], tar, packed[:-20])
    damaged = bytearray(packed)
    damaged[-6] ^= 1
    stream("gzip-checksum", ["layer"], tar, bytes(damaged))
    stream("zstd-cut", ["layer"], bytes(1 << 20), zeros_zstd(1)[:-9])
    stream("zstd-nothing", ["layer"], tar, bytes.fromhex("28b52ffd"))
    stream("diff-id", ["uncompressed", "digest"], tar + END, packed)


def layouts():
    tar = entry(b"f", b"x") + END
    layout = Layout(case("layout-digest", ["digest", "damaged or was replaced"]))
    layout.image([tar])
    blob = layout.blob(LAYER, tar)
    layout.write("blobs/sha256/" + blob["digest"][7:], tar[:512] + b"y" + tar[513:])
    layout = Layout(case("layout-size", ["size"]))
    layout.index(layout.manifest(layout.config([blob["digest"]]), [{**layout.blob(LAYER, tar), "size": 7}]))
    layout = Layout(case("layout-missing-layer", ["sha256:" + "0" * 64]))
    layout.index(layout.manifest(layout.config(["sha256:" + "0" * 64]), [{**blob, "digest": "sha256:" + "0" * 64}]))
    for name, digest in [("climbs", "sha256:../../../../etc/passwd"), ("algorithm", "md5:" + "0" * 32)]:
        layout = Layout(case("layout-digest-" + name, ["digest"]))
        layout.index({"mediaType": MANIFEST, "digest": digest, "size": 1, "platform": {}})
    Layout(case("layout-layer-count", ["1 layers", "names 2"])).image([tar], diff_ids=[blob["digest"]] * 2)
    layout = Layout(case("layout-many-layers", ["1024 layers"]))
    blob = layout.blob(LAYER, tar)
    layout.index(layout.manifest(layout.config([blob["digest"]] * 5000), [blob] * 5000))
    layout = Layout(case("layout-index-in-index", ["index"]))
    inner = layout.manifest(layout.config([]), [])
    for _ in range(20):
        inner = layout.json(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner]})
    layout.index(inner)
    layout = Layout(case("layout-index-of-itself", ["digest"]))
    itself = {"mediaType": INDEX, "digest": "sha256:" + "1" * 64, "size": 200}
    layout.write("blobs/sha256/" + "1" * 64, json.dumps({"schemaVersion": 2, "manifests": [itself]}).encode().ljust(200))
    layout.index(itself)
    layout = Layout(case("layout-index-many", ["1024 index entries"]))
    layout.index(*[layout.manifest(layout.config([]), [])] * 3000)
    layout = Layout(case("layout-index-fan", ["1024 index entries"]))
    inner = layout.json(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": []})
    for _ in range(3):
        inner = layout.json(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner] * 1000})
    layout.index(inner)
    layout = Layout(case("layout-json-deep", ["config"]))
    layout.index(layout.manifest(layout.blob(CONFIG, b'{"config":' + b"[" * 500_000), []))
    layout = Layout(case("layout-json-huge", ["4194304 bytes"]))
    layout.index(layout.manifest(layout.blob(CONFIG, b" " * (5 << 20) + b"{}"), []))
    Layout(case("layout-json-not", ["index.json"])).write("index.json", b"\xff\xfe{")
    layout = Layout(case("layout-symlink", ["has 10 bytes, expected 2048"]))
    layout.image([tar])
    path = os.path.join(layout.folder, "blobs/sha256", blob["digest"][7:])
    os.remove(path)
    os.symlink(os.path.join(os.fsdecode(victim), "secret"), path)
    for name, trigger in [("from", "FROM scratch"), ("itself", "ONBUILD RUN true")]:
        Layout(case("layout-onbuild-" + name, ["ONBUILD"])).image([tar], OnBuild=[trigger])


def dockerfiles():
    text("cycle", ["FROM b"], "FROM b AS a\nFROM a AS b\n")
    text("copy-from-itself", ["stages need each other"], "FROM base AS a\nCOPY --from=a / /\n")
    circle = "FROM base AS a\nCOPY --from=b / /\nFROM base AS b\nCOPY --from=a / /\n"
    text("copy-in-a-circle", ["stages need each other"], circle)
    text("onbuild-chain", ["Dockerfile:2", "ONBUILD"], "FROM base\n" + "ONBUILD " * 10_000 + "RUN true\n")
    text("variables-nested", ["Dockerfile:2"], "FROM base\nENV A=" + "${a:-" * 10_000 + "}" * 10_000 + "\n")
    doubling = "".join("ENV A=$A$A$A$A\n" for _ in range(40))
    text("variables-doubling", ["Dockerfile"], "FROM base\nENV A=0123456789\n" + doubling)
    argument = "".join(f"ARG A{n}=${{A{n - 1}}}${{A{n - 1}}}\n" for n in range(1, 60))
    text("arguments-doubling", ["Dockerfile"], "FROM base\nARG A0=0123456789\n" + argument + "COPY $A59 /\n")
    pattern = "ARG A=" + "a" * 3000 + "\nENV B=${A##" + "*a" * 300 + "b}\n"
    text("variables-pattern", ACCEPTED, "FROM base\n" + pattern + "COPY Dockerfile /\n")
    text("heredoc-open", ["Dockerfile:2"], "FROM base\nCOPY <<EOF /f\n" + "x\n" * 500_000)
    text("heredoc-huge", ["Dockerfile"], "FROM base\nCOPY <<EOF /f\n" + "x" * (20 << 20) + "\nEOF\n")
    names = " ".join(f"<<E{number}" for number in range(5000))
    ends = "".join(f"E{number}\n" for number in range(5000))
    text("heredoc-many", ["Dockerfile:2"], f"FROM base\nRUN {names}\n{ends}")
    text("continuations", ["Dockerfile:2", "nothing"], "FROM base\nCOPY \\\n" + "\\\n" * 100_000 + "nothing /\n")
    text("instructions", ["nothing"], "FROM base\n" + "ENV A=1\n" * 50_000 + "COPY nothing /\n")
    text("line-huge", ["Dockerfile"], "FROM base\nLABEL a=" + "x" * (20 << 20) + "\n")
    text("nul", ["Dockerfile"], "FROM base\nCOPY a\0b /\n")
    text("not-utf-8", ["Dockerfile"], b"FROM base\nCOPY \xff\xfe /\n")
    text("json-deep", ["Dockerfile:2"], "FROM base\nCOPY " + "[" * 100_000 + "\n")
    long = {"a" * 250: "x"}
    text("glob", ACCEPTED, "FROM base\nCOPY " + "*a" * 100 + "b /\n", files=long)
    ignore = {"a" * 250: "x", ".dockerignore": "**/" * 200 + "*a" * 100 + "b\n"}
    text("ignore-glob", ACCEPTED, "FROM base\nCOPY . /\n", files=ignore)
    text("ignore-huge", ["ignore"], "FROM base\nCOPY . /\n", files={".dockerignore": "*\n" * (8 << 20)})
    text("copy-up", ["secret"], "FROM base\nCOPY ../../../../../../../../" + os.fsdecode(victim)[1:] + "/secret /\n")
    links = {"out": os.fsdecode(victim), "loop": "loop"}
    text("copy-by-symlink", ["out/secret"], "FROM base\nCOPY out/secret /\n", links=links)
    text("copy-loop", ["Dockerfile:2", "loop"], "FROM base\nCOPY loop/x /\n", links=links)
    archive = {"a.tar": entry(b"../../evil", b"x") + END}
    text("add-up", ["Dockerfile:2", "`..`"], "FROM base\nADD a.tar /d/\n", files=archive)
    archive = {"a.tar.gz": gzip.compress(header(b"f", size=2 << 30), mtime=0) + zeros_gzip(2048)}
    text("add-bomb", ["Dockerfile:2", "expands"], "FROM base\nADD a.tar.gz /d/\n", files=archive)


QUICK = (escapes, whiteouts, headers, sparse_files, layouts, dockerfiles)
SLOW = (counts, streams)
for make in {"quick": QUICK, "slow": SLOW}[sys.argv[3]]:
    make()
