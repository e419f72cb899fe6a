#!/usr/bin/env python3
"""Writes the guest's initramfs: a newc cpio with /init and its standard streams, uncompressed.

Written byte by byte because it needs a device node (no root at hand) and must be reproducible.
Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import argparse
import stat
import struct

# The kernel opens /dev/console as PID 1's standard streams before devtmpfs is mounted. Here that is the kernel's
# log: what init may say ends up there either way, and an open console would be polled for input, which keeps an idle
# guest from sleeping. A link, because the kernel has made a console already and would not make another device.
LOG_DEVICE = (1, 11)
CONSOLE_LINK = b"kmsg"


# Tables for unwinding: a panic of init ends it, and nothing in it asks for a backtrace.
UNWINDING = (b".eh_frame", b".eh_frame_hdr", b".gcc_except_table")
LOAD = 1


def lean(elf):
    """The program without sections that are not loaded, and with zeros, which a frozen machine does not keep, in
    place of the tables for unwinding. Format: System V gABI, chapters 4 and 5, ELFCLASS64, little-endian."""
    elf = bytearray(elf)
    segments, sections = struct.unpack_from("<QQ", elf, 32)
    segment_size, segment_count, section_size, section_count, names_index = struct.unpack_from("<5H", elf, 54)
    headers = [struct.unpack_from("<IIQQQQ", elf, sections + at * section_size) for at in range(section_count)]
    names = headers[names_index][4]
    for name, _, _, _, offset, size in headers:
        if elf[names + name:elf.index(0, names + name)] in UNWINDING:
            elf[offset:offset + size] = bytes(size)
    end = 0
    for at in range(segment_count):
        kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", elf, segments + at * segment_size)
        end = max(end, offset + size if kind == LOAD else 0)
    struct.pack_into("<Q", elf, 40, 0)
    struct.pack_into("<HH", elf, 60, 0, 0)
    return bytes(elf[:end])


def padded(data):
    """newc aligns names and contents to four bytes of the archive."""
    return data + bytes(-len(data) % 4)


def entry(inode, name, mode, content=b"", device=(0, 0)):
    """One member, owned by root, times zero."""
    encoded = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return padded(header + encoded) + padded(content)


def archive(init):
    members = [
        ("dev", stat.S_IFDIR | 0o755, b"", (0, 0)),
        ("dev/kmsg", stat.S_IFCHR | 0o600, b"", LOG_DEVICE),
        ("dev/console", stat.S_IFLNK | 0o777, CONSOLE_LINK, (0, 0)),
        ("init", stat.S_IFREG | 0o755, init, (0, 0)),
    ]
    packed = b"".join(entry(inode, *member) for inode, member in enumerate(members, start=1))
    return packed + entry(0, "TRAILER!!!", 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("init", help="PID 1, a static program")
    parser.add_argument("out")
    args = parser.parse_args()
    with open(args.init, "rb") as file:
        init = lean(file.read())
    with open(args.out, "wb") as file:
        file.write(archive(init))


if __name__ == "__main__":
    main()
