#!/usr/bin/env python3
"""Writes the guest's initramfs: a newc cpio with /init and its standard streams, uncompressed.

Written byte by byte because it needs a device node (no root at hand) and must be reproducible.
Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import argparse
import stat

# The kernel opens /dev/console as PID 1's standard streams before devtmpfs is mounted. Here that is the kernel's
# log: what init may say ends up there either way, and an open console would be polled for input, which keeps an idle
# guest from sleeping. A link, because the kernel has made a console already and would not make another device.
LOG_DEVICE = (1, 11)
CONSOLE_LINK = b"kmsg"


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
        init = file.read()
    with open(args.out, "wb") as file:
        file.write(archive(init))


if __name__ == "__main__":
    main()
