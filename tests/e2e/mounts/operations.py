"""Every file operation that a mounted directory has; prints those that fail, or "ok"."""

import errno
import fcntl
import mmap
import os
import shutil
import subprocess
import sys
import time

failures = []


def operation(run):
    try:
        run()
    except Exception as error:
        failures.append(f"{run.__name__}: {error!r}")
    return run


def refused(code, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno == code, errno.errorcode.get(error.errno)
        return
    raise AssertionError("not refused")


def write(path, data, mode="wb"):
    with open(path, mode) as file:
        file.write(data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


os.chdir(sys.argv[1])


@operation
def whole_files():
    data = os.urandom(3_000_000)
    write("whole", data)
    assert read("whole") == data


@operation
def append():
    write("log", b"1")
    write("log", b"2", "ab")
    assert read("log") == b"12"


@operation
def exclusive_create():
    write("once", b"")
    refused(errno.EEXIST, os.open, "once", os.O_CREAT | os.O_EXCL | os.O_WRONLY)


@operation
def rename_over_and_across():
    write("from", b"new")
    write("to", b"old")
    os.mkdir("across")
    os.rename("from", "to")
    assert read("to") == b"new" and not os.path.exists("from")
    os.rename("to", "across/there")
    assert read("across/there") == b"new"
    refused(errno.ENOTEMPTY, os.rmdir, "across")
    os.unlink("across/there")
    os.rmdir("across")
    assert not os.path.exists("across")


@operation
def rename_of_a_directory_in_use():
    os.makedirs("p/q/r")
    file = os.open("p/q/r/f", os.O_CREAT | os.O_RDWR)
    os.rename("p", "moved")
    os.write(file, b"22")
    os.close(file)
    assert read("moved/q/r/f") == b"22"
    refused(errno.EINVAL, os.rename, "moved", "moved/q/x")
    shutil.rmtree("moved")


@operation
def symbolic_links():
    write("target", b"abc")
    os.symlink("target", "link")
    assert os.readlink("link") == "target" and read("link") == b"abc"
    assert os.lstat("link").st_size == 6
    os.unlink("link")
    assert read("target") == b"abc"


@operation
def hard_links():
    write("one", b"h")
    os.link("one", "two")
    assert os.stat("one").st_nlink == 2
    os.unlink("one")
    assert read("two") == b"h"


@operation
def truncate():
    write("cut", b"0123456789")
    os.truncate("cut", 4)
    with open("cut", "r+b") as file:
        file.truncate(6)
        assert file.read() == b"0123\0\0"
    assert os.stat("cut").st_size == 6


@operation
def mapped_reading():
    data = os.urandom(1_000_000)
    write("mapped", data)
    with open("mapped", "rb") as file:
        for flags in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=flags) as view:
                assert view[:] == data


@operation
def mapped_writing():
    write("pages", bytes(10_000))
    with open("pages", "r+b") as file:
        private = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE)
        private[4096:4100] = b"abcd"
        refused(errno.EINVAL, mmap.mmap, file.fileno(), 0)
    assert read("pages") == bytes(10_000)


@operation
def sync():
    file = os.open("synced", os.O_CREAT | os.O_RDWR)
    os.write(file, b"x")
    os.fsync(file)
    os.fdatasync(file)
    os.close(file)
    directory = os.open(".", os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


@operation
def many_long_names():
    os.mkdir("many")
    names = {f"{number:0>255}" for number in range(500)}
    for name in names:
        write(f"many/{name}", b"")
    assert set(os.listdir("many")) == names
    shutil.rmtree("many")
    refused(errno.ENAMETOOLONG, write, "n" * 256, b"")


@operation
def over_four_gigabytes():
    file = os.open("large", os.O_CREAT | os.O_RDWR)
    os.pwrite(file, b"end", 5 << 30)
    assert os.fstat(file).st_size == (5 << 30) + 3
    assert os.pread(file, 10, (5 << 30) - 2) == b"\0\0end"
    os.close(file)
    os.unlink("large")


@operation
def file_without_a_name():
    file = os.open("gone", os.O_CREAT | os.O_RDWR)
    os.write(file, b"abc")
    os.unlink("gone")
    assert os.pread(file, 3, 0) == b"abc" and os.fstat(file).st_size == 3
    os.ftruncate(file, 1)
    assert os.fstat(file).st_size == 1
    os.close(file)


@operation
def file_system():
    about = os.statvfs(".")
    assert about.f_namemax == 255 and about.f_bavail > 0


@operation
def times():
    write("times", b"")
    os.utime("times", (1e9, 1.5e9))
    about = os.stat("times")
    assert (about.st_atime, about.st_mtime) == (1e9, 1.5e9)
    os.utime("times")
    assert abs(os.stat("times").st_mtime - time.time()) < 60


@operation
def owners_and_modes():
    write("own", b"")
    os.chmod("own", 0o600)
    os.chown("own", 33, 34)
    about = os.stat("own")
    assert (about.st_mode & 0o7777, about.st_uid, about.st_gid) == (0o600, 33, 34)


@operation
def programs():
    write("program", b"#!/bin/sh\necho ran\n")
    os.chmod("program", 0o755)
    assert subprocess.check_output(["./program"]) == b"ran\n"


@operation
def locks():
    with open("lock", "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)


@operation
def what_does_not_exist():
    refused(errno.ENOENT, open, "nothing")
    refused(errno.EPERM, os.mkfifo, "pipe")


print("\n".join(failures) or "ok")
