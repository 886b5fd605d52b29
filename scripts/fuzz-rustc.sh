#!/usr/bin/env bash
# Compiles the workspace's own crates so that libFuzzer sees where they go: cargo runs it for rustc (as
# RUSTC_WORKSPACE_WRAPPER), from scripts/fuzz.sh. All these flags are a stable compiler's. What runs in
# the compiler itself, macros and build scripts, is compiled as always.
set -euo pipefail

case " $* " in
    *" --crate-type proc-macro "* | *" --crate-name build_script_"* | *" --print"* | *" -vV "*) exec "$@" ;;
    *" --crate-name "*) ;;
    *) exec "$@" ;;
esac
exec "$@" --cfg fuzzing -C opt-level=2 -C debug-assertions=on -C overflow-checks=on -C codegen-units=1 \
    -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares
