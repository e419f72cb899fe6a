#!/bin/bash
# Runs the fuzz targets, SECONDS_EACH (default 60) each, one after another. Stops at the first crash,
# prints its input and how to replay it.
#
# Usage: fuzz/run.sh [TARGET [INPUT...]]   With inputs: replays them instead.
set -euo pipefail
cd "$(dirname "$0")/.."
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
found=$target_dir/fuzz
export RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/rustc.sh

targets=(dockerfile dockerignore expand rom squashfs tar whiteouts)
if [ $# -gt 0 ]; then targets=("$1"); shift; fi
${CARGO:-cargo} build -q -p lithify-fuzz --bins

for target in "${targets[@]}"; do
    program=$target_dir/debug/fuzz-$target
    if [ $# -gt 0 ]; then exec "$program" "$@"; fi
    mkdir -p "$found/$target" "$found/crashes"
    echo "fuzz: $target for ${SECONDS_EACH:-60} s"
    # New inputs go into the first folder; the seeds are read only.
    if ! "$program" -max_total_time="${SECONDS_EACH:-60}" -timeout=30 -rss_limit_mb=1024 \
        -max_len=20000 -verbosity=0 -print_final_stats=1 -artifact_prefix="$found/crashes/$target-" \
        "$found/$target" "fuzz/corpus/$target" > "$found/$target.log" 2>&1; then
        cat "$found/$target.log"
        crash=$(sed -n 's/.*Test unit written to //p' "$found/$target.log" | tail -1)
        echo "fuzz: $target found a fault. Its input:"
        od -A x -t x1z "$crash" | head -100
        echo "fuzz: replay it with: fuzz/run.sh $target $crash"
        exit 1
    fi
    grep -E 'number_of_executed_units|peak_rss_mb' "$found/$target.log"
done
