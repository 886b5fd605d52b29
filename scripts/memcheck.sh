#!/usr/bin/env bash
# Runs the tests that send the most hostile records through `native`, the one crate with `unsafe` in
# it, under valgrind's memcheck. Miri cannot: all of `unsafe` here is calls into librdkafka.
#   scripts/memcheck.sh                          all of them (some minutes)
#   scripts/memcheck.sh embedded::forged_replies tests of the suite `it` of these names
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
# Cargo runs each test binary by this. Leaks are not looked for: the plain clients of the tests have some.
export "CARGO_TARGET_${host}_RUNNER=valgrind --quiet --error-exitcode=86 --leak-check=no"

workspace=(--workspace --all-features --locked)
names=("$@")
if [ $# -eq 0 ]; then
    names=(embedded::hostile_requests embedded::forged_replies embedded::attacks::floods::header_blocks)
fi
for name in "${names[@]}"; do
    said=$(cargo test "${workspace[@]}" --test it -- --test-threads 1 "$name" | tee /dev/stderr)
    # A name that no test has any more would check nothing.
    grep -q '^test result: ok\. [1-9]' <<<"$said" || { echo "memcheck: no test is named $name" >&2; exit 1; }
done
echo "memcheck: no invalid read or write, and nothing that was not initialised was used"
