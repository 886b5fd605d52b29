#!/usr/bin/env bash
# Checks what is in deploy/ with the tools that will read it, one line a check.
# The last line is "N passed, M failed".
set -uo pipefail
cd "$(dirname "$0")/.." || exit

PATH=$PATH:$PWD/target/tools/bin
antiphon=${CARGO_TARGET_DIR:-target}/debug/antiphon
kubernetes_versions=(1.33 1.35 1.37)
rendered=target/deploy
passed=0
failed=0

# check NAME COMMAND...: silent when the command succeeds, else its output and FAILED.
check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        echo "deploy $name: ok"
        passed=$((passed + 1))
    else
        [ -z "$output" ] || echo "$output"
        echo "deploy $name: FAILED"
        failed=$((failed + 1))
    fi
}

python() { scripts/python-tool.sh python scripts/deploy_checks.py "$@"; }

# The tools first: without them the rest would only say the same thing many times.
if ! command -v promtool >/dev/null; then
    echo "deploy: promtool is missing; run: scripts/setup.sh test"
    echo "0 passed, 1 failed"
    exit 1
fi
if ! scripts/python-tool.sh python --version >/dev/null; then
    echo "deploy: the Python environment could not be made; run: scripts/setup.sh test"
    echo "0 passed, 1 failed"
    exit 1
fi
if [ ! -x "$antiphon" ]; then
    echo "deploy: $antiphon is missing; run: cargo build --package antiphon-cli"
    echo "0 passed, 1 failed"
    exit 1
fi

check "Dockerfile (hadolint)" scripts/python-tool.sh hadolint deploy/Dockerfile

check "Compose file (schema)" scripts/python-tool.sh check-jsonschema \
    --builtin-schema vendor.compose-spec deploy/compose.yaml
check "Compose file (references)" python references deploy/compose.yaml
# The schema stands in where Docker or its Compose plugin is missing: this only adds to it.
if docker compose version >/dev/null 2>&1; then
    check "Compose file (docker compose)" docker compose --file deploy/compose.yaml config --quiet
fi

# Each Kustomize directory is rendered to one file, which the later checks read.
render() { scripts/kubectl.sh kustomize "$1" >"$2"; }
mkdir -p "$rendered"
manifests=()
for directory in deploy/kubernetes/base deploy/kubernetes/overlays/*; do
    manifest=$rendered/$(basename "$directory").yaml
    check "Kubernetes $(basename "$directory") (kustomize)" render "$directory" "$manifest"
    manifests+=("$manifest")
done
for version in "${kubernetes_versions[@]}"; do
    check "Kubernetes objects (schema $version)" scripts/python-tool.sh kubernetes-validate \
        --strict --kubernetes-version "$version" "${manifests[@]}"
done

check "Time to drain" python grace deploy/compose.yaml "${manifests[@]}"

# Every command line in the files is put to the parser of the binary itself.
rejects() { ! "$antiphon" --check-args "$@" >/dev/null 2>&1; }
check "Command lines (a wrong flag is noticed)" rejects reply quotes --no-such-flag
list_commands() { python commands deploy/compose.yaml "${manifests[@]}" >"$rendered/commands"; }
check "Command lines (found)" list_commands
while IFS=$'\t' read -r -a line; do
    check "Command line (${line[0]})" "$antiphon" --check-args "${line[@]:1}"
done <"$rendered/commands"

check "Prometheus (configuration)" promtool check config deploy/prometheus/prometheus.yml
check "Prometheus (rules)" promtool check rules --lint=all --lint-fatal deploy/prometheus/rules.yml
check "Prometheus (rule tests)" promtool test rules deploy/prometheus/rules_test.yml
check "Prometheus (each alert has a test)" python alerts \
    deploy/prometheus/rules.yml deploy/prometheus/rules_test.yml
check "Prometheus (each metric is exported)" python metrics deploy/prometheus/rules.yml

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
