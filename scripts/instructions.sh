#!/usr/bin/env bash
# Counts the instructions of hot paths under valgrind, and compares them with instructions/expected.json.
#   scripts/instructions.sh             fails if one has grown
#   scripts/instructions.sh --accept    writes what was counted, for it to be committed
#
# The crates whose code is counted are built as for a release, and all others as for tests: so nothing
# but these is built again, and not the C libraries.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What is inlined differs with it.
export CARGO_INCREMENTAL=0
build=(cargo build --workspace --all-features --locked --bin antiphon-instructions --example instruction_paths)
for crate in antiphon-common antiphon-instructions bytes itoa rdkafka; do
    build+=(--config "profile.dev.package.$crate.opt-level=3"
        --config "profile.dev.package.$crate.debug-assertions=false"
        --config "profile.dev.package.$crate.overflow-checks=false")
done
messages=$("${build[@]}" --message-format=json-render-diagnostics)
program() { sed -n 's|.*"executable":"\([^"]*'"$1"'[^"]*\)".*|\1|p' <<<"$messages" | tail -n 1; }
exec "$(program /antiphon-instructions)" "$(program /instruction_paths)" --expected instructions/expected.json "$@"
