#!/usr/bin/env bash
# Runs the in-flight table under many schedules of its threads, by Shuttle.
#   scripts/model.sh                                    1,000 schedules of either kind for each model
#   MODEL_ITERATIONS=100000 scripts/model.sh endings    more, for the models with this in their names
#
# The table then uses Shuttle's locks and atomics, which work inside a model only. So that is set by
# a cfg for this crate's tests alone: a feature would be on wherever all features are, and RUSTFLAGS
# would rebuild every dependency, librdkafka with them.
set -euo pipefail
cd "$(dirname "$0")/.."

build=(cargo rustc --package antiphon-requester --all-features --locked --lib --profile test)
messages=$("${build[@]}" --message-format=json-render-diagnostics -- --cfg antiphon_model)
program=$(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' <<<"$messages" | tail -n 1)
exec "$program" "table::model::${1:-}"
