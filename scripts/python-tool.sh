#!/usr/bin/env bash
# Runs a command of the Python environment that scripts/requirements.txt describes, and makes the
# environment on first use and whenever that file has changed.
#   scripts/python-tool.sh shellcheck scripts/*.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

environment=$root/target/tools/python
requirements=$root/scripts/requirements.txt

if ! cmp -s "$requirements" "$environment/requirements.txt"; then
    echo "python-tool: making $environment" >&2
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --no-input -r "$requirements"
    # Copied last: an interrupted install is done again.
    cp "$requirements" "$environment/requirements.txt"
fi

tool=$1
shift
exec "$environment/bin/$tool" "$@"
