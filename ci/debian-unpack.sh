#!/usr/bin/env bash
# mmdebstrap hook: unpacks packages and their dependencies, unconfigured, into the root DIR.
#
#     debian-unpack.sh DIR PACKAGE...
set -euo pipefail
root=$1
shift
export APT_CONFIG=${MMDEBSTRAP_APT_CONFIG:?runs as a hook of mmdebstrap}
export DEBIAN_FRONTEND=noninteractive
archives=$root/var/cache/apt/archives

# The archives of the base system, which is configured already.
rm -f "$archives"/*.deb
apt-get -qq --yes --no-install-recommends --download-only install "$@"

# dpkg would run a preinst even when it only unpacks, and few of them know about another root: they
# would write to the host or need riscv64 programs. A fresh unpack has no old state to migrate.
for deb in "$archives"/*.deb; do
    if dpkg-deb --ctrl-tarfile "$deb" | tar -t ./preinst >/dev/null 2>&1; then
        dpkg-deb --raw-extract "$deb" "$archives/repack"
        rm "$archives/repack/DEBIAN/preinst"
        dpkg-deb --build -Znone "$archives/repack" "$deb" >/dev/null
        rm -r "$archives/repack"
    fi
done

# Unpacking alone breaks the order that Pre-Depends asks for.
dpkg --root="$root" --force-depends --force-script-chrootless --log=/dev/null \
    --unpack "$archives"/*.deb >/dev/null
rm "$archives"/*.deb

# What python3's postinst does. Without it every start of python compiles the standard library's modules
# anew. Debian's files hold the source's time; a hash that is not checked survives any later clamping.
# -B: what compileall imports for itself must not be there, timed, before its turn comes.
shopt -s nullglob
for python in "$root"/usr/bin/python3.[0-9]*; do
    PYTHONHASHSEED=0 qemu-riscv64 -L "$root" "$python" -B -E -S -m compileall -q \
        --invalidation-mode unchecked-hash -s "$root" -p / "$root/usr/lib/$(basename "$python")"
done
