"""Prints what is below a directory: a line for each name, with all that a file system shows of it.

Directories with many entries count as one line, a digest of theirs. Of a huge file three pieces are
hashed, as the rest is holes. Links of directories are left out: overlayfs counts its own way.
"""

import hashlib
import os
import stat
import sys

HUGE = 64 << 20
PIECE = 1 << 20
MANY = 1000


def text(name):
    return "".join(chr(byte) if 0x20 < byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in name)


def digest(path, size):
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        pieces = [(0, size)] if size <= HUGE else [(at, PIECE) for at in (0, size // 2, size - PIECE)]
        for at, length in pieces:
            file.seek(at)
            sha.update(file.read(length))
    return sha.hexdigest()


def content(path, status):
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        return f"file size={status.st_size} sha256={digest(path, status.st_size)}"
    if kind == stat.S_IFLNK:
        return "symlink target=" + text(os.readlink(path))
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        name = "char" if kind == stat.S_IFCHR else "block"
        return f"{name} rdev={os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return {stat.S_IFDIR: "dir", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}[kind]


def line(root, path, first):
    full = os.path.join(root, path)
    status = os.lstat(full)
    parts = [text(path), content(full, status), f"mode={stat.S_IMODE(status.st_mode):04o}"]
    parts += [f"uid={status.st_uid}", f"gid={status.st_gid}", f"mtime={int(status.st_mtime)}"]
    if not stat.S_ISDIR(status.st_mode):
        parts.append(f"nlink={status.st_nlink}")
        parts.append("first=" + text(first.setdefault((status.st_dev, status.st_ino), path)))
    for name in sorted(os.listxattr(full, follow_symlinks=False)):
        parts.append(f"{name}={os.getxattr(full, name, follow_symlinks=False).hex()}")
    return " ".join(parts)


def listing(root):
    first = {}
    # Names in the order of their bytes; a directory's entries before what is in them.
    directories = [b""]
    while directories:
        directory = directories.pop()
        names = sorted(os.listdir(os.path.join(root, directory)))
        paths = [os.path.join(directory, name) for name in names]
        lines = [line(root, path, first) for path in paths]
        if len(lines) > MANY:
            sha = hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()
            lines = [f"{text(directory)}/ {len(names)} entries sha256={sha}"]
        yield from lines
        directories += [path for path in reversed(paths) if is_directory(os.path.join(root, path))]


def is_directory(path):
    return stat.S_ISDIR(os.lstat(path).st_mode)


for each in listing(os.fsencode(sys.argv[1])):
    print(each)
