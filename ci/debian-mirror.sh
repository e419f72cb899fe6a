#!/usr/bin/env bash
# Makes a Debian mirror of few packages, with which tests install them offline:
#
#     ci/debian-mirror.sh OUT PACKAGE...
#
# OUT becomes the `debian` folder of a mirror: it holds the suite trixie for riscv64 with PACKAGEs and all
# they depend on. It is not signed; apt takes it as
#
#     deb [trusted=yes] http://HOST/ trixie main
#
# Versions are those of the day it is made; it is then kept in the cache under the digest of this recipe and
# the packages' names.
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022

here=$(cd "$(dirname "$0")" && pwd)
suite=trixie
arch=riscv64
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lithify/mirror

fail() { printf 'debian-mirror: %s\n' "$*" >&2; exit 1; }

[ $# -gt 1 ] || fail "usage: ci/debian-mirror.sh OUT PACKAGE..."
out=$1
shift
command -v dpkg-scanpackages >/dev/null || fail "\`dpkg-scanpackages' is missing: run ci/setup.sh"
key=$({ cat "$here/debian-mirror.sh" "$here/debian-fetch.sh"; echo "$*"; } | sha256sum | cut -d' ' -f1)

build() {
    local index deb
    work=$(mktemp -d "$cache/work.XXXXXX")
    trap 'rm -rf "${work:?}"' EXIT
    echo "debian-mirror: fetching $* (once)" >&2
    index=dists/$suite/main/binary-$arch
    mkdir -p "$work/mirror/pool" "$work/mirror/$index"
    cd "$work/mirror"
    "$here/debian-fetch.sh" "$@" >"$work/debs"
    while IFS= read -r deb; do
        # `%3a` in a file name would be taken for a colon in its address.
        ln -f -- "$deb" "pool/$(basename -- "${deb//%3a/}")"
    done <"$work/debs"
    dpkg-scanpackages --arch "$arch" pool >"$index/Packages" 2>/dev/null
    gzip --keep --no-name "$index/Packages"
    release >"dists/$suite/Release"
    mv "$work/mirror" "$cache/$key"
}

release() {
    local file
    printf '%s\n' "Origin: Debian" "Codename: $suite" "Date: $(date --utc --reference="$index/Packages" '+%a, %d %b %Y %T UTC')" \
        "Architectures: $arch" "Components: main" SHA256:
    for file in main/binary-$arch/Packages{,.gz}; do
        printf ' %s %s %s\n' "$(sha256sum <"dists/$suite/$file" | cut -d' ' -f1)" \
            "$(stat --format=%s "dists/$suite/$file")" "$file"
    done
}

mkdir -p "$cache" "$(dirname "$out")"
exec 9>"$cache/lock"
flock 9
[ -e "$cache/$key/dists" ] || (build "$@")
ln -sfn "$cache/$key" "$out"
