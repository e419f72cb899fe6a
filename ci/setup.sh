#!/usr/bin/env bash
# Installs what the build and the tests need: Debian packages that are missing, and the pinned Rust
# toolchain with its targets. Says nothing when there is nothing to do.
set -euo pipefail

packages=(
    # compilers: host programs, guest programs and kernel, the static runner
    build-essential gcc-riscv64-linux-gnu libc6-dev-riscv64-cross musl-tools
    # the kernel's build
    bc bison flex libelf-dev libssl-dev patch xz-utils
    # the Debian base image and the tests' mirror; uidmap lets a user other than root map ids
    debian-archive-keyring dpkg-dev python3 uidmap util-linux
    # registry and client that the tests publish to
    docker-registry openssl skopeo
    # oracles of the tests: squashfs, riscv64 instructions and a whole machine, device trees
    squashfs-tools qemu-user qemu-system-misc device-tree-compiler
)

fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || status=
    [ "$status" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || fail "needs apt; otherwise install yourself: ${missing[*]}"
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    echo "setup: installing ${missing[*]}" >&2
    # A line of output per package would drown what matters; errors still come through.
    "${as_root[@]}" apt-get -qq update
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq --yes --no-install-recommends install "${missing[@]}" >/dev/null
fi

cd "$(dirname "$0")/.."
command -v rustup >/dev/null || fail "needs rustup (https://rustup.rs) for the toolchain in rust-toolchain.toml"
# Installs toolchain, components and targets from rust-toolchain.toml; 1.28 and later ask for the word.
rustup toolchain install >/dev/null 2>&1 || rustup show active-toolchain >/dev/null
