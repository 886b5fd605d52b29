#!/usr/bin/env bash
# Lets requesters in processes of their own come and go on real Kafka, one every two seconds, and prints
# one JSON object on what became of their calls. Fails if a reply was lost, went to another call, or a
# call ended later than 100 ms after its deadline: so the machine should have nothing else to do.
#   scripts/churn.sh        for a minute
#   scripts/churn.sh 600    for so many seconds
set -uo pipefail
cd "$(dirname "$0")/.." || exit

test=kafka::churn::instances_come_and_go_and_no_reply_is_lost
log=$(mktemp)
trap 'rm -f "$log"' EXIT

ANTIPHON_CHURN_SECONDS=${1:-60} cargo test --workspace --all-features --locked --test it -- \
    --exact "$test" --nocapture </dev/null 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
# A test that is not found under its name is no failure to cargo.
if [ "$status" -eq 0 ] && ! grep -q '^test result: ok. 1 passed' "$log"; then
    echo "churn: there is no test named $test" >&2
    exit 1
fi
exit "$status"
