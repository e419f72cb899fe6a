#!/usr/bin/env bash
# Downloads Debian trixie packages for riscv64, and what they depend on, into the cache:
#
#     ci/debian-fetch.sh PACKAGE...
#
# Prints the path of each .deb. apt resolves and verifies, in a state of its own: nothing of the host's
# packages is read or changed. PACKAGE may be an apt pattern.
set -euo pipefail
export LC_ALL=C

suite=trixie
arch=riscv64
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=${LITHIFY_DEBIAN_MIRROR:-http://deb.debian.org/debian}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lithify/debian

fail() { printf 'debian-fetch: %s\n' "$*" >&2; exit 1; }

[ $# -gt 0 ] || fail "usage: ci/debian-fetch.sh PACKAGE..."
command -v apt-get >/dev/null || fail "\`apt-get' is missing"
[ -r "$keyring" ] || fail "$keyring is missing (package debian-archive-keyring): run ci/setup.sh"

mkdir -p "$cache/archives/partial" "$cache/state/lists/partial" "$cache/etc/"{apt.conf.d,preferences.d}
exec 8>"$cache/lock"
flock 8

: >"$cache/state/status"
echo "deb [signed-by=$keyring] $mirror $suite main" >"$cache/etc/sources.list"
cat >"$cache/apt.conf" <<EOF
APT::Architecture "$arch";
APT::Architectures "$arch";
APT::Install-Recommends "false";
// Root would hand the download to the user _apt, who cannot write to the cache.
APT::Sandbox::User "";
Acquire::Languages "none";
Debug::NoLocking "true";
Dir::Cache "$cache";
Dir::Cache::archives "$cache/archives";
Dir::Etc "$cache/etc";
Dir::Etc::sourcelist "$cache/etc/sources.list";
Dir::State "$cache/state";
Dir::State::status "$cache/state/status";
EOF
export APT_CONFIG=$cache/apt.conf

apt-get -qq update
apt-get -qq --yes --download-only install "$@" >&2
# Each line: 'URI' NAME SIZE HASH; of what is downloaded already, too.
apt-get -qq --yes --print-uris --option Dir::Cache::archives=/nowhere install "$@" 2>/dev/null |
    while read -r _ name _; do
        printf '%s\n' "$cache/archives/$name"
    done
