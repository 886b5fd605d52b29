#!/usr/bin/env bash
# Fails with the line to run when a component of the Rust toolchain is missing.
#   scripts/require-component.sh rustfmt|clippy
set -euo pipefail

component=$1
case $component in
    rustfmt) subcommand=fmt ;;
    *) subcommand=$component ;;
esac

if ! cargo "$subcommand" --version >/dev/null 2>&1; then
    echo "require-component: the Rust toolchain has no $component. Run: rustup component add $component" >&2
    exit 1
fi
