#!/usr/bin/env bash
# Installs what this machine lacks, and does nothing when it lacks nothing.
#   scripts/setup.sh build    what compiling needs
#   scripts/setup.sh test     that, and what the tests need besides
#   scripts/setup.sh chaos    that, and what faults of networks need besides
#   scripts/setup.sh bench    that, and what the peers in the benchmark need besides
# Debian's packages are installed by name when root; otherwise the line to run is printed.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

level=${1:-}
case $level in
    build | test | chaos | bench) ;;
    *) die "say what for: scripts/setup.sh build, test, chaos or bench" ;;
esac

have cargo || die "cargo is missing. Install a Rust toolchain with rustup, and open a new shell."

# Kafka's brokers ask for Java 17 or newer.
have_jdk() {
    have javac || return 1
    local version
    version=$(javac -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p')
    [ "${version:-0}" -ge 17 ]
}

# Debian ships the venv module apart from the interpreter.
have_python() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

# The server scrapes the metrics in the tests; promtool checks them and the alert rules.
have_prometheus() {
    local tool
    for tool in prometheus promtool; do
        have "$tool" || [ -x "target/tools/bin/$tool" ] || return 1
    done
}

missing=()
for tool in gcc g++ make perl pkg-config; do
    have "$tool" || missing+=("$tool")
done
need_prometheus=no
if [ "$level" != build ]; then
    have_jdk || missing+=(default-jdk-headless)
    have mvn || missing+=(maven)
    have_python || missing+=(python3 python3-venv)
    have valgrind || missing+=(valgrind)
    have_prometheus || need_prometheus=yes
fi
if [ "$level" = chaos ] && [ "$(id -u)" -eq 0 ]; then
    # Only root can make network namespaces, and others may not want to install more. Rows that lack
    # something are not run, and say so.
    have ip || missing+=(iproute2)
    have nft || missing+=(nftables)
fi
# Builds the NATS server. An older Go than that asks for fetches a newer one if it is 1.21 or newer; what
# cannot be built is left out of the benchmark, which says so.
if [ "$level" = bench ]; then
    have go || missing+=(golang-go)
    have setpriv || missing+=(util-linux)
fi

if [ ${#missing[@]} -eq 0 ] && [ $need_prometheus = no ]; then
    exit 0
fi

have apt-get || die "missing here: ${missing[*]} $([ $need_prometheus = no ] || echo prometheus). \
This script knows Debian only; install them as this system does."

export DEBIAN_FRONTEND=noninteractive
line="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"

if [ "$(id -u)" -eq 0 ]; then
    say "apt-get update"
    apt-get update -qq
elif [ ${#missing[@]} -gt 0 ]; then
    say "missing here: ${missing[*]}. Run as root:"
    say "  $line"
    exit 1
fi

if [ ${#missing[@]} -gt 0 ]; then
    say "apt-get install ${missing[*]}"
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    if [ "$level" != build ] && ! have_jdk; then
        die "the installed JDK is older than 17, which Kafka needs. Put a newer one first on PATH."
    fi
fi

# Installing Debian's prometheus would start a server on this machine, and again at every boot.
# Only its two programs are wanted, so the package is unpacked and they are taken from it.
if [ $need_prometheus = yes ]; then
    say "taking prometheus and promtool from the Debian package prometheus"
    directory=$(mktemp -d)
    trap 'rm -rf "$directory"' EXIT
    # apt drops its privileges for the download, and may then not write into a private directory.
    chmod 755 "$directory"
    [ "$(id -u)" -ne 0 ] || chown _apt "$directory" 2>/dev/null || true
    (cd "$directory" && apt-get download -qq prometheus) ||
        die "the package prometheus could not be downloaded. Run 'apt-get update' as root and try again."
    mkdir -p target/tools/bin
    dpkg-deb --fsys-tarfile "$directory"/prometheus_*.deb |
        tar --extract --directory "$directory" ./usr/bin/prometheus ./usr/bin/promtool
    install -m 755 "$directory/usr/bin/prometheus" "$directory/usr/bin/promtool" target/tools/bin/
fi
