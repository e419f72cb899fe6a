#!/usr/bin/env bash
# Installs upstream wasmtime, the stock runtime that demo and tests run artifacts on, from its own crate,
# once, into the cache. Prints the path of the program.
set -euo pipefail

# The same version as the engine in Cargo.toml: a difference between the two runtimes is then ours.
version=48.0.8
# What `wasmtime run` and `wasmtime compile` need for WASI 0.1 core modules and WASI 0.2 components; the
# default set takes twice the time. clap/default brings `--help` and readable errors.
features=run,compile,cache,component-model,parallel-compilation,clap/default
root=${XDG_CACHE_HOME:-$HOME/.cache}/lithify/tools/wasmtime-$version-cache

mkdir -p "$root"
exec 9>"$root/lock"
flock 9
if [ ! -x "$root/bin/wasmtime" ]; then
    echo "wasmtime: installing wasmtime-cli $version (some minutes, once)" >&2
    # From the workspace's folder for its pinned compiler; its flags are not for this program.
    cd "$(dirname "$0")/.."
    env -u CARGO_TARGET_DIR -u RUSTFLAGS \
        cargo install wasmtime-cli --version "$version" --locked --quiet \
        --no-default-features --features "$features" --root "$root" >&2
fi
echo "$root/bin/wasmtime"
