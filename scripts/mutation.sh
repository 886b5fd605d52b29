#!/usr/bin/env bash
# Changes the pure modules in one small way after the other, and sees that a unit test fails each time.
# Says for each module how many changes were caught, how many of these by running into the time limit, and
# how many were missed, or did not compile. docs/mutants.md has those that nothing can notice.
#   scripts/mutation.sh                 all of them (hours)
#   scripts/mutation.sh window envelope some of them
set -euo pipefail
cd "$(dirname "$0")/.."

version=27.1.0
mkdir -p target/mutation
jobs="${MUTATION_JOBS:-1}"
out=target/mutation
tool=target/tools/bin/cargo-mutants
if [ "$("$tool" mutants --version 2>/dev/null)" != "cargo-mutants $version" ]; then
    echo "cargo-mutants: building $version into target/tools (once; some minutes)" >&2
    cargo install --quiet --locked --debug --root target/tools --version "$version" cargo-mutants
fi

# A name; the package, all of whose unit tests may notice; the files. The most important ones come first.
modules=(
    "envelope common common/src/envelope.rs"
    "integrity common common/src/integrity.rs"
    "window replier replier/src/dedupe/window.rs"
    "watermark replier replier/src/intake/watermark.rs"
    "gaps replier replier/src/intake/gaps.rs"
    "flow replier replier/src/intake/flow.rs"
    "reply-to replier replier/src/intake/reply_to.rs"
    "schedule replier replier/src/lane/schedule.rs"
    "in-flight requester requester/src/table/in_flight.rs"
    "budget requester requester/src/table/budget.rs"
    "slab requester requester/src/table/slab.rs"
    "wheel requester requester/src/table/wheel.rs"
    "adaptive requester requester/src/table/adaptive.rs"
    "choice requester requester/src/routing/choice.rs"
    "retiring requester requester/src/routing/retiring.rs"
    "attempts requester requester/src/attempts/*.rs"
    "wire common common/src/wire/*.rs"
    "id common common/src/id.rs"
    "deadline common common/src/deadline.rs"
    "pace common common/src/kafka/pace.rs"
)

count() { [ -f "$1" ] && wc -l <"$1" || echo 0; }

# Dependencies are built once for all modules. Nobody debugs what is built, and each change is linked.
export CARGO_TARGET_DIR=$PWD/$out/build CARGO_INCREMENTAL=1 CARGO_PROFILE_DEV_DEBUG=false

failed=0
for module in "${modules[@]}"; do
    read -r name package file <<<"$module"
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then
        continue
    fi
    # In a copy of the tree, so that whatever happens the code here is as it was. What a `Debug` form shows
    # is nothing that is promised, but for secrets, which have tests of their own.
    "$tool" mutants --package "antiphon-$package" --file "$file" \
        --all-features --jobs "$jobs" --minimum-test-timeout 60 --no-shuffle --output "$out/$name" \
        --exclude-re 'fmt::Debug' -- --locked --lib >"$out-$name.log" 2>&1 && ended=0 || ended=$?
    results="$out/$name/mutants.out"
    endless=$(count "$results/timeout.txt")
    caught=$(($(count "$results/caught.txt") + endless))
    missed=$(count "$results/missed.txt")
    unviable=$(count "$results/unviable.txt")
    echo "$name: $caught caught ($endless by the time limit), $missed missed, $unviable unviable"
    if [ "$missed" -gt 0 ]; then
        sed 's/^/  /' "$results/missed.txt"
    fi
    # 0: all caught. 2: some missed. 3: some ran into the time limit, which counts as caught.
    case "$ended" in
        0 | 3) ;;
        2) failed=1 ;;
        *) tail -20 "$out-$name.log" && failed=1 ;;
    esac
done
exit "$failed"
