#!/usr/bin/env bash
# Fetches and builds the peers that the benchmark compares with, once, and prints where they are:
#   spring CLASSPATH        Spring Kafka, from Maven Central
#   rust PROGRAM            NATS, JetStream and gRPC clients, from crates.io
#   nats-server PROGRAM     the server, from the Go module proxy; kept outside target/, as Kafka's jars are
# What cannot be had is a line `missing NAME WHY` instead; the benchmark leaves it out and says so.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

nats_version=v2.15.2
logs=target/bench-peers-logs
mkdir -p "$logs"

missing() { echo "missing $*"; }
say() { echo "bench-peers: $*" >&2; }

# The class path, built anew when a source is newer than the last build.
spring() {
    local built=$PWD/target/bench-spring sources=bench/peers/spring
    if [ ! -e "$built/complete" ] || [ -n "$(find "$sources" -newer "$built/complete" -type f)" ]; then
        say "building Spring Kafka's peer with Maven"
        rm -rf "$built"
        if ! mvn -q -B -f "$sources/pom.xml" -DbuildDirectory="$built" package dependency:copy-dependencies \
            </dev/null >"$logs/spring" 2>&1; then
            missing spring "Maven could not build bench/peers/spring: see $logs/spring"
            return
        fi
        touch "$built/complete"
    fi
    echo "spring $built/bench-spring.jar:$built/dependency/*"
}

rust() {
    say "building the peers in Rust"
    if ! CARGO_TARGET_DIR=$PWD/target/bench-peers cargo build --quiet --release --locked \
        --manifest-path bench/peers/rust/Cargo.toml </dev/null >"$logs/rust" 2>&1; then
        missing rust "cargo could not build bench/peers/rust: see $logs/rust"
        return
    fi
    echo "rust $PWD/target/bench-peers/release/antiphon-bench-peers"
}

nats_server() {
    local cache="${XDG_CACHE_HOME:-${HOME:-$PWD/target}/.cache}/antiphon"
    local program="$cache/nats-server-$nats_version/nats-server"
    if [ ! -x "$program" ]; then
        if ! command -v go >/dev/null; then
            missing nats-server "Go is missing: install Go 1.21 or newer, and see that go is on PATH"
            return
        fi
        say "building nats-server $nats_version with Go"
        local staging
        mkdir -p "$cache"
        staging=$(mktemp -d "$cache/.nats-XXXXXX")
        # This version asks for a Go of its own, which one of 1.21 or newer fetches.
        if ! GOBIN=$staging GOTOOLCHAIN=auto go install "github.com/nats-io/nats-server/v2@$nats_version" \
            </dev/null >"$logs/nats-server" 2>&1; then
            rm -rf "$staging"
            missing nats-server "go could not build nats-server $nats_version: see $logs/nats-server"
            return
        fi
        mkdir -p "$(dirname "$program")"
        mv "$staging/nats-server" "$program"
        rm -rf "$staging"
    fi
    echo "nats-server $program"
}

spring
rust
nats_server
