#!/usr/bin/env bash
# Runs each fuzz target for so many seconds, from the corpus. What is new goes to target/fuzz/TARGET; what
# breaks a target, to target/fuzz/found.
#   scripts/fuzz.sh 60               every target
#   scripts/fuzz.sh 60 ticket json   these
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?say for how many seconds}
shift
targets=("$@")
if [ $# -eq 0 ]; then
    for folder in fuzz/corpus/*/; do targets+=("$(basename "$folder")"); done
fi

RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/fuzz-rustc.sh \
    cargo build --workspace --all-features --locked --bin antiphon-fuzz
found=target/fuzz/found
mkdir -p "$found"
# Other builds put a program of the same name in its place, which sees nothing.
fuzzer=target/fuzz/antiphon-fuzz
cp target/debug/antiphon-fuzz "$fuzzer"
status=0
for target in "${targets[@]}"; do
    mkdir -p "target/fuzz/$target"
    log=target/fuzz/$target.log
    result=ok
    # A record is never larger than what a requester may send, but small inputs find the same faults sooner.
    FUZZ_TARGET=$target "$fuzzer" "target/fuzz/$target" "fuzz/corpus/$target" \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$found/$target-" >"$log" 2>&1 || result="FAILED, see $log"
    [ "$result" = ok ] || status=1
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    peak=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
    echo "$target: $result, ${runs:-0} runs in $seconds s, at most ${peak:-?} MiB"
done
exit $status
