#!/usr/bin/env bash
# Proves on real Kafka what the replier promises. Each run prints one JSON object, on stdout.
#   scripts/proof.sh                          all runs one after the other, whatever the earlier ones said
#   scripts/proof.sh rolling --static false   one run, with its options; --help lists them
# Fails if a promise was broken.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

prove() { cargo bench --quiet --locked --bench proof -- "$@" </dev/null; }

if [ $# -gt 0 ]; then
    prove "$@"
    exit
fi
broken=()
for run in rolling crash-points exactly-once lanes hostile scale-out requesters; do
    echo "proof: $run" >&2
    prove "$run" || broken+=("$run")
done
if [ ${#broken[@]} -gt 0 ]; then
    echo "proof: not kept: ${broken[*]}" >&2
    exit 1
fi
