#!/bin/sh
# Cargo's wrapper around the compiler for the workspace's own crates: adds the coverage counters that
# libFuzzer steers by. They are LLVM's, so a stable compiler has them. Dependencies stay without.
case " $* " in
*" build_script_build "*) exec "$@" ;;
esac
exec "$@" --cfg fuzzing --check-cfg 'cfg(fuzzing)' \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1
