#!/usr/bin/env bash
# Runs the tests that send the most hostile records through `native`, the one crate with `unsafe` in
# it, under valgrind's memcheck. Miri cannot: all of `unsafe` here is calls into librdkafka.
#   scripts/memcheck.sh                          all of them (some minutes)
#   scripts/memcheck.sh embedded::forged_replies tests of the suite `it` of these names
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
# Cargo runs each test binary by this. What is still reachable at the end is no leak: threads of the
# client live as long as the process.
export "CARGO_TARGET_${host}_RUNNER=valgrind --quiet --error-exitcode=86 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=none"

workspace=(--workspace --all-features --locked)
names=("$@")
if [ $# -eq 0 ]; then
    names=(embedded::hostile_requests embedded::forged_replies embedded::attacks::floods::header_blocks)
fi
for name in "${names[@]}"; do
    cargo test "${workspace[@]}" --test it -- --test-threads 1 "$name"
done
echo "memcheck: no invalid read or write, and nothing that was not initialised was used"
