#!/usr/bin/env bash
# Builds the examples and runs each artifact cold on stock wasmtime and by `lithify run`:
#
#     ci/demo.sh LITHIFY BOOT_FILES BASE WASMTIME
set -euo pipefail
lithify=$1 base=$3 wasmtime=$4
export LITHIFY_BOOT_FILES=$2
cd "$(dirname "$0")/.."
out=target/demo
rm -rf "$out"
mkdir -p "$out"
TIMEFORMAT='    %R s'

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { # SHOWN COMMAND...
    say "\$ $1"
    shift
    time "$@"
}

for example in hello debian python; do
    run "lithify build -o $example.wasm examples/$example" \
        "$lithify" build --build-context "debian:trixie-slim=oci-layout://$base" \
        -o "$out/$example.wasm" "examples/$example"
done
for example in hello debian python; do
    # Compiles on every start: the stock runtime has no precompiled form here.
    run "wasmtime run $example.wasm" "$wasmtime" run "$out/$example.wasm"
    "$lithify" compile "$out/$example.wasm" -o "$out/$example.cwasm"
    run "lithify run $example.cwasm" "$lithify" run "$out/$example.cwasm"
done
say "artifacts"
(cd "$out" && du -h --apparent-size -- *.wasm)
