#!/usr/bin/env bash
# Makes the Debian trixie riscv64 base image as an OCI layout, from Debian's own packages:
#
#     ci/debian-base.sh [--with PACKAGE]... [--refresh] OUT
#
# The base system is configured without running anything foreign (mmdebstrap's chrootless mode), in a
# mount namespace that sees the host read-only. PACKAGEs and what they depend on are only unpacked on
# top: their maintainer scripts would have to run riscv64 programs. That is enough for python3; inside
# the guest `dpkg --configure -a` finishes the job.
#
# Package versions are the mirror's when the image is made; it is then kept in the cache under the
# digest of this recipe and its arguments until `--refresh`.
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022

here=$(cd "$(dirname "$0")" && pwd)
suite=trixie
arch=riscv64
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lithify/base
mirror=${LITHIFY_DEBIAN_MIRROR:-http://deb.debian.org/debian}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
# Files newer than this get this time: what the build itself writes carries no clock.
export SOURCE_DATE_EPOCH=1767225600

fail() { printf 'debian-base: %s\n' "$*" >&2; exit 1; }

packages=() refresh=no out=
while [ $# -gt 0 ]; do
    case $1 in
        --with) packages+=("${2:?--with needs a package name}"); shift ;;
        --refresh) refresh=yes ;;
        -*) fail "unknown option $1" ;;
        *) [ -z "$out" ] || fail "one OUT only, got \`$out' and \`$1'"; out=$1 ;;
    esac
    shift
done
[ -n "$out" ] || fail "usage: ci/debian-base.sh [--with PACKAGE]... [--refresh] OUT"

for tool in mmdebstrap python3 unshare findmnt dpkg flock qemu-riscv64; do
    command -v "$tool" >/dev/null || fail "\`$tool' is missing: run ci/setup.sh"
done
[ -r "$keyring" ] || fail "$keyring is missing (package debian-archive-keyring): run ci/setup.sh"

key=$({ cat "$here/debian-base.sh" "$here/debian-unpack.sh" "$here/oci_layout.py"; echo "${packages[*]-}"; } |
    sha256sum | cut -d' ' -f1)

# What Debian's own `slim` images leave out; copyright files stay, as their licences ask.
slim=(
    'path-exclude=/usr/share/doc/*'
    'path-include=/usr/share/doc/*/copyright'
    'path-exclude=/usr/share/info/*'
    'path-exclude=/usr/share/lintian/*'
    'path-exclude=/usr/share/linda/*'
    'path-exclude=/usr/share/locale/*'
    'path-include=/usr/share/locale/locale.alias'
    'path-exclude=/usr/share/man/*'
    'path-exclude=/usr/share/groff/*'
)

# A faulty maintainer script must not reach the host: everything is read-only but a fresh /tmp. Root
# needs only the mount namespace, others map their subordinate ids to get the files' owners right.
contained() { # FUNCTION
    local unshare=(unshare --mount)
    [ "$(id -u)" = 0 ] || unshare+=(--user --map-root-user --map-auto)
    export here suite arch mirror keyring
    "${unshare[@]}" bash -euo pipefail -c "$(declare -p slim packages); $(declare -f protect_host "$1"); protect_host; $1"
}

protect_host() {
    local target
    mount --make-rprivate /
    findmnt --raw --noheadings --output TARGET | grep -vE '^/(proc|sys|dev)(/|$)' |
        while IFS= read -r target; do
            mount -o remount,bind,ro "$(printf %b "$target")" 2>/dev/null || true
        done
    if [ -w /etc ]; then echo "debian-base: cannot make the host read-only" >&2; return 1; fi
    # The checkout and the working directory may be below /tmp, which is covered now.
    local unpack
    unpack=$(<"$here/debian-unpack.sh")
    cd /
    mount -t tmpfs -o mode=1777 tmpfs /tmp
    printf '%s\n' "$unpack" >/tmp/debian-unpack.sh
    export TMPDIR=/tmp
}

# Runs contained; the root is in memory and leaves as a tar on stdout.
make_root() {
    local root=/tmp/root options=() line
    for line in "${slim[@]}"; do options+=(--dpkgopt="$line"); done
    if [ ${#packages[@]} -gt 0 ]; then
        options+=(--customize-hook="bash /tmp/debian-unpack.sh \"\$1\" ${packages[*]}")
    fi
    mmdebstrap --quiet --mode=chrootless --skip=check/chrootless \
        --variant=minbase --architectures="$arch" --keyring="$keyring" "${options[@]}" \
        "$suite" "$root" "deb [signed-by=$keyring] $mirror $suite main"
    # The host's name and resolver, and files that record when and from where this ran.
    rm -rf "$root"/etc/{resolv.conf,hostname} "$root"/var/log/{*.log,apt} "$root"/var/cache/apt/*.bin
    echo "deb [signed-by=$keyring] http://deb.debian.org/debian $suite main" >"$root/etc/apt/sources.list"
    # The guest's /dev is a devtmpfs.
    tar --create --directory="$root" --sort=name --numeric-owner --format=pax \
        --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime \
        --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime --exclude='./dev/?*' .
}

build() {
    work=$(mktemp -d "$cache/work.XXXXXX")
    trap 'rm -rf "${work:?}"' EXIT
    echo "debian-base: making debian:$suite-slim for $arch${packages[*]:+ with ${packages[*]}} (about a minute, once)" >&2
    contained make_root >"$work/layer.tar" 2>"$work/log" || { cat "$work/log" >&2; fail "mmdebstrap failed"; }
    python3 "$here/oci_layout.py" --layer "$work/layer.tar" --architecture "$arch" \
        --reference "$suite-slim" --created "$SOURCE_DATE_EPOCH" "$work/layout"
    rm -rf "$cache/$key"
    mv "$work/layout" "$cache/$key"
}

mkdir -p "$cache" "$(dirname "$out")"
exec 9>"$cache/lock"
flock 9
[ "$refresh" = no ] && [ -e "$cache/$key/index.json" ] || build
cmp -s "$cache/$key/index.json" "$out/index.json" || {
    rm -rf "$out"
    # Blobs never change: a hard link where the file system allows.
    cp -al "$cache/$key" "$out" 2>/dev/null || { rm -rf "$out"; cp -a "$cache/$key" "$out"; }
}
