#!/usr/bin/env bash
# Unpacks Debian packages for riscv64 into the empty folder ROOT and configures none:
#
#     debian-unpack.sh ROOT DPKG_CONFIG DEB...
#
# No maintainer script is executed, they are not for this machine: what a preinst does is left for the
# guest, too. DPKG_CONFIG holds dpkg's options, `path-exclude=...` for example.
set -euo pipefail
root=$1 config=$2
shift 2
umask 022

mkdir -p "$root/var/lib/dpkg/"{info,updates}
: >"$root/var/lib/dpkg/status"
echo riscv64 >"$root/var/lib/dpkg/arch"

work=$(mktemp -d)
trap 'rm -rf "${work:?}"' EXIT
mkdir "$work/debs" "$work/preinst"

# dpkg would execute a preinst even when it only unpacks. The package goes in without, its preinst after.
for deb in "$@"; do
    dpkg-deb --control "$deb" "$work/control"
    if [ -e "$work/control/preinst" ]; then
        name=$(dpkg-deb --show --showformat='${Package}' "$deb")
        [ "$(dpkg-deb --field "$deb" Multi-Arch)" != same ] || name+=:riscv64
        mv "$work/control/preinst" "$work/preinst/$name.preinst"
        dpkg-deb --raw-extract "$deb" "$work/package"
        rm "$work/package/DEBIAN/preinst"
        dpkg-deb --build -Znone "$work/package" "$work/debs/${deb##*/}" >/dev/null
        rm -r "$work/package"
    else
        ln -s "$deb" "$work/debs/"
    fi
    rm -r "$work/control"
done

options=()
while IFS= read -r option; do options+=("--$option"); done < <(grep -v '^#' "$config")
# All at once breaks the order that Pre-Depends asks for, which dpkg tells at length.
dpkg --root="$root" --force-depends --force-script-chrootless "${options[@]}" --log=/dev/null \
    --unpack "$work"/debs/*.deb >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
mv "$work"/preinst/* "$root/var/lib/dpkg/info/"
