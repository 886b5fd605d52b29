#!/usr/bin/env bash
# Runs the test suites one after the other, whatever the earlier ones said.
#   scripts/test.sh                 all suites
#   scripts/test.sh unit it         these
#   VERBOSE=1 scripts/test.sh it    with the output of the tests as they run
# Each suite ends with one line; the last line of all is "N passed, M failed", counted in tests.
# The output of every suite is kept in target/test-logs.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

all_suites=(unit model doc corpus common derive admin testkit simulation it examples cli interop tidy deploy chaos instructions)
logs=target/test-logs
# Seconds after which a suite is taken to hang; no suite takes a tenth of it without a build.
limit=${SUITE_TIMEOUT:-1500}

# Cargo builds a crate anew when the set of enabled features differs from the last time. So all suites
# name the whole workspace with all features, and differ only in which targets they run.
workspace=(--workspace --all-features --locked)

# The arguments that choose a crate's integration tests: one `--test` for each file or folder in its tests/.
# shellcheck disable=SC2329 # run_suite calls it, and is itself called by name
integration_tests() {
    local path
    for path in "$1"/tests/*.rs "$1"/tests/*/main.rs; do
        [ -e "$path" ] || continue
        case $path in
            */main.rs) path=$(dirname "$path") ;;
        esac
        echo --test
        basename "$path" .rs
    done
}

# shellcheck disable=SC2329 # called by name, through `logged`
run_suite() {
    local selection=()
    case $1 in
        unit) selection=(--lib --bins) ;;
        doc) selection=(--doc) ;;
        it | corpus | examples | interop | tidy) selection=(--test "$1") ;;
        common | derive | admin | testkit | simulation | cli)
            mapfile -t selection < <(integration_tests "$1")
            if [ ${#selection[@]} -eq 0 ]; then
                echo "there is no integration test in $1/tests"
                return 1
            fi
            ;;
        model)
            timeout --kill-after=30 "$limit" scripts/model.sh
            return
            ;;
        chaos)
            timeout --kill-after=30 "$limit" scripts/chaos.sh --rows 11,12,16,36
            return
            ;;
        instructions)
            timeout --kill-after=30 "$limit" scripts/instructions.sh
            return
            ;;
        deploy)
            timeout --kill-after=30 "$limit" scripts/check-deploy.sh
            return
            ;;
    esac
    timeout --kill-after=30 "$limit" cargo test "${workspace[@]}" --no-fail-fast "${selection[@]}"
}

# Reads a log and prints "PASSED FAILED", from the closing lines of cargo test and of the other scripts.
count() {
    awk '/^test result: / { passed += $4; failed += $6 }
         /^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 }
         END { print passed + 0, failed + 0 }' "$1"
}

# What there is to read in the log of a suite that failed: not what was built, nor which tests passed.
excerpt() {
    grep -vE '^ +(Compiling|Checking|Downloading|Downloaded|Running|Finished) |^test .* \.\.\. (ok|ignored)|^$' "$1" | tail -n 150
}

# Runs its arguments with the output in the log file, and also on the terminal when VERBOSE is set.
logged() {
    local log=$1
    shift
    if [ -n "${VERBOSE:-}" ]; then
        "$@" </dev/null 2>&1 | tee "$log"
    else
        "$@" </dev/null >"$log" 2>&1
    fi
}

suites=("$@")
[ $# -gt 0 ] || suites=("${all_suites[@]}")
for suite in "${suites[@]}"; do
    if [[ " ${all_suites[*]} " != *" $suite "* ]]; then
        echo "test: there is no suite '$suite'; the suites are: ${all_suites[*]}" >&2
        exit 2
    fi
done

mkdir -p "$logs"
rm -f "$logs"/*
total_passed=0
total_failed=0
broken=()

finish() {
    echo "$total_passed $total_failed" >"$logs/total"
    echo "$total_passed passed, $total_failed failed"
    [ ${#broken[@]} -eq 0 ]
    exit
}

echo "--- build: all crates, all features"
started=$SECONDS
if ! logged "$logs/build.log" cargo test "${workspace[@]}" --no-run; then
    [ -n "${VERBOSE:-}" ] || excerpt "$logs/build.log"
    echo "build: FAILED ($((SECONDS - started)) s); no suite can run"
    total_failed=1
    broken=(build)
    finish
fi
echo "build: ok ($((SECONDS - started)) s)"

for suite in "${suites[@]}"; do
    echo "--- suite $suite"
    started=$SECONDS
    log=$logs/$suite.log
    status=0
    logged "$log" run_suite "$suite" || status=$?
    read -r passed failed < <(count "$log")
    seconds=$((SECONDS - started))

    reason=
    if [ $status -eq 124 ] || [ $status -eq 137 ]; then
        reason="stopped after $limit s"
    elif [ "$failed" -gt 0 ]; then
        reason="$failed of $((passed + failed)) tests"
    elif [ $status -ne 0 ]; then
        reason="exit status $status"
    elif [ "$passed" -eq 0 ]; then
        reason="it ran no test"
    fi

    if [ -n "$reason" ]; then
        # A suite that broke without a failed test still counts as one failure.
        [ "$failed" -gt 0 ] || failed=1
        [ -n "${VERBOSE:-}" ] || excerpt "$log"
        broken+=("$suite")
        echo "suite $suite: FAILED ($reason, $seconds s); see $log"
    else
        echo "suite $suite: ok ($passed tests, $seconds s)"
    fi
    total_passed=$((total_passed + passed))
    total_failed=$((total_failed + failed))
done

# Once more at the end, where whoever reads only that finds them.
for suite in "${broken[@]}"; do
    echo "failed suite $suite: $(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$logs/$suite.log" | tr '\n' ' ')"
done
finish
