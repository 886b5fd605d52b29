#!/usr/bin/env bash
# Fetches the jars of Apache Kafka, once, for the tests that need a real broker.
# The last line on stdout is the folder that holds them. It lies outside target/, so that
# `cargo clean` keeps it; the testkit looks in the same place.
set -euo pipefail

fail() {
  echo "kafka-libs: $1" >&2
  exit 1
}

install="for example: apt-get install -y openjdk-17-jre-headless maven"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pom="$PWD/testkit/kafka/pom.xml"
version="$(sed -n 's:.*<kafka\.version>\(.*\)</kafka\.version>.*:\1:p' "$pom")"
[[ -n "$version" ]] || fail "no kafka.version in $pom"

[[ -n "${XDG_CACHE_HOME:-}${HOME:-}" ]] || fail "neither HOME nor XDG_CACHE_HOME is set: set one"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/antiphon"
libs="$cache/kafka-$version"

if [[ ! -d "$libs" ]]; then
  command -v java >/dev/null || [[ -x "${JAVA_HOME:-/nonexistent}/bin/java" ]] ||
    fail "java is missing: install Java 17 or newer, $install"
  command -v mvn >/dev/null || fail "mvn is missing: install Maven, $install"
  mkdir -p "$cache"

  # One fetch at a time. The testkit takes the same lock. Where flock is missing the rename below
  # alone keeps the cache whole.
  exec 9>"$libs.lock"
  if command -v flock >/dev/null; then flock 9; fi

  if [[ ! -d "$libs" ]]; then
    staging="$(mktemp -d "$cache/.kafka-XXXXXX")"
    trap 'rm -rf "$staging"' EXIT
    echo "kafka-libs: fetching Apache Kafka $version by Maven into $libs" >&2
    mvn -q -B -f "$pom" dependency:copy-dependencies -DoutputDirectory="$staging/libs" >&2 ||
      fail "Maven could not fetch Apache Kafka $version: see its messages above"
    compgen -G "$staging/libs/kafka_*.jar" >/dev/null || fail "Maven left no kafka_*.jar in $staging"
    [[ -d "$libs" ]] || mv "$staging/libs" "$libs"
  fi
fi

echo "$libs"
