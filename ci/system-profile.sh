#!/usr/bin/env bash
# Counts what the kernel and init execute for programs: ci/system-profile.sh BOOT LITHIFY...
#
# kernel/training/system.c runs in an artifact's training. The counts become BOOT/profile-riscv64, which every build
# finds beside the kernel, the initramfs and the emulator that they were made with. They are kept in the cache
# under the digest of all that decides them.
set -euo pipefail
export LC_ALL=C
umask 022

[ $# -gt 1 ] || { echo "usage: ci/system-profile.sh BOOT LITHIFY..." >&2; exit 1; }
boot=$1
shift
training=$(cd "$(dirname "$0")/../kernel/training" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lithify/profile
compiler=riscv64-linux-gnu-gcc
made_with=("$boot"/{kernel-riscv64,initramfs-riscv64.cpio,emulator-riscv64.wasm})

command -v "$compiler" >/dev/null || { echo "system-profile: \`$compiler' is missing: run ci/setup.sh" >&2; exit 1; }
key=$({ cat "$0" "$training"/* "${made_with[@]}"; "$compiler" --version | head -n 1; } | sha256sum | cut -d' ' -f1)

count() { # LITHIFY...
    work=$(mktemp -d "$cache/work.XXXXXX")
    trap 'rm -rf "${work:?}"' EXIT
    # A folder without a profile: counts are of this run alone.
    mkdir "$work/boot" "$work/context"
    cp "${made_with[@]}" "$work/boot"
    cp "$training/Dockerfile" "$work/context"
    "$compiler" -O2 -static -s -o "$work/context/system" "$training/system.c"
    LITHIFY_BOOT_FILES=$work/boot LITHIFY_TRANSLATE=off "$@" build --quiet --profile-out "$work/profile" \
        -o "$work/training.wasm" "$work/context" >/dev/null
    mv "$work/profile" "$cache/$key"
}

mkdir -p "$cache"
[ -e "$cache/$key" ] || count "$@"
cmp -s "$cache/$key" "$boot/profile-riscv64" || install -m 644 "$cache/$key" "$boot/profile-riscv64"
