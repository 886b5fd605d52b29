#!/usr/bin/env bash
# Runs cargo-deny in the version this project pins, and builds it on first use.
#   scripts/cargo-deny.sh check licenses
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
installed() { [ "$("$1" --version 2>/dev/null)" = "cargo-deny $version" ]; }

if installed cargo-deny; then
    deny=cargo-deny
else
    deny=target/tools/bin/cargo-deny
    if ! installed "$deny"; then
        echo "cargo-deny: building $version into target/tools (once; a minute or two)" >&2
        # Unoptimised: it is built more slowly than it runs.
        cargo install --quiet --locked --debug --root target/tools --version "$version" cargo-deny
    fi
fi

# Every crate is a root, not only the one in the root folder: each has dependencies of its own.
exec "$deny" --workspace --all-features "$@"
