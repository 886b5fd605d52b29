#!/usr/bin/env bash
# Injects faults on three real brokers, and judges what became of the requests.
#   scripts/chaos.sh                                   all rows
#   scripts/chaos.sh --rows 1,3 --settings default     these, with Kafka's own time-outs
#   scripts/chaos.sh --json FILE --out FOLDER          keeps the figures and the histories
#   scripts/chaos.sh soak --minutes 30                 random faults for long
#   scripts/chaos.sh check FOLDER                      judges kept histories again
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
    soak | check) ;;
    *) set -- matrix "$@" ;;
esac
# As the test suites are built, a test with it: so nothing but this program is built anew after them.
build=(cargo build --quiet --workspace --all-features --locked --bin antiphon-chaos --test tidy)
messages=$("${build[@]}" --message-format=json-render-diagnostics)
program=$(sed -n 's|.*"executable":"\([^"]*/antiphon-chaos\)".*|\1|p' <<<"$messages" | tail -n 1)
exec "$program" "$@"
