#!/usr/bin/env bash
# Makes the Debian trixie riscv64 base image as an OCI layout, from Debian's own packages:
#
#     ci/debian-base.sh [--with PACKAGE]... [--refresh] OUT LITHIFY...
#
# Here the packages are only unpacked; `lithify build` of ci/debian-base/Dockerfile configures them in the
# machine. LITHIFY is the command with leading arguments, executed only if there is something to make; it
# finds its boot files by $LITHIFY_BOOT_FILES. OUT.context becomes the build context, for another build.
#
# Package versions are the mirror's when the image is made; it is then kept in the cache under the
# digest of this recipe and its arguments until `--refresh`.
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lithify/base
# Files newer than this get this time: what the build itself writes carries no clock.
epoch=1767225600

fail() { printf 'debian-base: %s\n' "$*" >&2; exit 1; }

packages=() refresh=no
while [ $# -gt 0 ]; do
    case $1 in
        --with) packages+=("${2:?--with needs a package name}"); shift ;;
        --refresh) refresh=yes ;;
        -*) fail "unknown option $1" ;;
        *) break ;;
    esac
    shift
done
[ $# -gt 1 ] || fail "usage: ci/debian-base.sh [--with PACKAGE]... [--refresh] OUT LITHIFY..."
out=$1
shift

for tool in dpkg flock tar unshare; do
    command -v "$tool" >/dev/null || fail "\`$tool' is missing: run ci/setup.sh"
done
recipe=("$here"/debian-{base,fetch,unpack}.sh "$here"/debian-base/*)
key=$({ cat "${recipe[@]}"; echo "${packages[*]-}"; } | sha256sum | cut -d' ' -f1)

# Writes the unpacked packages as a tar to standard output. Root needs nothing for that; others map their
# subordinate ids to get the files' owners right.
unpacked() { # WORK
    local contained=()
    [ "$(id -u)" = 0 ] || contained=(unshare --user --map-root-user --map-auto)
    # minbase, as debootstrap calls it.
    "$here/debian-fetch.sh" '?essential' '?priority(required)' apt "${packages[@]}" >"$1/debs"
    export here epoch
    # The guest's /dev is a devtmpfs.
    "${contained[@]}" bash -euo pipefail -c '
        mapfile -t debs <"$0/debs"
        mkdir "$0/root"
        "$here/debian-unpack.sh" "$0/root" "$here/debian-base/dpkg.cfg" "${debs[@]}" >&2
        tar --create --directory="$0/root" --sort=name --numeric-owner --format=pax \
            --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime \
            --mtime="@$epoch" --clamp-mtime --exclude="./dev/?*" .
        rm -r "$0/root"
    ' "$1"
}

build() { # LITHIFY...
    work=$(mktemp -d "$cache/work.XXXXXX")
    trap 'rm -rf "${work:?}"' EXIT
    echo "debian-base: making debian:trixie-slim${packages[*]:+ with ${packages[*]}} (some minutes, once)" >&2
    mkdir -p "$work/new/"{context,layout}
    cp "$here"/debian-base/* "$work/new/context/"
    unpacked "$work" >"$work/new/context/root.tar"
    "$@" build --progress plain --build-arg "SOURCE_DATE_EPOCH=$epoch" \
        --output "type=oci,dest=$work/image.tar" "$work/new/context" >"$work/log" 2>&1 ||
        { cat "$work/log" >&2; fail "lithify build failed"; }
    tar --extract --file="$work/image.tar" --directory="$work/new/layout"
    rm -rf "${cache:?}/$key"
    mv "$work/new" "$cache/$key"
}

mkdir -p "$cache" "$(dirname "$out")"
exec 9>"$cache/lock"
flock 9
[ "$refresh" = no ] && [ -e "$cache/$key/layout/index.json" ] || build "$@"
ln -sfn "$cache/$key/context" "$out.context"
# Blobs never change: hard links where the file system allows.
cmp -s "$cache/$key/layout/index.json" "$out/index.json" || {
    rm -rf "$out"
    cp -al "$cache/$key/layout" "$out" 2>/dev/null || { rm -rf "$out"; cp -a "$cache/$key/layout" "$out"; }
}
